"""The footprint of setup on a host, and the changes that setup would make."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from warpbeam.error import Misuse, Refused
from warpbeam.helper.program import HELPER_VERSION, SUDO_VERBS
from warpbeam.host.template import systemd_quoted
from warpbeam.inventory.build import Build
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.provision.compiler import COMPILER, asked_packages
from warpbeam.provision.cookie import COOKIE_LENGTH, Cookie, agreed_cookie, mint_cookie
from warpbeam.provision.difference import difference, outdated
from warpbeam.provision.environment_files import COOKIE_MARK
from warpbeam.provision.footprint import Footprint, footprint
from warpbeam.provision.host_state import HostState, PathState, UserState
from warpbeam.provision.keys import described, read_deploy_keys

PROJECT = Path(__file__).parents[3]
APP = Host(name="web1", roles=("app",))
BUILD = Host(name="build1", roles=("build",))
INVENTORY = Inventory(org="acme", app="hello", hosts={"web1": APP, "build1": BUILD}, env={"GREETING": 'good "morning"'})
SECRET = "s3cret"


def want(host: Host = APP, inventory: Inventory = INVENTORY) -> Footprint:
    """Return the footprint of a host."""
    return footprint(inventory, host, {"TOKEN": SECRET}, "C" * COOKIE_LENGTH, ("ssh-ed25519 AAAA me",))


def as_found(footprint: Footprint) -> HostState:
    """Return the facts of a host that has exactly `footprint`."""
    paths = {item.path: PathState("directory", item.mode, item.owner, item.group, "") for item in footprint.directories}
    for file in footprint.files:
        digest = hashlib.sha256(file.content.encode()).hexdigest()
        paths[file.path] = PathState("regular file", file.mode, file.owner, file.group, digest)
    users = {
        user.name: UserState(
            "1000",
            user.home,
            "/bin/bash" if user.login else "/usr/sbin/nologin",
            user.name,
            expired=not user.login,
            manager=not user.login,
        )
        for user in footprint.users
    }
    return HostState((), users, paths, footprint.units, "")


NOTHING = HostState((), {}, {}, (), "")


@pytest.mark.parametrize("host", [APP, BUILD, Host(name="one", roles=("app", "build", "migrate"))])
def test_a_host_that_is_as_it_should_be_differs_in_nothing_and_an_empty_one_in_all(host: Host) -> None:
    wanted = want(host)

    assert not difference(wanted, as_found(wanted), "web1")
    everything = difference(wanted, NOTHING, "web1")
    assert (everything.users, everything.directories, everything.files, everything.units) == (
        wanted.users,
        wanted.directories,
        wanted.files,
        wanted.units,
    )


@pytest.mark.parametrize("change", [{"mode": "777"}, {"owner": "nobody"}, {"group": "nogroup"}, {"sha256": "other"}])
def test_one_thing_that_was_changed_by_hand_is_all_that_differs(change: dict[str, str]) -> None:
    wanted = want()
    found = as_found(wanted)
    file = wanted.files[0]
    changed = msgspec.structs.replace(found.paths[file.path], **change)

    left = difference(wanted, msgspec.structs.replace(found, paths={**found.paths, file.path: changed}), "web1")

    assert left.files == (file,)
    (said,) = left.sentences()
    assert said.startswith(f"file {file.path} {file.mode} {file.owner}:{file.group} (it")


def test_a_user_that_runs_the_app_is_closed_where_its_account_has_not_expired() -> None:
    wanted = want()
    found = as_found(wanted)
    users = {**found.users, "hello": msgspec.structs.replace(found.users["hello"], expired=False)}

    left = difference(wanted, msgspec.structs.replace(found, users=users), "web1")

    assert left.closed == ("hello",)
    assert left.sentences() == ["user hello closed (ssh would let it in)"]


def test_a_live_release_without_a_copy_and_a_copy_that_does_not_count_are_changes() -> None:
    wanted = want()
    found = as_found(wanted)

    left = difference(wanted, msgspec.structs.replace(found, unadmitted="R2", discounted=("R1",)), "web1")

    assert bool(left)
    assert left.sentences() == [
        "the live release R2 admitted (root has no copy)",
        "the admitted copy of R1 removed (its signature does not count)",
    ]


def test_for_a_user_that_logs_in_systemd_is_kept_from_starting_a_manager() -> None:
    wanted = want()
    found = as_found(wanted)
    users = {name: msgspec.structs.replace(user, manager=True) for name, user in found.users.items()}

    left = difference(wanted, msgspec.structs.replace(found, users=users), "web1")

    assert left.unmanaged == ("deploy",)
    assert left.sentences() == ["user deploy without a systemd of its own"]


def test_every_verb_of_the_helper_is_in_the_list_of_rights() -> None:
    text = (PROJECT / "docs" / "security.md").read_text()

    assert [verb for verb in SUDO_VERBS if f"`{verb}`" not in text.partition("## The privileged helper")[2]] == []


def test_what_was_changed_by_hand_is_distinguished_from_what_the_inventory_changed() -> None:
    wanted = want()
    found = as_found(wanted)
    file = wanted.files[0]

    def reason(written: str) -> str:
        there = msgspec.structs.replace(found.paths[file.path], sha256="1" * 64, written=written)
        left = difference(wanted, msgspec.structs.replace(found, paths={**found.paths, file.path: there}), "web1")
        return left.reasons[file.path]

    assert reason("1" * 64) == "its text differs"
    assert reason("2" * 64) == "it was changed by hand"


def test_a_change_that_the_app_reads_at_its_start_needs_a_restart_while_it_runs() -> None:
    wanted = want()
    found = msgspec.structs.replace(as_found(wanted), started=1000)
    variables = "/etc/acme/hello/app.env"

    def after(path: str, started: int = 1000, **change: object) -> tuple[str, ...]:
        there = msgspec.structs.replace(found.paths[path], **change)
        facts = msgspec.structs.replace(found, paths={**found.paths, path: there}, started=started)
        return outdated(wanted, facts)

    assert after(variables) == ()
    assert after(variables, sha256="other") == (variables,)
    assert after(variables, mode="644") == ()
    # A setup changed the file without restarting the instance.
    assert after(variables, changed=1001) == (variables,)
    assert after(variables, started=0, sha256="other") == ()
    assert after("/usr/lib/warpbeam/hello/warpbeam-helper", sha256="other") == ()


# Public keys that ssh-keygen made, with their fingerprints as `ssh-keygen -l` shows them.
ME = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here"


def test_keys_come_and_go_by_fingerprint_and_comment() -> None:
    wanted = footprint(INVENTORY, APP, {}, "C", (ME,))
    found = as_found(wanted)
    text = f'# by hand\n{ME}\n\nfrom="10.0.0.1" ssh-rsa AAAA/not/a/key+ him\nnonsense\n'
    there = msgspec.structs.replace(found.paths[wanted.keys], sha256="other", text=text)
    other = PathState("regular file", "600", "deploy", "deploy", "other")

    left = difference(
        wanted, msgspec.structs.replace(found, paths={**found.paths, wanted.keys: there, f"{wanted.keys}2": other}), ""
    )

    assert left.keys_added == ()
    assert len(left.keys_removed) == 2
    assert left.absent == ("/home/deploy/.ssh/authorized_keys2",)
    said = "\n".join(left.sentences())
    assert "file /home/deploy/.ssh/authorized_keys2 removed" in said
    assert "deploy key removed: a line that is no key" in said
    assert re.search(r"deploy key removed: .*him", said)
    # Without `deploy_keys` in the inventory, setup does not touch keys.
    assert footprint(INVENTORY, APP, {}, "C", None).keys == ""


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_a_fingerprint_is_the_one_that_ssh_shows(tmp_path: Path) -> None:
    file = tmp_path / "key.pub"
    file.write_text(f"{ME}\n")

    shown = subprocess.run(["ssh-keygen", "-l", "-f", file], capture_output=True, text=True, check=True).stdout

    _, fingerprint, comment, _ = shown.split()
    assert described(ME) == f"{fingerprint} {comment}"


def test_missing_packages_are_planned_or_refused_where_nothing_can_install_them() -> None:
    wanted = want(inventory=msgspec.structs.replace(INVENTORY, packages=("libvips42", "curl")))
    found = msgspec.structs.replace(as_found(wanted), uninstalled=("libvips42",), installer="apt")

    assert difference(wanted, found, "web1").sentences() == ["package libvips42 installed"]
    with pytest.raises(Refused, match="neither apt nor dnf: libvips42"):
        difference(wanted, msgspec.structs.replace(found, installer=""), "web1")


@pytest.mark.parametrize(("installer", "library"), [("apt", "libncurses-dev"), ("dnf", "ncurses-devel")])
def test_a_build_host_gets_what_the_build_of_an_erlang_needs_where_that_is_asked_for(
    installer: Literal["apt", "dnf"], library: str
) -> None:
    inventory = msgspec.structs.replace(INVENTORY, build=Build(install=True), packages=("curl",))
    both = msgspec.structs.replace(BUILD, roles=("app", "build"))
    for host, compiler in ((BUILD, True), (APP, False), (both, True)):
        wanted = want(host, inventory)
        asked = asked_packages(wanted.packages, kit=wanted.kit)
        found = msgspec.structs.replace(as_found(wanted), uninstalled=asked, installer=installer)

        packages = difference(wanted, found, host.name).packages

        # No package of the other installer, and none twice.
        assert (library in packages, len({*packages})) == (compiler, len(packages))
        assert {*packages} == {*(COMPILER[installer] if compiler else ()), *wanted.packages}
    assert not want(BUILD).kit


def test_setup_does_not_take_over_what_is_not_its_own() -> None:
    wanted = want()
    found = as_found(wanted)
    people = {**found.users, "hello": UserState("1001", "/home/hello", "/bin/bash", "hello")}
    with pytest.raises(Refused, match="web1: the app user hello exists and may log in"):
        difference(wanted, msgspec.structs.replace(found, users=people), "web1")
    link = PathState("symbolic link", "777", "root", "root", "")
    with pytest.raises(Refused, match="/opt/acme/hello is a symbolic link; expected a directory"):
        difference(wanted, msgspec.structs.replace(found, paths={**found.paths, "/opt/acme/hello": link}), "web1")


def test_only_root_reads_secrets_and_they_are_in_one_file() -> None:
    for file in want().files:
        holds = SECRET in file.content or "C" * COOKIE_LENGTH in file.content
        assert holds == file.secret
        if holds:
            assert (file.mode, file.owner) == ("600", "root")


def test_the_app_owns_nothing_and_nothing_is_writable_by_all() -> None:
    wanted = want()

    owned = [(item.owner, item.mode) for item in wanted.directories] + [
        (item.owner, item.mode) for item in wanted.files
    ]
    for owner, mode in owned:
        assert owner != "hello"
        assert not int(mode, 8) & 0o022


def test_a_build_host_gets_no_secret_no_helper_and_no_unit() -> None:
    wanted = want(BUILD)

    assert [file.path for file in wanted.files] == ["/home/deploy/.ssh/authorized_keys"]
    assert wanted.units == ()
    assert [user.name for user in wanted.users] == ["deploy"]


def test_every_verb_of_the_helper_is_in_sudoers_and_is_there() -> None:
    files = {file.path: file.content for file in want().files}
    helper = files["/usr/lib/warpbeam/hello/warpbeam-helper"]

    allowed = re.findall(
        r"^ +/usr/lib/warpbeam/hello/warpbeam-helper (\S+?)(?:,|$)", files["/etc/sudoers.d/warpbeam-hello"], re.M
    )
    assert tuple(allowed) == SUDO_VERBS
    for verb in SUDO_VERBS:
        assert f"\nverb_{verb}() {{" in helper
    assert f"readonly VERSION={HELPER_VERSION}\n" in helper


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_helper_is_bash(tmp_path: Path) -> None:
    file = tmp_path / "helper"
    file.write_text(next(file.content for file in want().files if file.path.endswith("/warpbeam-helper")))

    assert subprocess.run(["bash", "-n", file], capture_output=True, text=True, check=False).stderr == ""


def parsed(text: str) -> str:
    """Return a double-quoted value as systemd reads it (env-file.c, DOUBLE_QUOTE_VALUE and its ESCAPE)."""
    assert text[0] == '"'
    value, position = "", 1
    while text[position] != '"':
        character = text[position]
        if character == "\\":
            position += 1
            character = text[position]
            if character == "\n":
                character = ""
            elif character not in '"\\`$':
                character = "\\" + character
        value += character
        position += 1
    assert position == len(text) - 1
    return value


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
@example("\\")
@example('\\\\"$(id)`\\n\n\\\n')
def test_systemd_reads_back_whatever_a_value_holds(value: str) -> None:
    assert parsed(systemd_quoted(value)) == value


def has(letter: str, *, shown: bool = False) -> HostState:
    """Return a host whose cookie is that letter, repeated."""
    return msgspec.structs.replace(NOTHING, cookie=letter * COOKIE_LENGTH, cookie_shown=shown)


def test_a_new_host_takes_the_others_cookie_and_hosts_that_differ_are_reported() -> None:
    assert agreed_cookie({"web1": has("A"), "web2": NOTHING}) == Cookie("A" * COOKIE_LENGTH, joined=True)
    assert re.fullmatch(f"[A-Za-z0-9]{{{COOKIE_LENGTH}}}", agreed_cookie({"web1": NOTHING}).value)
    assert mint_cookie() != mint_cookie()
    with pytest.raises(Refused, match="hosts have different cookies: web1, web2"):
        agreed_cookie({"web1": has("A"), "web2": has("B")})


@pytest.mark.parametrize(
    ("hosts", "left_out", "expected"),
    [
        # No host has a cookie that was never readable for others.
        ((has("A", shown=True), has("A", shown=True)), "", "new"),
        ((has("A", shown=True), has("B", shown=True)), "", "new"),
        ((has("A", shown=True), NOTHING), "", "new"),
        # A setup that ended half way continues with the new cookie, whichever hosts are chosen.
        ((has("A", shown=True), has("B")), "", "B"),
        ((has("A", shown=True), has("B")), "web2", "B"),
        ((has("B"), has("A", shown=True)), "web2", "B"),
        # A new cookie here would differ from that of the hosts that are left out.
        ((has("A", shown=True), has("A", shown=True)), "web2", "A, shown"),
        ((NOTHING, has("A", shown=True)), "web2", "A, shown"),
        # A cookie that was readable on another host is no better.
        ((has("A"), has("A", shown=True)), "", "new"),
        ((has("A"), has("A", shown=True)), "web2", "A, shown"),
        ((has("A", shown=True), has("B", shown=True)), "web2", "refused"),
        ((has("A"), has("B")), "web2", "refused"),
    ],
)
def test_a_cookie_that_others_could_read_is_replaced_on_all_hosts_or_on_none(
    hosts: tuple[HostState, HostState], left_out: str, expected: str
) -> None:
    found = dict(zip(("web1", "web2"), hosts, strict=True))

    try:
        cookie = agreed_cookie(found, left_out=[left_out] if left_out else [])
    except Refused:
        assert expected == "refused"
    else:
        known = cookie.value[0] if cookie.value in {each.cookie for each in hosts} else "new"
        assert f"{known}{', shown' if cookie.shown else ''}" == expected
        assert cookie.joined == (expected == "B")


def test_the_file_of_a_cookie_says_whether_others_could_read_it() -> None:
    for shown in (False, True):
        files = footprint(INVENTORY, APP, {}, "C", (), cookie_shown=shown).files
        text = next(file.content for file in files if file.path.endswith("/cookie.env"))
        assert (COOKIE_MARK in text) is not shown


def test_deploy_keys_are_read_and_a_private_key_is_refused(tmp_path: Path) -> None:
    public, private = tmp_path / "key.pub", tmp_path / "key"
    public.write_text("# mine\nssh-ed25519 AAAA me\n\nssh-ed25519 AAAA me\n")
    private.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")

    def keys(*entries: str) -> tuple[str, ...] | None:
        return read_deploy_keys(msgspec.structs.replace(INVENTORY, deploy_keys=entries))

    assert keys(str(public), "ssh-rsa BBBB you") == ("ssh-ed25519 AAAA me", "ssh-rsa BBBB you")
    with pytest.raises(Misuse, match=r"deploy_keys\[0\]: .*holds no public key"):
        keys(str(private))
    with pytest.raises(Misuse, match=r"deploy_keys\[1\]: .* cannot be read"):
        keys(str(public), str(tmp_path / "missing.pub"))
