"""A host in the wrong hands answers what it likes: that is its own problem, and nothing of it reaches another host."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.assertions import ROOT, assert_serves, commit_another_version
from tests.environment import LabEnvironment
from warpbeam.error import AMISS, FAILED, REFUSED

COOKIE = "/etc/acme/hello/cookie.env"
# A program that every record passes before it leaves the host: sed.
LIAR = "exec > >(exec sed -u -E -f ~/.lies)\n"


@contextmanager
def lying(environment: LabEnvironment, host: str, *lies: str, user: str = "deploy") -> Iterator[None]:
    """Change the answers to a login as `user` on `host`, by the commands of sed in `lies`."""
    home = f"/home/{user}"
    script = base64.b64encode("\n".join(lies).encode()).decode()
    environment.lab.ssh(
        host,
        f"cd {home} && cp -a .bashrc .bashrc.honest 2>/dev/null; touch .bashrc && echo {script} | base64 -d >.lies && "
        f"printf '%s' {base64.b64encode(LIAR.encode()).decode()} | base64 -d | cat - .bashrc >.bashrc.lying && "
        "mv -f .bashrc.lying .bashrc",
        user,
    )
    try:
        yield
    finally:
        honest = "if [ -e .bashrc.honest ]; then mv -f .bashrc.honest .bashrc; else rm -f .bashrc; fi; rm -f .lies"
        environment.lab.ssh(host, f"cd {home} && {honest}", user)


def field(name: str, value: str) -> str:
    """The lie that a text, a number or a word of an answer is `value` (JSON)."""
    value = value.replace("\\", "\\\\").replace("&", "\\&")
    return rf'/"answer"/s~"{name}":("([^"\\]|\\.)*"|[0-9.-]+|true|false|null)~"{name}":{value}~'


def whole(record: str) -> str:
    """The lie that the answer is this record."""
    text = record.replace("\\", "\\\\").replace("&", "\\&")
    return f'/"answer"/s~.*~\\x1e{text}~'


def kept(environment: LabEnvironment, *hosts: str) -> dict[str, str]:
    """The releases, links and lock of each app host."""
    look = f"cd {ROOT} && ls releases && readlink current slots/a slots/b; ls -d lock planted* 2>/dev/null || true"
    return {host: environment.lab.ssh(host, look, "deploy").stdout for host in hosts or ("web1", "web2")}


# Lies of a host, by the command that asks, and what its problem is about.
LOOKING = {
    "a slot of another name": ("status", field("live", '"c"'), "$.live"),
    "a slot that leads to a path": (
        "status",
        r'/"answer"/s~"slots":\{"a":"[^"]*"~"slots":{"a":"/etc/passwd"~',
        "slots",
    ),
    "a process that is no number": ("status", r's~"pid":[0-9]+~"pid":"x"~', "$.helper"),
    "a helper that says one word": ("status", r's~"helper":\{~"helper":"slot","x":{~', "$.helper"),
    "a redirect to no port": ("status", r's~"redirect":\[~&"x",~', "$.helper"),
    "a health that is a number": ("status", field("health", "7"), "$.health"),
    "a release with a slash": ("status", r's~"name":"[^"]*"~"name":"../../x"~', "name"),
    "a release of no date": ("releases", r's~"name":"[^"]*"~"name":"20269999T999999Z"~', "name"),
    "a mark that nobody sets": ("releases", r's~"mark":"[^"]*"~"mark":"live\\u001b[2J"~', "mark"),
    "a list of releases that is none": ("releases", r's~"releases":\[.*\],"lock"~"releases":{},"lock"~', "releases"),
    "an answer that is a list": ("status", whole('{"answer":[]}'), "array"),
    "an answer that is nothing": ("status", whole('{"answer":null}'), "null"),
    "a refusal that is a number": ("status", whole('{"refused":5}'), "int"),
    "a refusal without a message": ("status", whole('{"refused":{}}'), "message"),
    "a failure whose message is a list": ("status", whole('{"failed":{"message":["x"]}}'), "message"),
    "a failure whose lines are numbers": ("status", whole('{"failed":{"message":"x","lines":[1,2]}}'), "lines"),
    "a number that JSON does not have": ("status", whole('{"answer":{"left":NaN}}'), "without an answer"),
    "more brackets than anybody reads": ("status", whole('{"answer":' + "[" * 20_000), "without an answer"),
    "a history that is a number": ("history", whole('{"answer":{"entries":5}}'), "entries"),
    "a history with a time of no form": ("history", whole(r'{"answer":{"entries":["{\"at\":\"x\"}"]}}'), "at"),
    "a history whose release is a path": (
        "history",
        whole(
            r'{"answer":{"entries":["{\"at\":\"2026-11-23T12:00:00Z\",\"what\":\"x\",'
            r'\"outcome\":\"done\",\"release\":\"../x\"}"]}}'
        ),
        "release",
    ),
    "a lock with a number's time left": ("lock.status", field("left", '"x"'), "left"),
    "a lock whose freeze is a word": ("lock.status", field("frozen", '"no"'), "frozen"),
}


@pytest.mark.parametrize("what", LOOKING)
def test_what_one_host_says_is_its_own_problem_and_the_others_are_shown(environment: LabEnvironment, what: str) -> None:
    word, lie, about = LOOKING[what]
    with lying(environment, "web2", lie):
        done = environment.fab(word, "--json", expect=None)

    rows = json.loads(done.stdout)
    (problem,) = [row["problem"] for row in rows if row["host"] == "web2" and row.get("problem")]
    assert about in problem, problem
    assert "fault in Warpbeam" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert [row for row in rows if row["host"] == "web1"]
    # An entry of its history may tell of the problem of an earlier command.
    assert not [row for row in rows if row["host"] == "web1" and "at" not in row and row.get("problem")]
    assert done.returncode in (REFUSED, FAILED, AMISS)
    # A person who watches `status` sees it.
    assert word != "status" or done.returncode == FAILED


CLAIMING = {
    "a CPU of two lines": field("cpu", '"x86_64\\nx"'),
    "a C library without a name": field("libc", '" "'),
    "a C library of odd digits": field("libc", '"glibc \u00b2.\u00b2"'),
    "less room than nothing": field("free", "-1"),
    "more memory than there is": field("memory", "1e300"),
    "inodes beyond any number": field("inodes", "99999999999999999999999"),
    "a base that leads elsewhere": field("base", '"../../../home/deploy"'),
    "a release before it that leads elsewhere": field("previous", '"a/../b"'),
    "missing files before the first": r's~"lacks":\[[^]]*\]~"lacks":[-1]~',
    "missing files beyond the last": r's~"lacks":\[[^]]*\]~"lacks":[1000000]~',
    "missing files twice": r's~"lacks":\[[^]]*\]~"lacks":[1,1]~',
    "a helper of a version that is a word": r's~"helper":\{"version":"[0-9]*"~"helper":{"version":"eight"~',
    "an activation that may be": field("activating", '"no"'),
    "a release of the year 9999": r's~"releases":\[~&{"name":"99991231T235959Z","mark":"new","artifact":{}},~',
    "a release with a line end": r's~"releases":\[~&{"name":"20261123T120000Z\\n","mark":"new","artifact":{}},~',
}


@pytest.mark.parametrize("what", CLAIMING)
def test_what_one_host_claims_stops_a_deploy_before_anything_is_changed(environment: LabEnvironment, what: str) -> None:
    before = kept(environment)
    with lying(environment, "web2", CLAIMING[what]):
        done = environment.fab("deploy", "--force", expect=REFUSED)

    error = next(line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert error.startswith("error: web2: "), error
    admitted = ("does not understand", "ahead of this machine's clock", "after which no time can come")
    assert any(words in error for words in admitted), error
    assert "fault in Warpbeam" not in done.stderr
    # No host has the lock still.
    assert kept(environment) == before


ROOTS = {
    "setup: a path that is none": ("setup", r's~"paths":\{"~&x~'),
    "setup: a digest that is none": ("setup", r's~"sha256":"[^"]*"~"sha256":"x"~'),
    "setup: a group of two lines": ("setup", r's~"groups":\[[^]]*\]~"groups":["a\\nb"]~'),
    "setup: an ssh port beyond all": ("setup", field("ssh", "70000")),
    "setup: an installer of its own": ("setup", field("installer", '"sh"')),
    "doctor: a clock that is no number": ("doctor", field("clock", '"nan"')),
    "doctor: a disk of negative size": ("doctor", r's~"free":[0-9]+~"free":-5~'),
    "firewall.status: a port and more": (
        "firewall.status",
        r's~"leads":\{[^}]*\}~"leads":{"80":"4001; flush ruleset"}~',
    ),
    "secrets.list: a text that is a number": ("secrets.list", field("text", "5")),
}


@pytest.mark.parametrize("what", ROOTS)
def test_what_root_says_on_one_host_is_its_own_problem_too(environment: LabEnvironment, what: str) -> None:
    word, lie = ROOTS[what]
    words = ("setup", "--check") if word == "setup" else (word,)
    with lying(environment, "web2", lie, user="admin"):
        done = environment.fab(*words, expect=None)

    said = done.stdout + done.stderr
    assert "does not understand" in said, said
    assert any("web2" in line and "does not understand" in line for line in said.splitlines()) or "web2" in done.stdout
    assert "fault in Warpbeam" not in said
    assert done.returncode in (REFUSED, FAILED, AMISS)
    if word not in ("setup", "secrets.list"):
        assert "web1" in done.stdout


def test_no_cookie_of_one_host_writes_a_variable_on_another(environment: LabEnvironment) -> None:
    evil = """'"x\\nERL_FLAGS=-eval os:cmd(\\"id\\")"'"""[1:-1]
    environment.lab.ssh("web1", f"sudo mv {COOKIE} {COOKIE}.before")
    try:
        with lying(environment, "web2", field("cookie", evil), user="admin"):
            done = environment.fab("setup", expect=None)

        assert environment.lab.ssh("web1", f"sudo cat {COOKIE}", check=False).stdout == ""
        assert done.returncode in (REFUSED, FAILED)
        assert (
            "web2: inspect answered what this Warpbeam does not understand: $.cookie: expected a cookie" in done.stderr
        )
        assert "ERL_FLAGS" not in done.stderr
    finally:
        environment.lab.ssh("web1", f"sudo mv {COOKIE}.before {COOKIE}")
    # An honest answer lets it join, and the output says with which hosts.
    environment.lab.ssh("web1", f"sudo mv {COOKIE} {COOKIE}.before")
    try:
        assert "web1: takes the cookie of web2" in environment.fab("setup").stderr
        cookies = {
            host: environment.lab.ssh(host, f"sudo grep RELEASE_COOKIE {COOKIE}").stdout for host in ("web1", "web2")
        }
        assert cookies["web1"] == cookies["web2"]
    finally:
        environment.lab.ssh("web1", f"sudo mv {COOKIE}.before {COOKIE}")


@pytest.mark.parametrize("text", ["RELEASE_COOKIE=a\nRELEASE_COOKIE=b", "RELEASE_COOKIE='x'", "RELEASE_COOKIE=$(id)"])
def test_a_cookies_file_that_holds_none_is_refused_with_its_name(environment: LabEnvironment, text: str) -> None:
    environment.lab.ssh(
        "web2", f"sudo cp -a {COOKIE} {COOKIE}.before && sudo tee {COOKIE} >/dev/null", stdin=f"{text}\n"
    )
    try:
        done = environment.fab("setup", expect=REFUSED)

        assert f"web2: what {COOKIE} says is no cookie" in done.stderr
    finally:
        environment.lab.ssh("web2", f"sudo mv -f {COOKIE}.before {COOKIE}")


def test_a_branch_that_a_host_names_for_a_commit_goes_out_on_no_other(environment: LabEnvironment) -> None:
    version = commit_another_version(environment)
    environment.fab("deploy")
    before = kept(environment)
    evil = _branch(environment, "evil", "6.6.6")
    lies = {
        "a branch": ('"commit":"evil"', '"sha256":"' + "0" * 64 + '"'),
        "a commit of the repository": (f'"commit":"{evil}"', '"sha256":"' + "0" * 64 + '"'),
        "an option of git's": ('"commit":"--output=/tmp/x"', '"sha256":"' + "0" * 64 + '"'),
    }
    for commit, digest in lies.values():
        lie = f's~"commit":"[^"]*"~{commit}~g; s~"sha256":"[^"]*"~{digest}~g'
        with lying(environment, "web1", lie):
            done = environment.fab("-H", "web2", "deploy", "--release", "live", "--force", expect=REFUSED)
        assert "is not known on this machine" in done.stderr
        assert "building" not in done.stderr
        assert kept(environment) == before
    # Nor by what the artifacts of this machine's own store are called.
    others = [file.stem for file in sorted(environment.store.directory.glob("*.json"))]
    digests = {found.manifest.sha256 for key in others if (found := environment.store.find(key))}
    old = next(digest for digest in sorted(digests) if digest not in _digests(environment, "web1"))
    with lying(environment, "web1", f's~"sha256":"[^"]*"~"sha256":"{old}"~g'):
        done = environment.fab("-H", "web2", "deploy", "--release", "live", "--force", expect=REFUSED)
    assert "is not known on this machine" in done.stderr
    assert kept(environment) == before
    # A release that this machine put live has it.
    environment.fab("-H", "web2", "deploy", "--release", "live", "--force")
    assert_serves(environment, version)


def _branch(environment: LabEnvironment, name: str, version: str) -> str:
    """A branch of the app's repository with a version that nobody has deployed; its commit."""
    environment.git("checkout", "-q", "-B", name)
    try:
        return environment.version(version)
    finally:
        environment.git("checkout", "-q", "main")


def _digests(environment: LabEnvironment, host: str) -> set[str]:
    """Return the digest of the live release's artifact."""
    text = environment.lab.ssh(host, f"cat {ROOT}/current/.warpbeam/artifact.json", "deploy").stdout
    return {json.loads(text)["sha256"]}


def test_a_description_beside_a_release_that_is_none_keeps_nobody_from_the_host(environment: LabEnvironment) -> None:
    environment.fab("deploy")
    file = f"{ROOT}/current/.warpbeam/artifact.json"
    environment.lab.ssh(
        "web2", f'cp -a {file} /tmp/artifact.json && sed -i \'s/"commit":"[^"]*"/"commit":"evil"/\' {file}', "deploy"
    )
    try:
        done = environment.fab("status")
        assert "what it is cannot be read from" in done.stderr
        assert "(unknown) on web2" in done.stderr
        assert "evil" not in done.stdout + done.stderr
        version = commit_another_version(environment)
        environment.fab("deploy")
        assert_serves(environment, version)
    finally:
        release = environment.releases("web2")[1]["release"]
        environment.lab.ssh(
            "web2", f"mv -f /tmp/artifact.json {ROOT}/releases/{release}/.warpbeam/artifact.json", "deploy"
        )


def test_a_release_that_one_host_names_by_a_path_is_made_on_no_other(environment: LabEnvironment) -> None:
    environment.fab("deploy")
    version = commit_another_version(environment)
    environment.fab("-H", "web1", "deploy")
    name = environment.status()["web1"]["release"]
    before = kept(environment, "web2")

    with lying(environment, "web1", f"s~{name}~../planted{name}~g"):
        done = environment.fab("deploy", expect=None)

    assert environment.lab.ssh("web2", f"ls {ROOT}", "deploy").stdout.count("planted") == 0
    assert done.returncode == REFUSED
    assert "error: web1: claim answered what this Warpbeam does not understand" in done.stderr
    assert kept(environment, "web2") == before
    environment.fab("deploy")
    assert_serves(environment, version)


@pytest.mark.parametrize("text", ["not JSON", '{"who": ["x"]}', "[" * 5000], ids=["no JSON", "a list", "brackets"])
def test_an_unreadable_lock_is_reported_and_can_be_released(environment: LabEnvironment, text: str) -> None:
    environment.fab("lock.acquire", "--reason", "an audit")
    try:
        environment.lab.ssh("web2", f"sed -i '4s~.*~{text}~' {ROOT}/lock", "deploy")

        rows = {row["host"]: row for row in json.loads(environment.fab("lock.status", "--json").stdout)}
        assert (rows["web1"]["why"], rows["web2"]["who"]) == ("freeze: an audit", "somebody")
        assert "web2" in environment.fab("deploy", expect=REFUSED).stderr
        assert {row["health"] for row in environment.status().values()} == {"healthy"}
    finally:
        environment.fab("lock.release")
    assert {row["lock"] for row in json.loads(environment.fab("lock.status", "--json").stdout)} == {"free"}


@pytest.mark.parametrize(
    "lie",
    [field("elixir", '"1.14.0\\nx"'), field("otp", '"../25"'), field("libc", '""'), field("cpu", '"a b"')],
    ids=["elixir", "otp", "libc", "cpu"],
)
def test_a_build_host_that_lies_of_its_tools_builds_nothing(environment: LabEnvironment, lie: str) -> None:
    with lying(environment, "build1", lie):
        done = environment.fab("deploy", expect=FAILED)

    assert "build1: toolchain answered what this Warpbeam does not understand" in done.stderr
    assert "fault in Warpbeam" not in done.stderr


@pytest.mark.parametrize(
    "lie",
    [
        field("version", '"6.6.6;id"'),
        field("erts", '"../13"'),
        field("tarball", '"-x"'),
        field("sha256", '"x"'),
        field("size", "-1"),
        field("libcrypto", '"/tmp/evil.so"'),
    ],
    ids=["version", "erts", "tarball", "sha256", "size", "libcrypto"],
)
def test_a_build_host_that_lies_of_what_it_made_brings_nothing_home(environment: LabEnvironment, lie: str) -> None:
    kept = sorted(environment.store.directory.glob("*"))
    # A source that has never been built.
    odd = environment.source / "LIE"
    odd.write_text(lie)
    environment.commit("a file more")
    try:
        with lying(environment, "build1", lie):
            done = environment.fab("build-on-host", expect=FAILED)
    finally:
        odd.unlink()
        environment.commit("a file less")

    assert "build1: build answered what this Warpbeam does not understand" in done.stderr
    assert sorted(environment.store.directory.glob("*")) == kept
