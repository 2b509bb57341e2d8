"""Artifacts that are not what they say: by a commit, by a build host, by the store, by what lies on a host."""

from __future__ import annotations

import base64
import copy
import gzip
import hashlib
import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest

from tests.assertions import APP_HOSTS, ROOT, assert_serves, damaged_file, lasting_status
from tests.environment import LabEnvironment
from warpbeam.build.artifact import Artifact, Item

BAIT = "/home/deploy/.bashrc"
# The file that a smuggled command leaves behind.
PLANTED = "/tmp/planted-by-an-artifact"
SUBJECT = f"a subject $(id -un >{PLANTED}) `id -un >{PLANTED}`"
# Files that must stay: the home of the deploy user, what was planted, the releases of the host and their marks.
STATE = f"""
find /home/deploy {ROOT}/releases -xdev ! -type d -printf '%y %m %u:%g %n %s %T@ %l %p\\n'
find /home/deploy {ROOT}/releases -xdev -type d -printf '%y %m %u:%g %p\\n'
find /tmp /opt -maxdepth 1 -name 'planted*'
"""


@contextmanager
def assert_app_hosts_unchanged(environment: LabEnvironment) -> Iterator[None]:
    """Fail unless every app host is afterwards as it was, down to each file, and still serves; nothing ran there."""
    before = {host: _state(environment, host) for host in APP_HOSTS}
    serving = lasting_status(environment)
    yield
    for host in APP_HOSTS:
        changed = sorted(before[host] ^ _state(environment, host))
        assert not changed, f"{host}:\n" + "\n".join(changed[:20])
    assert lasting_status(environment) == serving


def _state(environment: LabEnvironment, host: str) -> set[str]:
    return set(environment.lab.ssh(host, "sudo bash -s", stdin=STATE).stdout.splitlines())


# --- A commit ---


def overlay(environment: LabEnvironment, name: str, link: str = "") -> None:
    """Put a file, or a link, into what `mix release` copies into each release."""
    file = environment.source / "rel" / "overlays" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    if link:
        file.symlink_to(link)
    else:
        file.write_text(f"{time.time_ns()}\n")


def test_a_commit_whose_overlay_is_a_link_for_our_metadata_is_refused_by_its_name(source: LabEnvironment) -> None:
    overlay(source, ".warpbeam/artifact.json", BAIT)
    source.commit(SUBJECT)

    with assert_app_hosts_unchanged(source):
        refused = source.fab("deploy", expect=4)

    assert "error: build1: the release holds what no release may hold" in refused.stderr
    assert "| '.warpbeam' has a name that is Warpbeam's own" in refused.stderr


def test_a_commit_that_brings_its_own_mark_of_health_is_refused(source: LabEnvironment) -> None:
    overlay(source, ".warpbeam/healthy")
    source.version("9.9.0", fault="crash-at-boot")

    with assert_app_hosts_unchanged(source):
        refused = source.fab("deploy", expect=4)

    assert "| '.warpbeam' has a name that is Warpbeam's own" in refused.stderr
    assert "undo" not in refused.stderr


# Files that git can keep, and others that a step of `mix release` can make, each with its message.
COMMITTED = {
    ".WarpBeam/mark": ("", "'.WarpBeam' has a name that is Warpbeam's own"),
    "etc": ("/etc", "'etc' is a link to '/etc', which is outside of the release"),
    "up": ("../../../../home/deploy", "'up' is a link to '../../../../home/deploy', which is outside of the release"),
    "one": ("two", "'one' is a link to 'two', which is outside of the release"),
    "two": ("priv/../../..", "'two' is a link to 'priv/../../..', which is outside of the release"),
    "line\nend": ("", "$'line\\nend' has a control character in its name, or is not UTF-8"),
    "esc\x1b[2J": ("", "$'esc\\E[2J' has a control character in its name"),
}
STEPS = {
    "mkfifo fifo": "'fifo' is neither a file, a link nor a directory",
    "cp bin/hello setuid; chmod 4755 setuid": "'setuid' has mode 4755",
    "cp bin/hello setgid; chmod 2755 setgid": "'setgid' has mode 2755",
    "perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0) && bind(S, sockaddr_un(q(socket)))'": (
        "'socket' is neither a file, a link nor a directory"
    ),
    "touch $(printf 'c1\\302\\2332J')": "$'c1\\302\\2332J' has a control character in its name",
    "touch $(printf 'no\\377')": "$'no\\377' has a control character in its name, or is not UTF-8",
}


def step(environment: LabEnvironment, *commands: str) -> None:
    """Have a step of `mix release` run these in the release."""
    mix = environment.source / "mix.exs"
    command = json.dumps("; ".join(commands)).replace("#{", "\\#{")
    plant = f'defp plant(release), do: (System.cmd("bash", ["-c", {command}], cd: release.path); release)\n\n  defp rel'
    text = mix.read_text()
    assert "[:assemble]" in text
    mix.write_text(text.replace("[:assemble]", "[:assemble, &plant/1]").replace("defp rel", plant, 1))


def test_a_commit_is_refused_with_the_name_of_each_thing_that_no_release_may_hold(source: LabEnvironment) -> None:
    for name, (link, _) in COMMITTED.items():
        overlay(source, name, link)
    step(source, *STEPS)
    source.commit("what no release may hold")

    with assert_app_hosts_unchanged(source):
        refused = source.fab("deploy", expect=4)

    for what in (*(said for _, said in COMMITTED.values()), *STEPS.values()):
        assert what in refused.stderr
    assert "\x1b[2J" not in refused.stderr


def test_what_is_odd_but_harmless_goes_out_as_it_is(source: LabEnvironment) -> None:
    inside = source.source / "rel" / "overlays" / "static"
    names = [
        "a b  c.txt",
        'it\'s "quoted" $(id) `id` \\n.txt',
        "-rf",
        "*",
        "@",
        " leading",
        "trailing ",
        "...",
        "[x]",
        "~",
    ]
    inside.mkdir(parents=True)
    for name in names:
        (inside / name).write_text(f"{name} {time.time_ns()}\n")
    (inside / "link to it").symlink_to("a b  c.txt")
    (inside / "up").symlink_to("../bin")
    # Mix itself copies no such name on a build host without a locale of UTF-8.
    step(source, "touch static/$(printf 'caf\\303\\251')' menu.txt'")
    names.append("caf\u00e9 menu.txt")
    source.commit("odd names")

    source.fab("deploy")

    for host in APP_HOSTS:
        there = f"{ROOT}/current/static"
        found = source.lab.ssh(host, f"sudo find {there}/ -mindepth 1 -printf '%f\\t%l\\n'").stdout.splitlines()
        expected = [f"{name}\t" for name in names] + ["link to it\ta b  c.txt", "up\t../bin"]
        assert sorted(found) == sorted(expected)
    # And from there, with only what is new.
    source.commit("odd names again")
    source.fab("deploy", "--force")


# --- What is forged: tarballs and manifests of any kind ---

Members = list[tuple[tarfile.TarInfo, bytes]]


class Forgery(msgspec.Struct):
    """An artifact in the making: what its manifest says, and what its tarball holds."""

    items: list[Item]
    members: Members
    directories: list[str]

    def add(self, name: str, content: bytes = b"planted\n", **attributes: object) -> Forgery:
        """One more member, of which the manifest says nothing."""
        member = tarfile.TarInfo(name)
        member.size = 0 if attributes else len(content)
        member.mode = 0o644
        for attribute, value in attributes.items():
            setattr(member, attribute, value)
        self.members.append((member, content if member.isreg() else b""))
        return self

    def say(self, name: str, link: str = "", mode: str = "644", content: bytes = b"planted\n") -> None:
        """One more entry of the manifest."""
        size, digest = (0, "") if link else (len(content), hashlib.sha256(content).hexdigest())
        self.items.append(Item(name, "777" if link else mode, size, digest, link))

    def both(self, name: str, link: str = "", mode: str = "644") -> Forgery:
        """One more member, which the manifest tells truly."""
        self.say(name, link, mode)
        if link:
            self.add(name, type=tarfile.SYMTYPE, linkname=link, mode=0o777)
        else:
            self.add(name)
            self.members[-1][0].mode = int(mode, 8)
        return self

    def member(self, name: str) -> tarfile.TarInfo:
        return next(member for member, _ in self.members if member.name == name)

    def pack(self) -> bytes:
        """The tarball; both are in the order of their names, as a build makes them."""
        self.items.sort(key=lambda item: item.path.encode("utf-8", "surrogateescape"))
        self.members.sort(key=lambda pair: pair[0].name.encode("utf-8", "surrogateescape"))
        packed = io.BytesIO()
        with (
            gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as tar,
        ):
            for member, content in self.members:
                tar.addfile(member, io.BytesIO(content))
        return packed.getvalue()


def forgery(artifact: Artifact) -> Forgery:
    """One that is still true."""
    with tarfile.open(artifact.tarball) as tar:
        members = [(member, file.read() if (file := tar.extractfile(member)) else b"") for member in tar]
    return Forgery(list(artifact.manifest.files), members, list(artifact.manifest.directories))


def kept(environment: LabEnvironment) -> Artifact:
    """The artifact of what is HEAD in the source, built where it is not there."""
    environment.fab("build-on-host")
    tree = environment.git("rev-parse", "HEAD^{tree}")
    found = [it for file in environment.store.directory.glob("*.json") if (it := environment.store.find(file.stem))]
    return next(artifact for artifact in found if artifact.manifest.tree == tree)


def _wrong_target(forged: Forgery) -> None:
    forged.both("lib/link", "hello-0.1.0")
    forged.member("lib/link").linkname = "/home/deploy"


def _larger(forged: Forgery) -> None:
    forged.both("lib/larger")
    forged.members = [pair for pair in forged.members if pair[0].name != "lib/larger"]
    forged.add("lib/larger", b"planted, and more\n")


def _other_content(forged: Forgery) -> None:
    forged.say("lib/other")
    forged.add("lib/other", b"plAnted\n")


def _setuid(forged: Forgery) -> None:
    forged.member("bin/hello").mode = 0o4755


def _device(forged: Forgery) -> None:
    forged.say("lib/disk", content=b"")
    forged.add("lib/disk", type=tarfile.BLKTYPE, devmajor=8)


def _missing(forged: Forgery) -> None:
    forged.both("lib/missing")
    forged.members = [pair for pair in forged.members if pair[0].name != "lib/missing"]


def _below_a_link(forged: Forgery) -> None:
    forged.both("a", "/home/deploy")
    forged.both("a/.bashrc")


# Forgeries of a tarball, each with its message (without the host, which differs).
TARBALLS: dict[str, tuple[Callable[[Forgery], object], str]] = {
    "a link for our metadata": (
        lambda it: it.add(".warpbeam/artifact.json", type=tarfile.SYMTYPE, linkname=BAIT),
        "'.warpbeam/artifact.json'",
    ),
    "a mark of health": (lambda it: it.add(".warpbeam/healthy"), "'.warpbeam/healthy'"),
    "one file more": (lambda it: it.add("lib/extra"), "'lib/extra'"),
    "an empty directory more": (lambda it: it.add("lib/empty", type=tarfile.DIRTYPE), "'lib/empty"),
    "a link more": (lambda it: it.add("lib/out", type=tarfile.SYMTYPE, linkname="/etc"), "'lib/out'"),
    "a link and a file through it": (
        lambda it: it.add("a", type=tarfile.SYMTYPE, linkname="/home/deploy").add("a/.bashrc"),
        "'a'",
    ),
    "a hard link more": (lambda it: it.add("lib/hard", type=tarfile.LNKTYPE, linkname="bin/hello"), "'lib/hard'"),
    "a pipe": (lambda it: it.add("lib/pipe", type=tarfile.FIFOTYPE), "'lib/pipe'"),
    "a device": (_device, "'lib/disk'"),
    "an absolute name": (lambda it: it.add("/opt/planted"), "'/opt/planted'"),
    "a name that climbs": (lambda it: it.add("../../../planted"), "'../../../planted'"),
    "a line end in a name": (lambda it: it.add("lib/line\nend"), "'lib/line\\nend'"),
    "another target": (_wrong_target, "'lib/link'"),
    "another content": (_other_content, "'lib/other'"),
    "another size": (_larger, "'lib/larger'"),
    "a set-user-ID bit": (_setuid, "'bin/hello'"),
    "less than was said": (_missing, "'lib/missing'"),
    "a directory that is closed": (
        lambda it: it.add("lib/closed", type=tarfile.DIRTYPE, mode=0).add("lib/closed/x"),
        "'lib/closed",
    ),
}
# Forgeries of both alike; the manifest alone must be enough to refuse them.
MANIFESTS: dict[str, tuple[Callable[[Forgery], object], str]] = {
    "our metadata": (lambda it: it.both(".warpbeam/artifact.json", BAIT), "'.warpbeam/artifact.json'"),
    "our metadata, in capitals": (lambda it: it.both(".WARPBEAM/healthy"), "'.WARPBEAM/healthy'"),
    "an absolute name": (lambda it: it.both("/opt/planted"), "'/opt/planted'"),
    "a name that climbs": (lambda it: it.both("lib/../../planted"), "'lib/../../planted'"),
    "a line end": (lambda it: it.both("lib/a\n644 x  b"), "'lib/a\\n644 x  b'"),
    "an escape": (lambda it: it.both("lib/\x1b]52;c;AAAA\x07"), "'lib/\\x1b]52;c;AAAA\\x07'"),
    "a C1 control": (lambda it: it.both("lib/\x9b2J"), "'lib/\\x9b2J'"),
    "an absolute link": (lambda it: it.both("lib/out", "/etc"), "'lib/out'"),
    "a link that climbs": (lambda it: it.both("lib/out", "../../../etc"), "'lib/out'"),
    "a link through a link": (
        lambda it: it.both("lib/in", "..").both("out", "lib/in/../.."),
        "'out'",
    ),
    "a file below a link": (_below_a_link, "'a'"),
    "a file that is a directory": (lambda it: it.both("x").both("x/y"), "'x/y'"),
    "a name twice": (lambda it: it.both("x").both("x"), "'x'"),
    "a set-user-ID bit": (lambda it: it.both("x", mode="4755"), "'x'"),
    "everybody's to write": (lambda it: it.both("x", mode="666"), "'x'"),
    "an empty directory that climbs": (lambda it: it.directories.append("../planted"), "'../planted'"),
    "an empty directory of ours": (lambda it: it.directories.append(".warpbeam/x"), "'.warpbeam/x'"),
    "an empty directory below a file": (lambda it: it.directories.append("bin/hello/x"), "'bin/hello/x'"),
}


# --- A build host ---

# Its shell answers in place of our scripts: the first (which tools there are) truly, then with a manifest, then with a
# tarball.
LIE = """
if [ -e ~/hostile/calls ]; then
  calls=$(cat ~/hostile/calls); echo $((calls + 1)) >~/hostile/calls
  case $calls in
    1) printf '\\036{"begun":true}\\n'; cat ~/hostile/answer; cat >/dev/null; exit 0 ;;
    2) printf '\\036{"begun":true}\\n'; cat ~/hostile/tarball; cat >/dev/null; exit 0 ;;
  esac
fi
"""


@contextmanager
def lying(environment: LabEnvironment, artifact: Artifact, forged: Forgery) -> Iterator[None]:
    """While this lasts, the build host tells this instead of building."""
    tarball = forged.pack()
    manifest = artifact.manifest
    built = {
        "version": manifest.version,
        "erts": manifest.erts,
        "libcrypto": manifest.libcrypto,
        "tarball": "/opt/acme/hello/build/x.tar.gz",
        "sha256": hashlib.sha256(tarball).hexdigest(),
        "size": len(tarball),
        "files": msgspec.to_builtins(forged.items),
        "directories": forged.directories,
        "names_node": False,
    }
    pack = io.BytesIO()
    with tarfile.open(fileobj=pack, mode="w") as tar:
        answer = b"\x1e" + json.dumps({"answer": built}).encode("utf-8", "surrogatepass") + b"\n"
        for name, content in (("calls", b"0\n"), ("answer", answer), ("tarball", tarball), ("lie", LIE.encode())):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    put = "mkdir -p ~/hostile && base64 -d | tar -x -C ~/hostile --no-same-owner && cp ~/.bashrc ~/honest"
    put += " && cat ~/hostile/lie ~/honest >~/.bashrc"
    # Only text passes through a test's shell.
    environment.lab.ssh("build1", put, "deploy", stdin=base64.b64encode(pack.getvalue()).decode())
    try:
        yield
    finally:
        # Not as the deploy user, whose shell lies.
        environment.lab.ssh("build1", "sudo sh -c 'cd /home/deploy && mv honest .bashrc && rm -r hostile'")


def test_what_a_build_host_sends_is_refused_unless_it_is_what_the_manifest_says(source: LabEnvironment) -> None:
    artifact = kept(source)
    honest = forgery(artifact)
    (source.source / "priv" / "stamp").write_text(str(time.time_ns()))
    source.commit(SUBJECT)
    before = set(source.store.directory.iterdir())
    wrong = {}

    with assert_app_hosts_unchanged(source):
        for kind, table in (("tarball", TARBALLS), ("manifest", MANIFESTS)):
            for how, (forge, said) in table.items():
                forged = copy.deepcopy(honest)
                forge(forged)
                with lying(source, artifact, forged):
                    done = source.fab("deploy", expect=None)
                kept_now = set(source.store.directory.iterdir()) - before
                for file in kept_now:
                    file.unlink()
                last = done.stderr.splitlines()[-2]
                raw = set(done.stderr) & {"\x1b", "\x07", "\x9b"}
                if (
                    done.returncode != 4
                    or kept_now
                    or raw
                    or not last.startswith("error: build1: ")
                    or said not in last
                ):
                    wrong[f"{kind}: {how}"] = f"{done.returncode}: {last}"
        assert wrong == {}


def test_a_build_host_that_tells_the_truth_is_believed(source: LabEnvironment) -> None:
    artifact = kept(source)
    (source.source / "priv" / "stamp").write_text(str(time.time_ns()))
    source.commit("the same once more")
    forged = forgery(artifact)
    forged.both("lib/link", "hello-0.1.0/priv/../ebin")
    # Longer than a tar header has room for.
    forged.both("lib/" + "long/" * 30 + "file")
    forged.both("lib/long link", "x" * 200)

    with lying(source, artifact, forged):
        source.fab("build-on-host")


# --- The store ---


def test_a_tarball_that_was_changed_in_the_store_is_built_again(source: LabEnvironment) -> None:
    artifact = kept(source)
    honest = artifact.tarball.read_bytes()
    changed = bytearray(honest)
    changed[len(changed) // 2] ^= 1
    artifact.tarball.write_bytes(changed)

    with assert_app_hosts_unchanged(source):
        built = source.fab("build-on-host")

    assert (
        f"warning: the artifact {artifact.tarball.name[:20]} that is kept on this machine was changed" in built.stderr
    )
    assert "build1: compile" in built.stderr
    assert artifact.tarball.read_bytes() == honest


@pytest.fixture
def forged_store(source: LabEnvironment) -> Iterator[Artifact]:
    """An artifact of the store, to be forged, of which a host needs everything since its live release is damaged."""
    environment = source
    artifact = kept(environment)
    manifest = artifact.tarball.with_name(artifact.tarball.name.removesuffix(".tar.gz") + ".json")
    before = artifact.tarball.read_bytes(), manifest.read_bytes()
    environment.fab("deploy")
    with damaged_file(environment, "web2", "damaged"):
        yield artifact
    artifact.tarball.write_bytes(before[0])
    manifest.write_bytes(before[1])
    environment.fab("deploy", "--force")
    assert_serves(environment, artifact.manifest.version)


def test_a_host_takes_nothing_that_the_manifest_does_not_say(source: LabEnvironment, forged_store: Artifact) -> None:
    artifact = forged_store
    honest = forgery(artifact)
    key = artifact.tarball.name.removesuffix(".tar.gz")
    # tar leaves a set-user-ID bit out by itself (--no-same-permissions): then all is as the manifest says.
    table = {how: entry for how, entry in TARBALLS.items() if how != "a set-user-ID bit"}
    wrong = {}

    with assert_app_hosts_unchanged(source):
        for how, (forge, said) in table.items():
            forged = copy.deepcopy(honest)
            forge(forged)
            tarball = forged.pack()
            # A user who can write there can write a manifest to it.
            manifest = msgspec.structs.replace(
                artifact.manifest,
                subject=SUBJECT,
                sha256=hashlib.sha256(tarball).hexdigest(),
                size=len(tarball),
                files=tuple(forged.items),
            )
            artifact.tarball.write_bytes(tarball)
            (artifact.tarball.parent / f"{key}.json").write_bytes(msgspec.json.encode(manifest))
            done = source.fab("-H", "web2", "deploy", "--force", "--no-migrate", expect=None)
            # The first component is enough to know our own name space; a line end is escaped otherwise.
            name = ".warpbeam" if ".warpbeam" in said else said.strip("'/").partition("\\n")[0]
            # Where only a part of it goes up, it is refused here already.
            if done.returncode not in (3, 4) or name not in done.stderr:
                wrong[how] = f"{done.returncode}: {done.stderr.splitlines()[-2:]}"
        assert wrong == {}


# --- What lies on a host ---

ODD = {
    "not-json": "echo '{\"version\":' >artifact.json",
    "two-lines": "printf '{\\n}\\n' >artifact.json",
    "a-list": "echo '[]' >artifact.json",
    "other-types": 'sed -i \'s/"version":"[^"]*"/"version":true/\' artifact.json',
    "forged-record": 'printf \'{"version":"1"}},\\n\\036{"answer":{}}\\n\' >artifact.json',
    "huge": "head -c 300000000 /dev/zero | tr '\\0' x >artifact.json",
    "empty": ": >artifact.json",
    "missing": "rm artifact.json",
    "link": "ln -sf /etc/passwd artifact.json",
    "pipe": "rm artifact.json; mkfifo artifact.json",
    "directory": "rm artifact.json; mkdir artifact.json",
    "unreadable": "chmod 0 artifact.json",
    "pipe-for-manifest": "rm manifest; mkfifo manifest; echo '{' >artifact.json",
}


def test_a_release_without_readable_metadata_stops_nothing_and_is_never_chosen(
    environment: LabEnvironment,
) -> None:
    live = {host: environment.status()[host]["release"] for host in APP_HOSTS}["web1"]
    good = environment.lab.ssh("web1", f"cat {ROOT}/current/.warpbeam/artifact.json", "deploy").stdout
    names = {}
    script = f"cd {ROOT}/releases\n"
    # Older than what is live, and marked as having been live: each would be the one to go back to.
    for number, (how, spoil) in enumerate(ODD.items()):
        names[how] = f"20200101T0000{number:02}Z"
        script += f"cp -a {live} {names[how]} && (cd {names[how]}/.warpbeam && {spoil})\n"
    # Marks that are no plain files count for nothing.
    names["marks"] = "20200101T000059Z"
    script += (
        f"cp -a {live} {names['marks']} && cd {names['marks']}/.warpbeam && rm was_live && ln -s manifest was_live\n"
    )
    environment.lab.ssh("web1", "bash -s", "deploy", stdin=script)
    try:
        shown = {row["release"]: row for row in environment.releases("web1")}
        environment.status()
        back = environment.fab("-H", "web1", "rollback", expect=None)
        with environment.frozen():
            pass
        environment.fab("-H", "web1", "restart")
        runs = environment.status()["web1"]["release"]
        if runs != live:
            environment.fab("-H", "web1", "rollback", "--to", live)
    finally:
        left = " ".join(names.values())
        environment.lab.ssh(
            "web1", f"cd {ROOT}/releases && chmod -R u+rwX {left}; rm -rf {left}", "deploy", check=False
        )

    for how in ODD:
        assert shown[names[how]]["state"] == "failed", how
        assert f"web1: warning: {names[how]}: what it is cannot be read" in back.stderr, how
    assert shown[names["marks"]]["state"] == "new"
    assert runs not in names.values()
    assert back.returncode == 0 or "there is no release to go back to" in back.stderr
    assert json.loads(good)["version"] == shown[live]["version"]


def test_releases_that_cannot_be_read_are_pruned(environment: LabEnvironment) -> None:
    live = environment.status()["web1"]["release"]
    name = "20200101T000000Z"
    environment.lab.ssh(
        "web1", f"cd {ROOT}/releases && cp -a {live} {name} && echo '{{' >{name}/.warpbeam/artifact.json", "deploy"
    )

    told = environment.fab("deploy", "--force")

    assert f"web1: warning: {name}: what it is cannot be read" in told.stderr
    assert environment.lab.ssh("web1", f"ls {ROOT}/releases", "deploy").stdout.count(name) == 0


def test_the_app_can_put_nothing_where_we_write(environment: LabEnvironment) -> None:
    find = f"find {ROOT} ! -type l -writable 2>/dev/null; true"
    as_the_app = "sudo setpriv --reuid=hello --regid=hello --init-groups"

    for host in APP_HOSTS:
        assert environment.lab.ssh(host, f"{as_the_app} sh -c '{find}'").stdout == ""
