"""The footprint of a host: the users, directories, files and units that it needs around its releases, as data."""

from __future__ import annotations

from pathlib import PurePosixPath

import msgspec

from warpbeam.helper.program import (
    former_programs,
    helper,
    program,
    programs,
    record_file,
)
from warpbeam.host.template import shared
from warpbeam.inventory.schema import SLOTS, Host, Inventory
from warpbeam.network.redirect import MAINTENANCE, redirect_rules
from warpbeam.provision import unit
from warpbeam.provision.admission import absent_files, admission_directories, admission_files
from warpbeam.provision.app_files import app_files, settings_directory
from warpbeam.provision.app_template import etc, render
from warpbeam.provision.compiler import Kit, kit_of
from warpbeam.provision.environment_files import cookie_text, own_variables, quoted, secrets_text, variables_text
from warpbeam.provision.item import Directory, File, User
from warpbeam.runtime.kinds import COOKIE, RUNTIMES, UNNAMED, alone_settings

# The user that serves every app's maintenance page; it owns no files.
PAGE_USER = "warpbeam-page"


class Footprint(msgspec.Struct, frozen=True):
    """Everything that one host should have. `units` are to be enabled; `absent` are files that must not exist.

    `keys` is the path of the deploy user's authorized keys; `ledger` is the file in which setup records what it wrote.
    """

    users: tuple[User, ...]
    directories: tuple[Directory, ...]
    files: tuple[File, ...]
    units: tuple[str, ...]
    packages: tuple[str, ...] = ()
    # The packages that builds need beside them.
    kit: Kit = ""
    absent: tuple[str, ...] = ()
    keys: str = ""
    ledger: str = ""


def environment_file(inventory: Inventory) -> str:
    """Return the file, readable by all users, that names the environment to which a host belongs."""
    return f"{programs(inventory)}/environment"


def footprint(
    inventory: Inventory,
    host: Host,
    secrets: dict[str, str],
    cookie: str,
    deploy_keys: tuple[str, ...] | None,
    *,
    cookie_shown: bool = False,
) -> Footprint:
    """Return what `host` should have, by its roles.

    If `deploy_keys` is None, the deploy user's keys on the host stay as they are. With `cookie_shown`, the cookie's
    file stays without `COOKIE_MARK`, because other users could read that cookie.
    """
    inventory = inventory.of(host)
    users = inventory.users
    home = f"/home/{users.deploy}"
    root = str(inventory.root)
    people = [User(users.deploy, home, login=True)]
    directories = [Directory(f"/opt/{inventory.org}", "755", "root", "root")]
    files: list[File] = []
    units: list[str] = []
    is_app = "app" in host.roles
    group = inventory.app_user if is_app else users.deploy
    if is_app:
        people.append(User(inventory.app_user, f"/var/lib/{inventory.app}", login=False))
        people.append(User(PAGE_USER, "/nonexistent", login=False))
        files += _app_files(inventory, host, secrets, cookie_text(inventory, cookie, shown=cookie_shown))
        units += [f"{inventory.app}{suffix}.service" for suffix in ("", "-firewall", "-filter")]
        directories += [
            Directory(f"/etc/{inventory.org}", "755", "root", "root"),
            settings_directory(inventory),
            Directory("/usr/lib/warpbeam", "755", "root", "root"),
            Directory(programs(inventory), "755", "root", "root"),
            Directory("/var/lib/warpbeam", "755", "root", "root"),
            Directory(str(PurePosixPath(record_file(inventory)).parent), "755", "root", "root"),
            *admission_directories(inventory),
        ]
    # The app's group can read releases. The set-group-ID bit (2) gives that group to all that deploy makes inside.
    directories.append(Directory(root, "2750", users.deploy, group))
    if is_app:
        directories += [
            Directory(f"{root}/releases", "2750", users.deploy, group),
            Directory(f"{root}/slots", "2750", users.deploy, group),
            Directory(f"{root}/activation", "2700", users.deploy, group),
        ]
    if "build" in host.roles:
        directories.append(Directory(f"{root}/build", "2700", users.deploy, group))
    keys = ""
    if deploy_keys is not None:
        keys = f"{home}/.ssh/authorized_keys"
        directories.append(Directory(f"{home}/.ssh", "700", users.deploy, users.deploy))
        text = render("authorized_keys.j2", inventory, keys=deploy_keys)
        files.append(File(keys, text, "600", users.deploy, users.deploy))
    return Footprint(
        users=tuple(people),
        directories=tuple(directories),
        files=tuple(files),
        units=tuple(units),
        packages=inventory.packages if is_app else (),
        kit=kit_of(inventory, host),
        absent=(
            # By default sshd also reads authorized_keys2 (sshd_config(5), AuthorizedKeysFile).
            *((f"{keys}2",) if keys else ()),
            *((*former_programs(inventory), *absent_files(inventory, etc(inventory))) if is_app else ()),
        ),
        keys=keys,
        ledger=f"{etc(inventory)}/.written" if is_app else "",
    )


def _app_files(inventory: Inventory, host: Host, secrets: dict[str, str], cookie: str) -> list[File]:
    where, app = etc(inventory), inventory.app
    own = own_variables(inventory)
    # The bindings come after the inventory's directives, so that those cannot remove them.
    directives = render("service.conf.j2", inventory, open_files=unit.OPEN_FILES)
    service = unit.overridden(directives, inventory.service) + unit.bindings(inventory)

    def setting(name: str, text: str, clear: tuple[str, ...] = ()) -> File:
        return File(f"{where}/{name}", text, "600", secret=not clear, clear=clear, needs="restart")

    responder = f"{programs(inventory)}/maintenance"
    files = [
        # This file comes first: a host whose setup stopped half way belongs to the environment that began it.
        File(environment_file(inventory), f"{inventory.name}\n"),
        setting("app.env", variables_text(inventory, f"Variables of {app}.", quoted(own)), clear=tuple(own)),
        setting("secrets.env", secrets_text(inventory, secrets)),
        setting("cookie.env", cookie),
        # Who may sign comes before the helper and the launcher, which then start nothing else.
        *admission_files(inventory, where),
        File(f"{where}/eval.env", render("eval.env.j2", inventory, alone_settings=alone_settings()), "600"),
        # The launcher comes before the helper, which runs it.
        File(f"{programs(inventory)}/launch", _launcher(inventory), "755"),
        File(
            helper(inventory),
            program(render("helper.sh.j2", inventory, service_properties=unit.properties(service))),
            "755",
        ),
        File(f"{where}/guard.nft", _guard(inventory), "600", needs="nft"),
        File(f"{where}/nodes.nft", _nodes_rules(inventory), "600", needs="nft"),
        File(f"/etc/sudoers.d/warpbeam-{app}", render("sudoers.j2", inventory), "440", needs="visudo"),
        File(
            f"/lib/systemd/system/{app}@.service",
            render("slot.service.j2", inventory, service=service),
            needs="verify daemon-reload restart",
        ),
        File(
            f"/lib/systemd/system/{app}.service",
            render("reconcile.service.j2", inventory),
            needs="verify daemon-reload",
        ),
        *(
            File(
                f"/lib/systemd/system/{app}-{what}.service",
                render(f"{what}.service.j2", inventory),
                needs="verify daemon-reload",
            )
            for what in ("firewall", "filter")
        ),
        File(f"/etc/sysctl.d/60-warpbeam-{app}.conf", render("conntrack.conf.j2", inventory), needs="reconcile"),
        File(
            f"/lib/systemd/system/{app}-activate.service",
            render("activate.service.j2", inventory),
            needs="verify daemon-reload",
        ),
    ]
    for slot in SLOTS:
        files.append(
            File(
                f"{where}/slot-{slot}.env",
                render("slot.env.j2", inventory, slot=slot, **unit.settings(inventory, host, slot)),
                "600",
                needs="restart",
            )
        )
        files.append(File(f"{where}/ended-{slot}.nft", render("ended.nft.j2", inventory, slot=slot), "600"))
    files += [
        File(responder, render("maintenance_sender.sh.j2", inventory), "755"),
        *(
            File(
                f"/lib/systemd/system/{app}-maintenance{suffix}",
                render(template, inventory, responder=responder, page_user=PAGE_USER),
                needs="verify daemon-reload",
            )
            # The service comes first: without it, `systemd-analyze verify` complains about the socket.
            for suffix, template in (("@.service", "maintenance.service.j2"), (".socket", "maintenance.socket.j2"))
        ),
        *redirect_files(inventory),
        *app_files(inventory),
    ]
    return files


def _launcher(inventory: Inventory) -> str:
    """Return the program that starts every VM of the app; it has the functions of every kind of release."""
    return render(
        "launch.sh.j2",
        inventory,
        dumps_kept=unit.DUMPS_KEPT,
        cookie_variable=COOKIE,
        unnamed_runtime=UNNAMED.name,
        runtime_parts=[shared(runtime.launched) for runtime in RUNTIMES.values()],
    )


def _guard(inventory: Inventory) -> str:
    """Return the nftables table that decides which users may answer at the app's ports."""
    owners = [(f"slot_{slot}", [*inventory.leads(slot).values()], f'"{inventory.app_user}"') for slot in SLOTS]
    # systemd listens for the maintenance page.
    owners.append(("page", [*inventory.page_ports()], "0"))
    return render(
        "guard.nft.j2", inventory, owners=owners, guarded_ports=[port for _, ports, _ in owners for port in ports]
    )


def _nodes_rules(inventory: Inventory) -> str:
    return render("nodes.nft.j2", inventory, peers=unit.peers(inventory), callees=unit.callees(inventory))


def redirect_files(inventory: Inventory) -> tuple[File, ...]:
    """Return the app's redirect tables: one for slot a live, one for slot b live, and one for maintenance.

    Where no public port leads to the app, they lead nowhere, and so the helper does the same as everywhere.
    """
    texts = {where: redirect_rules(inventory, where) for where in (*SLOTS, MAINTENANCE)}
    return tuple(
        File(f"{etc(inventory)}/redirect-{where}.nft", text, "600", needs="nft") for where, text in texts.items()
    )
