"""Root's files of signers and expressions, and root's tree of admitted releases, which setup puts on a host."""

from __future__ import annotations

from typing import Any

from warpbeam.inventory.schema import Inventory
from warpbeam.inventory.signers import read_signers
from warpbeam.provision.item import Directory, File

# Admitted copies beyond those that `deploy.keep` keeps.
SPARE_COPIES = 2
# The sandbox in which the helper unpacks what the deploy user has read: it can write in one directory, and reaches
# nothing else.
UNPACKING = (
    "ProtectSystem=strict",
    "CapabilityBoundingSet=",
    "NoNewPrivileges=yes",
    "PrivateDevices=yes",
    "DevicePolicy=closed",
    "PrivateTmp=yes",
    "PrivateNetwork=yes",
    "ProtectHome=yes",
    "ProtectProc=invisible",
    "ProcSubset=pid",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    # systemd-run of systemd 252 does not take `none`.
    "RestrictAddressFamilies=AF_UNIX",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    # A process of root's may signal others of root's without any capability.
    "SystemCallFilter=~@privileged @resources kill tkill tgkill pidfd_send_signal rt_sigqueueinfo rt_tgsigqueueinfo",
    "SystemCallErrorNumber=EPERM",
    "UMask=0077",
    "MemoryMax=256M",
    "TasksMax=4",
    "LimitCORE=0",
    "RuntimeMaxSec=900",
    "LogLevelMax=warning",
)


def signers_file(settings: str) -> str:
    """Return the file of those who may sign, below the directory of the app's settings."""
    return f"{settings}/allowed_signers"


def revoked_file(settings: str) -> str:
    """Return the file of the keys that count no more, below the directory of the app's settings."""
    return f"{settings}/revoked_signers"


def admission_names(inventory: Inventory, settings: str) -> dict[str, Any]:
    """Return the names that templates use for admission."""
    root, admitted = str(inventory.root), str(inventory.admitted)
    return {
        "admits": inventory.admits,
        "admitted": admitted,
        "most_admitted": inventory.deploy.keep + SPARE_COPIES,
        "signers_file": signers_file(settings),
        "revoked_file": revoked_file(settings),
        "runnable": admitted if inventory.admits else f"{root}/releases",
        "slots": admitted if inventory.admits else f"{root}/slots",
        "unpacking": UNPACKING,
    }


def admission_directories(inventory: Inventory) -> tuple[Directory, ...]:
    """Return root's tree of admitted releases, where admission is on. The app alone can read it."""
    return (Directory(str(inventory.admitted), "750", "root", inventory.app_user),) if inventory.admits else ()


def admission_files(inventory: Inventory, settings: str) -> tuple[File, ...]:
    """Return root's files of admission: signers, and the expressions that the deploy user may have evaluated."""
    return tuple(
        File(path, text, "644" if path.endswith("signers") else "600", needs="reconcile")
        for path, text in _texts(inventory, settings).items()
        if text
    )


def absent_files(inventory: Inventory, settings: str) -> tuple[str, ...]:
    """Return the files of admission that must not be there."""
    return tuple(path for path, text in _texts(inventory, settings).items() if not text)


def _texts(inventory: Inventory, settings: str) -> dict[str, str]:
    allowed, revoked = read_signers(inventory)
    deploy, health = inventory.deploy, inventory.health
    return {
        signers_file(settings): allowed,
        revoked_file(settings): revoked,
        # bash takes the line ends at the end of an expression off.
        f"{settings}/expression-migrate": (deploy.migrate or "").rstrip("\n") if allowed else "",
        f"{settings}/expression-well": (health.rpc or "").rstrip("\n") if allowed else "",
    }
