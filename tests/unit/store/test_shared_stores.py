"""Shared stores: a directory, a host, a bucket of S3. What goes there comes back; what was changed there does not."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from moto.server import ThreadedMotoServer

from warpbeam.build.artifact import Item, Manifest, Toolchain
from warpbeam.build.signature import Trust, check_file
from warpbeam.build.signing import sign
from warpbeam.error import Failed, Misuse, Refused
from warpbeam.event import Event, Warn, silent
from warpbeam.host.local import local_shell
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.listing import artifact_rows
from warpbeam.store.prune import choose, prune_here, prune_shared
from warpbeam.store.s3 import S3Bucket
from warpbeam.store.shared import Absent, SharedStore, Unavailable, key_with, read_text, signature_name, tarball_name
from warpbeam.store.shared_directory import SharedDirectory
from warpbeam.store.ssh_host import SshHost
from warpbeam.store.store import PutLive
from warpbeam.store.transfer import pull, push, push_live
from warpbeam.store.verify import verify_here, verify_shared

INVENTORY = Inventory(org="acme", app="hello", hosts={"web1": Host(name="web1")}, name="production")
TOOLS = Toolchain(elixir="1.14.0", otp="25", cpu="x86_64", libc="glibc 2.36", os="Debian 12")
KEY, OTHER = "0123456789abcdef0123", "fedcba98765432100123"
APP = "acme-hello"
TRUST = Trust("acme", "hello")


def tarball(content: bytes) -> bytes:
    """A release of one file, as build.sh packs it."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        member = tarfile.TarInfo("bin/hello")
        member.size, member.mode = len(content), 0o755
        tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def manifest(content: bytes, **changes: object) -> Manifest:
    """The manifest of that release."""
    packed = tarball(content)
    made = Manifest(
        app="hello",
        release="hello",
        version="1.0",
        commit="c" * 40,
        subject="s",
        tree="a" * 40,
        dirty=False,
        flavor="mix",
        mix_env="prod",
        toolchain=TOOLS,
        erts="13.1",
        libcrypto="",
        sha256=hashlib.sha256(packed).hexdigest(),
        size=len(packed),
        files=(Item("bin/hello", "755", len(content), hashlib.sha256(content).hexdigest()),),
    )
    return msgspec.structs.replace(made, **changes)


def keep(store: DirectoryStore, key: str, content: bytes = b"hello") -> Manifest:
    """Put an artifact into this machine's store, as a build does."""
    made, packed = manifest(content), tarball(content)
    with store.incoming(key) as file:
        file.write(packed)
        file.flush()
        store.keep(key, made, made.sha256)
    return made


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a server that speaks S3."""
    started = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    yield f"http://{host}:{port}"
    started.stop()


@pytest.fixture(params=["directory", "ssh", "s3"])
def shared(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SharedStore:
    """An empty store of each kind. That of a host runs its scripts on this machine."""
    top = tmp_path / "store"
    if request.param == "s3":
        return bucket(request.getfixturevalue("server"), f"b{os.urandom(4).hex()}", monkeypatch)
    top.mkdir()
    if request.param == "ssh":
        return SshHost("ssh://build1/store", local_shell(), str(top), APP, 30)
    return SharedDirectory(top, APP)


def bucket(server: str, name: str, monkeypatch: pytest.MonkeyPatch) -> S3Bucket:
    """A new bucket of the server."""
    for variable, value in (("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{variable}", value)
    from boto3.session import Session

    Session().client("s3", endpoint_url=server).create_bucket(Bucket=name)
    return S3Bucket(f"s3://{name}/releases", name, "/releases", APP, server)


@pytest.fixture
def here(tmp_path: Path) -> DirectoryStore:
    """This machine's store."""
    return DirectoryStore(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> DirectoryStore:
    """The store of another machine."""
    return DirectoryStore(tmp_path / "there")


def put(shared: SharedStore, tmp_path: Path, name: str, content: bytes) -> None:
    """Write a file of the store, as somebody who may write there does."""
    file = tmp_path / "written"
    file.write_bytes(content)
    shared.write(name, file, lambda count: None)


def test_a_push_and_a_pull_move_the_same_bytes(
    shared: SharedStore, here: DirectoryStore, there: DirectoryStore
) -> None:
    made = keep(here, KEY)
    here.keep_sbom(KEY, b"{}")

    assert push(KEY, here, shared, TRUST, silent)
    pulled = pull(KEY, there, shared, INVENTORY, silent)

    assert pulled.manifest == made
    for name in (f"{KEY}.tar.gz", f"{KEY}.json", f"{KEY}.cdx.json"):
        assert (there.directory / name).read_bytes() == (here.directory / name).read_bytes()
    assert sorted(shared.files()) == sorted(
        [f"{KEY}.json", tarball_name(KEY, made.sha256), f"{KEY}-{made.sha256[:16]}.cdx.json"]
    )
    assert key_with(shared, made.sha256) == KEY
    assert not push(KEY, here, shared, TRUST, silent), "it is there already"


def test_a_store_without_the_artifact_says_so(shared: SharedStore, here: DirectoryStore) -> None:
    with pytest.raises(Absent, match=f"has no {KEY}.json"):
        pull(KEY, here, shared, INVENTORY, silent)
    assert shared.files() == {}
    with pytest.raises(Refused, match=f"no artifact {KEY} on this machine"):
        push(KEY, here, shared, TRUST, silent)


FORGED: dict[str, tuple[Callable[[Manifest], bytes], Callable[[Manifest], bytes], str]] = {
    "another content of the same size": (msgspec.json.encode, lambda it: b"x" * it.size, "its checksum is another"),
    "a longer tarball": (msgspec.json.encode, lambda it: b"x" * (it.size + 1), "has more than"),
    "a shorter tarball": (msgspec.json.encode, lambda it: b"x", "its checksum is another"),
    "files that the tarball has not": (
        lambda it: msgspec.json.encode(
            msgspec.structs.replace(it, files=(Item("bin/hello", "755", 5, "0" * 64),)),
        ),
        lambda it: tarball(b"hello"),
        "has another content in the tarball",
    ),
    "a name that leads out": (
        lambda it: msgspec.json.encode(msgspec.structs.replace(it, files=(Item("../x", "755", 5, "0" * 64),))),
        lambda it: tarball(b"hello"),
        "no name below the release",
    ),
    "no manifest": (lambda it: b"[" * 100_000, lambda it: tarball(b"hello"), "is no manifest of an artifact"),
    "another app": (
        lambda it: msgspec.json.encode(msgspec.structs.replace(it, app="shop")),
        lambda it: tarball(b"hello"),
        "of the app 'shop'",
    ),
    "a commit that is none": (
        lambda it: msgspec.json.encode(msgspec.structs.replace(it, commit="--output=x")),
        lambda it: tarball(b"hello"),
        "no id of git's",
    ),
    "a size beyond any bound": (
        lambda it: msgspec.json.encode(msgspec.structs.replace(it, size=1 << 50)),
        lambda it: tarball(b"hello"),
        "no possible size",
    ),
    "a kind that nobody knows": (
        lambda it: msgspec.json.encode(msgspec.structs.replace(it, flavor="x\x1b[2J")),
        lambda it: tarball(b"hello"),
        "of the kind",
    ),
}


@pytest.mark.parametrize("forged", FORGED)
def test_an_artifact_that_was_changed_in_the_store_is_refused(
    forged: str, shared: SharedStore, here: DirectoryStore, tmp_path: Path
) -> None:
    made = manifest(b"hello")
    say, pack, message = FORGED[forged]
    put(shared, tmp_path, f"{KEY}.json", say(made))
    put(shared, tmp_path, tarball_name(KEY, made.sha256), pack(made))

    with pytest.raises((Refused, Failed), match=message):
        pull(KEY, here, shared, INVENTORY, silent)

    assert here.kept() == {}
    assert [*here.directory.glob("*"), *here.directory.glob(".*")] == []
    (row,) = verify_shared(shared, TRUST)
    # One of another app is only in the wrong place.
    assert row["state"] == ("intact" if forged == "another app" else "changed")


def test_a_manifest_whose_tarball_is_missing_is_refused(
    shared: SharedStore, here: DirectoryStore, tmp_path: Path
) -> None:
    put(shared, tmp_path, f"{KEY}.json", msgspec.json.encode(manifest(b"hello")))

    with pytest.raises(Refused, match="describes a tarball that the store does not have"):
        pull(KEY, here, shared, INVENTORY, silent)
    assert here.kept() == {}


def test_an_interrupted_push_leaves_nothing_under_its_name(shared: SharedStore, here: DirectoryStore) -> None:
    keep(here, KEY, os.urandom(1 << 20))

    class Stop(Exception):
        """An interrupt in the middle of the transfer."""

    def stop(event: object) -> None:
        raise Stop

    with pytest.raises(Stop):
        push(KEY, here, shared, TRUST, stop)
    # The bucket may have the tarball, which no manifest names.
    assert [name for name in shared.files() if name.endswith(".json")] == []
    assert push(KEY, here, shared, TRUST, silent)


def test_two_pushes_of_one_key_at_once_leave_a_whole_artifact(shared: SharedStore, tmp_path: Path) -> None:
    runners = [DirectoryStore(tmp_path / name) for name in "ab"]
    made = [keep(store, KEY, os.urandom(1 << 18)) for store in runners]
    threads = [threading.Thread(target=push, args=(KEY, store, shared, TRUST, silent)) for store in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    pulled = pull(KEY, DirectoryStore(tmp_path / "c"), shared, INVENTORY, silent)

    assert pulled.manifest in made
    assert pulled.is_unchanged()


def test_a_prune_keeps_the_newest_and_what_is_live_in_any_environment(
    shared: SharedStore, here: DirectoryStore, tmp_path: Path
) -> None:
    keys = [f"{number:020x}" for number in range(4)]
    for number, key in enumerate(keys):
        keep(here, key, f"release {number}".encode())
        push(key, here, shared, TRUST, silent)
        os.utime(here.manifest_file(key), (number, number))
    oldest = here.find(keys[0])
    assert oldest is not None
    # Another machine put it live, and this one did not.
    push_live(PutLive(oldest.manifest.sha256, "c" * 40, "s", False, "20261123T120000Z"), shared, "production")
    # By their own times, which are the same second here, the first by name count as newest.
    times = {key: 3 - number for number, key in enumerate(keys)}
    assert choose(times, frozenset([keys[3]]), 2).removed == (keys[2],)

    pruned = prune_shared(here, shared, 1)

    left = {name[:20] for name in shared.files() if not name.endswith(".live")}
    assert set(pruned.removed) == set(keys) - left
    assert keys[0] in left
    assert len(left) <= 2
    assert prune_here(here, 1).removed == (keys[2], keys[1], keys[0])
    assert set(here.kept()) == {keys[3]}
    newest = here.find(keys[3])
    assert newest is not None
    here.note_live("stage", PutLive(newest.manifest.sha256, "c" * 40, "s", False, ""))
    keep(here, OTHER, b"newer")
    assert prune_here(here, 1).live == (keys[3],)


def test_the_list_says_where_each_artifact_is_and_where_it_is_live(
    shared: SharedStore, here: DirectoryStore, there: DirectoryStore
) -> None:
    made = keep(here, KEY)
    keep(there, OTHER, b"another")
    push(OTHER, there, shared, TRUST, silent)
    here.note_live("production", PutLive(made.sha256, made.commit, "s", False, "20261123T120000Z"))

    rows = {row["key"]: row for row in artifact_rows(here, shared, INVENTORY, silent)}

    assert (rows[KEY]["here"], rows[KEY]["store"], rows[KEY]["live"]) == (True, False, ["production"])
    assert (rows[OTHER]["here"], rows[OTHER]["store"], rows[OTHER]["version"]) == (False, True, "1.0")


def test_the_list_of_a_store_that_is_missing_has_what_is_here_and_a_warning(
    here: DirectoryStore, tmp_path: Path
) -> None:
    keep(here, KEY)
    events: list[Event] = []

    (row,) = artifact_rows(here, SharedDirectory(tmp_path / "missing", "acme-hello"), INVENTORY, events.append)

    assert (row["key"], row["here"], "store" in row) == (KEY, True, False)
    (warning,) = events
    assert isinstance(warning, Warn)
    assert "missing is no directory of this machine (make it, or mount it): only what this machine" in warning.text


def test_verify_finds_what_was_changed_on_this_machine(here: DirectoryStore) -> None:
    keep(here, KEY)
    keep(here, OTHER)
    file = here.directory / f"{OTHER}.tar.gz"
    file.write_bytes(b"x" * file.stat().st_size)

    assert {row["key"]: row["state"] for row in verify_here(here, TRUST)} == {KEY: "intact", OTHER: "changed"}


def test_files_of_others_in_the_store_are_left_alone(shared: SharedStore, here: DirectoryStore, tmp_path: Path) -> None:
    put(shared, tmp_path, "README.md", b"ours")

    assert shared.files() == {}
    prune_shared(here, shared, 1)
    assert read_text(shared, "README.md", 10) == b"ours"


@pytest.mark.parametrize("kind", ["directory", "ssh"])
def test_a_store_that_is_not_mounted_is_not_taken_for_an_empty_one(kind: str, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    store: SharedStore = SharedDirectory(gone, APP)
    if kind == "ssh":
        store = SshHost("ssh://build1/gone", local_shell(), str(gone), APP, 30)

    for ask in (store.files, lambda: read_text(store, f"{KEY}.json", 10), lambda: store.remove([])):
        with pytest.raises(Unavailable, match="gone"):
            ask()
    with pytest.raises(Unavailable):
        put(store, tmp_path, f"{KEY}.json", b"")
    assert not gone.exists()


def test_a_link_or_a_pipe_in_the_store_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / APP).mkdir()
    os.mkfifo(tmp_path / APP / f"{KEY}.json")
    (tmp_path / APP / f"{OTHER}.json").symlink_to("/etc/passwd")
    for store in (SharedDirectory(tmp_path, APP), SshHost("ssh://h/x", local_shell(), str(tmp_path), APP, 30)):
        assert store.files() == {}
        for key in (KEY, OTHER):
            with pytest.raises((Failed, Refused)):
                read_text(store, f"{key}.json", 10)


def test_without_boto3_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3.session", None)

    with pytest.raises(Misuse, match="needs the Python package boto3") as misuse:
        S3Bucket("s3://bucket", "bucket", "", APP, None).files()
    assert "warpbeam[s3]" in misuse.value.hint


def test_a_missing_bucket_and_a_server_that_does_not_answer_are_one_message(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket(server, "there", monkeypatch)
    with pytest.raises(Unavailable, match=r"cannot list its files: .*NoSuchBucket") as none:
        S3Bucket("s3://missing", "missing", "", APP, server).files()
    assert none.value.hint == "make the bucket: Warpbeam makes none"
    with pytest.raises(Unavailable, match=r"cannot list its files: .*127\.0\.0\.1:1/") as away:
        S3Bucket("s3://there", "there", "", APP, "http://127.0.0.1:1").files()
    assert "AWS_ENDPOINT_URL" in away.value.hint


def test_s3_without_credentials_says_where_they_come_from(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nowhere")

    with pytest.raises(Unavailable, match="Unable to locate credentials") as refused:
        S3Bucket("s3://there", "there", "", APP, server).files()
    assert "AWS_PROFILE" in refused.value.hint


def signed(store: DirectoryStore, key: str, tmp_path: Path, name: str = "release") -> str:
    """Sign an artifact with a new key of that name; return the key's fingerprint."""
    file = tmp_path / name
    if not file.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    found = store.find(key)
    assert found is not None
    store.keep_signature(key, sign(found, file, TRUST, silent))
    return check_file(found, TRUST).fingerprint


def test_a_signature_goes_with_its_artifact_and_a_new_one_replaces_it(
    shared: SharedStore, here: DirectoryStore, there: DirectoryStore, tmp_path: Path
) -> None:
    made = keep(here, KEY)
    push(KEY, here, shared, TRUST, silent)
    pull(KEY, there, shared, INVENTORY, silent)
    assert not there.signature_file(KEY).exists()

    for name in ("first", "second"):
        key = signed(here, KEY, tmp_path, name)
        assert not push(KEY, here, shared, TRUST, silent), "the artifact is there already"
        pull(KEY, there, shared, INVENTORY, silent)
        assert there.signature_file(KEY).read_bytes() == here.signature_file(KEY).read_bytes()
        assert artifact_rows(there, shared, INVENTORY, silent)[0]["signed"] == key
        (row,) = artifact_rows(DirectoryStore(tmp_path / "none"), shared, INVENTORY, silent)
        assert row["signed"] == key

    assert signature_name(KEY, made.sha256) in shared.files()
    keep(here, OTHER, b"newer")
    os.utime(here.manifest_file(KEY), (1, 1))
    assert prune_here(here, 1).removed == (KEY,)
    assert not here.signature_file(KEY).exists()


def test_a_pruned_artifact_takes_its_signature_along(shared: SharedStore, here: DirectoryStore, tmp_path: Path) -> None:
    for key in (KEY, OTHER):
        keep(here, key, key.encode())
        signed(here, key, tmp_path)
        push(key, here, shared, TRUST, silent)

    (gone,) = prune_shared(here, shared, 1).removed

    assert [name for name in shared.files() if name.startswith(gone)] == []
    assert len([name for name in shared.files() if name.endswith(".sig")]) == 1


@pytest.mark.parametrize("forged", [b"nonsense", b"x" * (1 << 20), b"\x1b[2J", b""])
def test_what_a_store_sends_in_place_of_a_signature_is_left_out(
    forged: bytes, shared: SharedStore, here: DirectoryStore, there: DirectoryStore, tmp_path: Path
) -> None:
    made = keep(here, KEY)
    push(KEY, here, shared, TRUST, silent)
    put(shared, tmp_path, signature_name(KEY, made.sha256), forged)
    events: list[Event] = []

    pull(KEY, there, shared, INVENTORY, events.append)

    assert not there.signature_file(KEY).exists()
    (warning,) = [event.text for event in events if isinstance(event, Warn)]
    assert "counts as unsigned" in warning
    (row,) = verify_shared(shared, TRUST)
    assert row["state"] == "untrusted"


def test_verify_finds_what_no_allowed_key_signed_here_and_in_the_store(
    shared: SharedStore, here: DirectoryStore, tmp_path: Path
) -> None:
    for key in (KEY, OTHER):
        keep(here, key, key.encode())
    signed(here, KEY, tmp_path)
    for key in (KEY, OTHER):
        push(key, here, shared, TRUST, silent)
    allowed = tmp_path / "allowed_signers"
    allowed.write_text(f"alice@acme.example {(tmp_path / 'release.pub').read_text()}")
    trust = Trust("acme", "hello", allowed)

    for rows in (verify_here(here, trust), verify_shared(shared, trust)):
        found = {row["key"]: row for row in rows}
        assert (found[KEY]["state"], found[KEY]["signed"]) == ("intact", "alice@acme.example")
        assert (found[OTHER]["state"], found[OTHER]["problem"]) == ("untrusted", "it is not signed")
    assert {row["state"] for row in verify_shared(shared, TRUST)} == {"intact"}
    changed = here.directory / f"{KEY}.tar.gz"
    changed.write_bytes(b"x" * changed.stat().st_size)
    assert verify_here(here, trust)[0]["state"] == "changed"


def test_a_push_refuses_a_file_that_is_no_signature(shared: SharedStore, here: DirectoryStore) -> None:
    keep(here, KEY)
    here.signature_file(KEY).write_text("nonsense")

    with pytest.raises(Refused, match=r"\.sig is no signature of ssh-keygen's") as refused:
        push(KEY, here, shared, TRUST, silent)
    assert f"artifacts.sign {KEY}" in refused.value.hint
