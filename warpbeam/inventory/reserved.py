"""Names that an inventory may not use, because something else on a host uses them."""

from __future__ import annotations

from warpbeam.runtime.kinds import COOKIE, variable_user


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Users and groups of Debian (`base-passwd`) and of common services. An app user or deploy user of that name would
# own the files of the other, and `setup` would change the home and groups of the other.
USERS = _words(
    """
    root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc gnats nobody nogroup
    adm tty disk dialout fax voice cdrom floppy tape sudo wheel audio dip operator src shadow utmp video sasl
    plugdev staff users kvm render input sgx crontab netdev ssh sshd _ssh _apt ssl-cert messagebus polkitd
    uuidd tss ntp _chrony postfix postgres mysql redis docker lxd libvirt nginx systemd-network
    systemd-resolve systemd-timesync systemd-journal systemd-coredump
    """
)
# APP.service, APP@.service, /var/lib/APP and /run/APP-a must be the app's alone: these names are the system's own.
APPS = USERS | _words(
    """
    apt autovt chrony containerd cron dbus dpkg emergency exim4 getty git halt ifup kmod logrotate modprobe
    networking nfs nftables pam polkit private procps python quotaon reboot rescue rsync rsyslog snapd systemd
    ucf udev ufw unattended_upgrades user vim
    """
)
# Endings of the nftables tables of an app: warpbeam_APP_guard would be both the guard of APP and the redirect of an app
# APP_guard.
APP_ENDINGS = ("_guard", "_nodes")
# `setup` makes /etc/ORG for root alone. Directories or files of these names exist already, and others read them.
ORGS = _words(
    """
    alternatives apparmor apt bash binfmt ca-certificates containerd cron dbus default depmod docker dpkg
    fstab gdb group groff gshadow host hostname hosts init issue kernel ldap locale localtime logcheck
    machine-id magic mime modprobe modules motd mtab netconfig network networks nftables nginx nss opt pam
    passwd perl polkit-1 postgresql profile protocols python3 resolvconf rpc rsyslog security selinux services
    shadow shells skel ssh ssl subgid subuid sudo sudoers sysctl systemd terminfo timezone tmpfiles udev ufw
    update-motd vim xattr xdg
    """
)
# Variables that systemd sets (`systemd.exec(5)`, "Environment Variables in Spawned Processes") and that must keep its
# values.
_SYSTEMD = _words(
    """
    RUNTIME_DIRECTORY STATE_DIRECTORY CACHE_DIRECTORY LOGS_DIRECTORY CONFIGURATION_DIRECTORY
    CREDENTIALS_DIRECTORY NOTIFY_SOCKET WATCHDOG_PID WATCHDOG_USEC LISTEN_FDS LISTEN_PID LISTEN_FDNAMES
    MAINPID INVOCATION_ID JOURNAL_STREAM SYSTEMD_EXEC_PID
    """
)
_OWNERS = {
    "PORT": "each slot listens on a port of its own (http.slots)",
    "SLOT": "Warpbeam sets it for each slot",
    "ERL_AFLAGS": "Warpbeam sets it for each slot; use ERL_ZFLAGS or the release's vm.args",
    COOKIE: "`setup` makes the cookie on each host",
    **dict.fromkeys(_SYSTEMD, "systemd sets it for each instance"),
}


def variable_owner(name: str) -> str:
    """Return what sets the variable `name`, so that an inventory may not; empty where nothing does."""
    return _OWNERS.get(name) or variable_user(name)


# Directives that the users, the privileged helper, the slots and activations depend on: an override would break them
# without an error.
_DIRECTIVES = {
    "User": "users.app says who runs the app",
    "Group": "users.app says who runs the app",
    "DynamicUser": "users.app says who runs the app",
    "WorkingDirectory": "it is the slot, where `status` and the console look for the release",
    "RootDirectory": "it is the slot, where `status` and the console look for the release",
    "RootImage": "it is the slot, where `status` and the console look for the release",
    "Environment": "variables belong under `env`",
    "EnvironmentFile": "variables belong under `env` and `secrets`",
    "PassEnvironment": "variables belong under `env` and `secrets`",
    "UnsetEnvironment": "variables belong under `env` and `secrets`",
    "RuntimeDirectory": "each slot has its own",
    "StateDirectory": "it is /var/lib/APP, where crash dumps are",
    "SyslogIdentifier": "it is the app's name",
    "StandardInput": "the journal takes what the app prints, and `logs` shows it",
    "StandardOutput": "the journal takes what the app prints, and `logs` shows it",
    "StandardError": "the journal takes what the app prints, and `logs` shows it",
    "TimeoutStopSec": "it is deploy.drain and what the VM needs to end",
    "TimeoutSec": "TimeoutStopSec is deploy.drain and what the VM needs to end",
    "KillMode": "activations wait for all processes of an instance to end",
    "KillSignal": "the VM ends in good order on SIGTERM",
    "Type": "activations start and watch the main process",
    "PIDFile": "activations start and watch the main process",
    "GuessMainPID": "activations start and watch the main process",
    "Restart": "activations start and watch the main process",
    "RemainAfterExit": "activations start and watch the main process",
}


def directive_owner(name: str) -> str:
    """Return why an inventory may not override the directive `name`; empty where it may."""
    return _DIRECTIVES.get(name, "what is run is the release" if name.startswith("Exec") else "")
