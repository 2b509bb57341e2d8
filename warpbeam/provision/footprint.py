"""Everything that Warpbeam keeps on a host besides releases: users, directories, files, units; as data."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import msgspec

from warpbeam.error import Refused
from warpbeam.helper.program import (
    FIND_AND_EVALUATE,
    HELPER_VERSION,
    MOST_EXPRESSION,
    READ_AND_EVALUATE,
    READ_AND_REQUIRE,
    SUDO_VERBS,
    former_programs,
    helper,
    programs,
    record_file,
)
from warpbeam.host.template import filled, shared, systemd_quoted
from warpbeam.inventory.schema import SLOTS, Host, Inventory
from warpbeam.network.redirect import MAINTENANCE, more_ports, redirect_rules
from warpbeam.provision import unit
from warpbeam.provision.item import Directory, File, User

# A plain word, or a text in double quotes that ends where they end (`template.systemd_quoted`).
_VALUE = re.compile(r'[A-Za-z0-9_@.-]*|"(?:[^\\"`$\0]|\\[\\"`$])*"')
# Answers with the maintenance page of whichever app it is; owns nothing.
PAGE_USER = "warpbeam-page"
# What a cookie's file says since version 8 of the privileged helper. Up to that, every process list showed the cookie.
COOKIE_MARK = "in no process's arguments"


class Footprint(msgspec.Struct, frozen=True):
    """What one host should have. `units` are enabled; `absent` are files that must not be there.

    `keys` is which of the files says who may log in as the deploy user, and `ledger` where setup notes what it wrote.
    """

    users: tuple[User, ...]
    directories: tuple[Directory, ...]
    files: tuple[File, ...]
    units: tuple[str, ...]
    packages: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    keys: str = ""
    ledger: str = ""


def etc(inventory: Inventory) -> str:
    """Where the app's settings are; root's alone."""
    return f"/etc/{inventory.org}/{inventory.app}"


def environment_file(inventory: Inventory) -> str:
    """Where a host keeps the name of the environment that it belongs to, for everybody to read."""
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
    """What `host` should have, by its roles.

    Where `deploy_keys` is None, who may log in as the deploy user is left as it is. With `cookie_shown` the
    file of the cookie goes on saying that other users could read it.
    """
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
        files += _app_files(inventory, host, secrets, _cookie_text(inventory, cookie, shown=cookie_shown))
        units += [f"{inventory.app}{suffix}.service" for suffix in ("", "-firewall", "-filter")]
        directories += [
            Directory(f"/etc/{inventory.org}", "755", "root", "root"),
            Directory(etc(inventory), "700", "root", "root"),
            Directory("/usr/lib/warpbeam", "755", "root", "root"),
            Directory(programs(inventory), "755", "root", "root"),
            Directory("/var/lib/warpbeam", "755", "root", "root"),
            Directory(str(PurePosixPath(record_file(inventory)).parent), "755", "root", "root"),
        ]
    # The group is the app's, so that it can read releases; 2: what deploy makes inside keeps that group.
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
        absent=(
            # sshd reads it too, by default (sshd_config(5), AuthorizedKeysFile).
            *((f"{keys}2",) if keys else ()),
            *(former_programs(inventory) if is_app else ()),
        ),
        keys=keys,
        ledger=f"{etc(inventory)}/.written" if is_app else "",
    )


def _app_files(inventory: Inventory, host: Host, secrets: dict[str, str], cookie: str) -> list[File]:
    where, app = etc(inventory), inventory.app
    own = _own_variables(inventory)
    # After what the inventory says, which must not take them away.
    service = unit.overridden(render("sandbox.conf.j2", inventory), inventory.service) + unit.bindings(inventory)

    def setting(name: str, text: str, clear: tuple[str, ...] = ()) -> File:
        return File(f"{where}/{name}", text, "600", secret=not clear, clear=clear, needs="restart")

    responder = f"{programs(inventory)}/maintenance"
    files = [
        # First: a host whose setup ended half way belongs to whoever began it.
        File(environment_file(inventory), f"{inventory.name}\n"),
        setting("app.env", _variables(inventory, f"Variables of {app}.", _quoted(own)), clear=tuple(own)),
        setting("secrets.env", secrets_text(inventory, secrets)),
        setting("cookie.env", cookie),
        File(f"{where}/eval.env", render("eval.env.j2", inventory), "600"),
        # Before the helper, which runs it.
        File(f"{programs(inventory)}/launch", render("launch.sh.j2", inventory, dumps_kept=unit.DUMPS_KEPT), "755"),
        File(
            helper(inventory),
            render(
                "helper.sh.j2",
                inventory,
                service_properties=unit.properties(service),
                listeners=shared("host/listeners"),
            ),
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
        File(responder, render("maintenance.sh.j2", inventory), "755"),
        *(
            File(
                f"/lib/systemd/system/{app}-maintenance{suffix}",
                render(template, inventory, responder=responder, page_user=PAGE_USER),
                needs="verify daemon-reload",
            )
            # The service first: without it the socket's check has something to say.
            for suffix, template in (("@.service", "maintenance.service.j2"), (".socket", "maintenance.socket.j2"))
        ),
        *redirect_files(inventory),
    ]
    return files


def _guard(inventory: Inventory) -> str:
    """The nftables table of who may answer at the app's ports."""
    owners = [(f"slot_{slot}", [*inventory.leads(slot).values()], f'"{inventory.app_user}"') for slot in SLOTS]
    # systemd listens for the maintenance page.
    owners.append(("page", [inventory.http.maintenance], "0"))
    return render(
        "guard.nft.j2", inventory, owners=owners, guarded_ports=[port for _, ports, _ in owners for port in ports]
    )


def _cookie_text(inventory: Inventory, cookie: str, *, shown: bool) -> str:
    title = f"The cookie of {inventory.app}'s nodes{'' if shown else f', {COOKIE_MARK}'}."
    # Not quoted: it is alphanumeric, and `warpbeam/provision/inspect.sh` reads it.
    return _variables(inventory, title, {"RELEASE_COOKIE": cookie})


def _nodes_rules(inventory: Inventory) -> str:
    return render("nodes.nft.j2", inventory, peers=unit.peers(inventory), callees=unit.callees(inventory))


def _own_variables(inventory: Inventory) -> dict[str, str]:
    return {"LANG": "C.UTF-8", "MIX_ENV": inventory.build.mix_env, **inventory.env}


def redirect_files(inventory: Inventory) -> tuple[File, ...]:
    """The app's nftables tables: for when slot a or slot b is live, and for when maintenance is on."""
    texts = {where: redirect_rules(inventory, where) for where in (*SLOTS, MAINTENANCE)}
    return tuple(
        File(f"{etc(inventory)}/redirect-{where}.nft", text, "600", needs="nft") for where, text in texts.items()
    )


def secrets_text(inventory: Inventory, secrets: dict[str, str]) -> str:
    """The file of the app's secrets."""
    return _variables(inventory, f"Secrets of {inventory.app}.", _quoted(secrets))


def _variables(inventory: Inventory, title: str, values: Mapping[str, str]) -> str:
    """An environment file (systemd.exec(5)); `values` as they are to stand there.

    Raises: Refused, where one would be more than the value of its variable, wherever it comes from.
    """
    for name, value in values.items():
        if not _VALUE.fullmatch(value):
            raise Refused(
                f"the value of {name} cannot stand in an environment file: it holds more than one plain word",
                "nothing was written; see where it comes from: the inventory, a secret, a host's cookie",
            )
    return render("variables.env.j2", inventory, title=title, variables=[*values.items()])


def _quoted(values: Mapping[str, str]) -> dict[str, str]:
    """Values of an environment file that arrive byte for byte."""
    return {name: systemd_quoted(value) for name, value in values.items()}


def render(template: str, inventory: Inventory, **more: Any) -> str:
    """The text of a template for this environment."""
    return filled(
        template,
        environment=inventory.name,
        org=inventory.org,
        app=inventory.app,
        release_name=inventory.release_name,
        deploy_user=inventory.users.deploy,
        app_user=inventory.app_user,
        root=str(inventory.root),
        etc=etc(inventory),
        helper=helper(inventory),
        launch=f"{programs(inventory)}/launch",
        record=record_file(inventory),
        helper_version=HELPER_VERSION,
        helper_verbs=SUDO_VERBS,
        most_expression=MOST_EXPRESSION,
        read_and_evaluate=READ_AND_EVALUATE,
        find_and_evaluate=FIND_AND_EVALUATE,
        read_and_require=READ_AND_REQUIRE,
        public_ports=[*inventory.leads("a")],
        more_ports={slot: more_ports(inventory, slot) for slot in SLOTS},
        tracked=inventory.firewall.tracked,
        maintenance_port=inventory.http.maintenance,
        ports={slot: [*inventory.leads(slot).values()] for slot in SLOTS},
        port={slot: inventory.port(slot) for slot in SLOTS},
        dist_port={slot: inventory.dist_port(slot) for slot in SLOTS},
        # The VM's own drain, and five seconds for it to notice.
        stop_seconds=math.ceil(inventory.deploy.drain) + 5,
        drain_seconds=f"{inventory.deploy.drain:g}",
        **more,
    )
