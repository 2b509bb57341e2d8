"""Signatures of releases, made and checked by the real ssh-keygen: with a key file, and with a key of an agent."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pexpect
import pytest

from tests.timeouts import LONG
from tests.unit.store.test_shared_stores import APP, INVENTORY, KEY, keep
from warpbeam.build import signing
from warpbeam.build.artifact import Artifact, Item
from warpbeam.build.digest import digests
from warpbeam.build.signature import (
    MOST_SIGNATURE,
    NAMESPACE,
    Trust,
    check_file,
    parse_signature,
    read_signature,
    statement,
)
from warpbeam.build.signing import check_key, sign, sign_kept
from warpbeam.deploy.named_artifact import chosen_artifact
from warpbeam.deploy.sign import sign_artifacts
from warpbeam.deploy.signatures import check_signatures, signers_of_named
from warpbeam.error import Failed, Misuse, Refused
from warpbeam.event import Ask, Event, Note, Warn, silent
from warpbeam.inventory.build import Build, Sign
from warpbeam.inventory.schema import Deploy, Inventory
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.listing import built_row
from warpbeam.store.shared import signature_name
from warpbeam.store.shared_directory import SharedDirectory
from warpbeam.store.transfer import pull, push

TRUST = Trust("acme", "hello")
ALICE = "alice@acme.example"
BEFORE, LATER = "20200101Z", "20990101Z"

PROJECT = Path(__file__).parents[3]
Allow = Callable[..., Trust]


def keygen(*words: str) -> None:
    """Run ssh-keygen, as a person does."""
    subprocess.run(["ssh-keygen", "-q", *words], check=True, timeout=LONG, stdin=subprocess.DEVNULL)


def made_key(file: Path, passphrase: str = "") -> Path:
    """A new key."""
    keygen("-t", "ed25519", "-N", passphrase, "-C", file.name, "-f", str(file))
    return file


def public(key: Path) -> str:
    """The public half of a key, without its comment."""
    return " ".join(Path(f"{key}.pub").read_text().split()[:2])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """The key of the one who signs."""
    return made_key(tmp_path / "release")


@pytest.fixture
def here(tmp_path: Path) -> DirectoryStore:
    """This machine's store, with one artifact."""
    store = DirectoryStore(tmp_path / "here")
    keep(store, KEY)
    return store


@pytest.fixture
def artifact(here: DirectoryStore) -> Artifact:
    """The artifact."""
    found = here.find(KEY)
    assert found is not None
    return found


@pytest.fixture
def allow(tmp_path: Path, key: Path) -> Allow:
    """Write the allowed signers, and the revoked ones, where there are any."""

    def write(line: str = f"{ALICE} {{key}}", revoked: bytes | None = None, app: str = "hello") -> Trust:
        allowed, listed = tmp_path / "allowed_signers", tmp_path / "revoked_signers"
        allowed.write_text(line.format(key=public(key)) + "\n")
        if revoked is not None:
            listed.write_bytes(revoked)
        return Trust("acme", app, allowed, None if revoked is None else listed)

    return write


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no terminal, no agent and no program that asks."""
    monkeypatch.setattr(signing, "has_terminal", lambda: False)
    for name in ("SSH_AUTH_SOCK", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def agent(tmp_path: Path, alone: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A running ssh agent, empty."""
    socket = str(tmp_path / "agent")
    # In the foreground, so that this test ends the process that it has started.
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    while not Path(socket).exists():
        assert process.poll() is None
    monkeypatch.setenv("SSH_AUTH_SOCK", socket)
    yield socket
    process.terminate()
    process.wait(LONG)


def signed(artifact: Artifact, key: Path, org: str = "acme", app: str = "hello") -> Artifact:
    """The artifact with a signature beside it."""
    artifact.signature_file.write_bytes(sign(artifact, key, Trust(org, app), silent))
    return artifact


def fingerprint(key: Path) -> str:
    """The fingerprint of a key, as ssh-keygen says it."""
    said = subprocess.run(["ssh-keygen", "-lf", str(key)], capture_output=True, text=True, check=True)
    return said.stdout.split()[1]


def test_the_statement_has_three_lines_of_the_app_and_the_digest(artifact: Artifact) -> None:
    assert statement("acme", "hello", "0" * 64) == b"warpbeam-release 1\nacme/hello\n" + b"0" * 64 + b"\n"
    other = msgspec.structs.replace(artifact.manifest, files=(Item("bin/hello", "644", 5, "0" * 64),))
    assert digests(artifact)[0] != digests(Artifact(artifact.tarball, other))[0]


def test_a_signature_by_an_allowed_key_names_its_principal(
    artifact: Artifact, key: Path, allow: Allow, alone: None
) -> None:
    assert built_row(KEY, artifact, allow())["signed"] == built_row(KEY, artifact, allow())["signature"] == ""

    verdict = check_file(signed(artifact, key), allow())

    row = built_row(KEY, artifact, allow())
    assert (row["signed"], row["signature"]) == (ALICE, str(artifact.signature_file))
    assert (verdict.signer, verdict.problem) == (ALICE, "")
    assert verdict.fingerprint == fingerprint(key)
    assert artifact.signature_file.read_bytes().startswith(b"-----BEGIN SSH SIGNATURE-----\n")


def test_a_person_checks_a_signature_with_ssh_keygen_alone(
    artifact: Artifact, key: Path, allow: Allow, alone: None
) -> None:
    trust = allow()
    argv = ["ssh-keygen", "-Y", "verify", "-f", str(trust.allowed), "-I", ALICE, "-n", NAMESPACE]
    text = statement("acme", "hello", digests(artifact)[0])

    done = subprocess.run(
        [*argv, "-s", str(signed(artifact, key).signature_file)], input=text, capture_output=True, check=False
    )

    assert done.returncode == 0, done.stderr


# The line of the allowed signers, and a part of the finding.
WRONG: dict[str, tuple[str, str]] = {
    "unknown": (f"{ALICE} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGV4YW1wbGUga2V5LCBub3QgYSByZWFsIG9uZSE", "not among"),
    "expired": (f'{ALICE} valid-before="{BEFORE}" {{key}}', "has expired: .* allows it until 2020-01-01"),
    "not yet valid": (f'{ALICE} valid-after="{LATER}" {{key}}', "is not yet valid: .* allows it from 2099-01-01"),
    "another namespace": (f'{ALICE} namespaces="git" {{key}}', "does not allow its key .* in the namespace"),
    "no signers": ("# nobody", "not among"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_signature_that_the_allowed_signers_do_not_cover_does_not_count(
    case: str, artifact: Artifact, key: Path, allow: Allow, alone: None
) -> None:
    line, message = WRONG[case]

    verdict = check_file(signed(artifact, key), allow(line))

    assert not verdict.signer
    assert re.search(message, verdict.problem), verdict.problem


def test_a_key_revoked_by_itself_or_in_a_krl_does_not_count(
    artifact: Artifact, key: Path, allow: Allow, alone: None, tmp_path: Path
) -> None:
    signed(artifact, key)
    krl = tmp_path / "krl"
    keygen("-k", "-f", str(krl), f"{key}.pub")
    other = public(made_key(tmp_path / "other")).encode()

    for revoked in (Path(f"{key}.pub").read_bytes(), krl.read_bytes()):
        assert (
            f"its key {fingerprint(key)} of {ALICE} is revoked" in check_file(artifact, allow(revoked=revoked)).problem
        )
    assert check_file(artifact, allow(revoked=other)).signer == ALICE


def test_a_signature_of_another_release_or_app_does_not_count(
    artifact: Artifact, key: Path, allow: Allow, alone: None, tmp_path: Path
) -> None:
    assert "another release, or of another app" in check_file(signed(artifact, key, app="shop"), allow()).problem
    other = DirectoryStore(tmp_path / "other")
    keep(other, KEY, b"other")
    found = other.find(KEY)
    assert found is not None
    shutil.copy(signed(found, key).signature_file, artifact.signature_file)
    assert "another release, or of another app" in check_file(artifact, allow()).problem


def test_a_key_of_two_principals_counts_for_the_one_that_may_sign(
    artifact: Artifact, key: Path, allow: Allow, alone: None
) -> None:
    signed(artifact, key)

    assert check_file(artifact, allow(f'{ALICE},bob@acme.example namespaces="{NAMESPACE}" {{key}}')).signer == ALICE
    assert check_file(artifact, allow("!eve@acme.example,*@acme.example {key}")).signer == "*@acme.example"


def test_a_file_that_is_no_signature_is_called_what_it_is(
    artifact: Artifact, key: Path, allow: Allow, alone: None, tmp_path: Path
) -> None:
    trust, file = allow(), artifact.signature_file
    text = signed(artifact, key).signature_file.read_bytes()
    for wrong, message in {
        b"nonsense": "is no signature",
        b"": "is no signature",
        text.replace(b"SIGNATURE", b"MESSAGE"): "is no signature",
        text + text: "is no signature",
        text.replace(b"U1NI", b"\xff\xfe\xfd\xfc"): "is no signature",
        text[:60] + b"\n-----END SSH SIGNATURE-----\n": "is no signature",
        b"x" * (1 << 20): f"has more than {MOST_SIGNATURE} bytes",
    }.items():
        file.write_bytes(wrong)
        assert message in check_file(artifact, trust).problem
    other = tmp_path / "git.sig"
    (tmp_path / "git").write_bytes(b"x")
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", "git", str(tmp_path / "git")], check=True)
    shutil.copy(other, file)
    assert f"is for the namespace 'git'; expected '{NAMESPACE}'" in check_file(artifact, trust).problem
    file.unlink()
    assert check_file(artifact, trust).problem == "it is not signed"
    file.symlink_to(other)
    assert "it is a link" in check_file(artifact, trust).problem
    file.unlink()
    os.mkfifo(file)
    assert "is no plain file" in check_file(artifact, trust).problem


def test_without_allowed_signers_a_signature_names_its_key_and_nothing_is_asked(
    artifact: Artifact, key: Path, alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed(artifact, key)
    expected = fingerprint(key)
    monkeypatch.setenv("PATH", "/nowhere")

    assert check_file(artifact, Trust("acme", "hello")).fingerprint == expected
    artifact.signature_file.unlink()
    assert check_file(artifact, Trust("acme", "hello")).problem == ""


def test_an_agents_key_signs_by_its_public_half(
    artifact: Artifact, key: Path, allow: Allow, agent: str, tmp_path: Path
) -> None:
    alone = tmp_path / "only-public.pub"
    shutil.copy(f"{key}.pub", alone)
    with pytest.raises(Misuse, match=r"the ssh agent does not have the private half of .*only-public\.pub") as misuse:
        sign(artifact, alone, Trust("acme", "hello"), silent)
    assert "ssh-add" in misuse.value.hint
    subprocess.run(["ssh-add", "-q", str(key)], check=True, timeout=LONG)

    assert check_file(signed(artifact, alone), allow()).signer == ALICE


def test_without_an_agent_the_message_says_that_there_is_none(artifact: Artifact, key: Path, alone: None) -> None:
    key.unlink()

    with pytest.raises(
        Misuse, match=r"there is no ssh agent with the private half of .*\.pub, and it is not beside it"
    ):
        sign(artifact, Path(f"{key}.pub"), Trust("acme", "hello"), silent)


def test_a_passphrase_without_a_terminal_is_one_message(artifact: Artifact, alone: None, tmp_path: Path) -> None:
    locked = made_key(tmp_path / "locked", "sesame")

    with pytest.raises(Misuse, match="has a passphrase, and there is no terminal to ask for it on") as misuse:
        sign(artifact, locked, Trust("acme", "hello"), silent)
    assert "ssh-add" in misuse.value.hint


# Signs a file as `sign` does, in a process that has a terminal of its own.
IN_TERMINAL = """
import sys
from pathlib import Path
from warpbeam.build import signing
key, text = sys.argv[1:]
command = signing.keygen_command("sign", "-f", key, "-n", signing.NAMESPACE, text)
print(signing._run(command, signing.has_terminal(), Path(key), print))
"""


def test_a_terminal_asks_for_the_passphrase(tmp_path: Path) -> None:
    locked, text = made_key(tmp_path / "locked", "sesame"), tmp_path / "text"
    text.write_text("hello")
    child = pexpect.spawn(
        sys.executable, ["-c", IN_TERMINAL, str(locked), str(text)], cwd=str(PROJECT), timeout=LONG, encoding="utf-8"
    )

    child.expect("Enter passphrase")
    child.sendline("sesame")
    child.expect(pexpect.EOF)

    assert parse_signature(Path(f"{text}.sig").read_bytes()).fingerprint == fingerprint(locked)
    assert "sesame" not in str(child.before)


@pytest.mark.parametrize("answer", ["sesame", "wrong"])
def test_without_a_terminal_ssh_askpass_is_asked(
    answer: str, artifact: Artifact, alone: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, program = made_key(tmp_path / "locked", "sesame"), tmp_path / "askpass"
    program.write_text(f"#!/bin/sh\necho {answer}\n")
    program.chmod(0o700)
    monkeypatch.setenv("SSH_ASKPASS", str(program))

    if answer == "wrong":
        with pytest.raises(Misuse, match="the passphrase that SSH_ASKPASS gave is not that of"):
            sign(artifact, locked, Trust("acme", "hello"), silent)
    else:
        assert parse_signature(sign(artifact, locked, Trust("acme", "hello"), silent)).fingerprint == fingerprint(
            locked
        )


def test_the_touch_of_a_hardware_key_is_asked_for_at_once_and_not_waited_for_forever(
    artifact: Artifact, key: Path, alone: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The prompt of ssh-keygen for a key of the kind -sk; no such key can be plugged in here.
    program = tmp_path / "bin" / "ssh-keygen"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'Confirm user presence for key ED25519-SK SHA256:x' >&2\nexec sleep 60\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(signing, "UNATTENDED", 1)
    events: list[Event] = []

    with pytest.raises(Refused, match="did not sign within 1 s, and there is no terminal to ask on"):
        sign(artifact, key, Trust("acme", "hello"), events.append)

    assert any(isinstance(event, Note) and event.text.startswith("touch the hardware key now") for event in events)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("unknown option -- Y", "ssh-keygen on this machine is too old for signatures"),
        ("Couldn't sign message: device not found", "ssh-keygen could not sign with .*: Couldn't sign message: device"),
    ],
)
def test_an_ssh_keygen_that_cannot_sign_is_one_message(
    said: str, message: str, artifact: Artifact, key: Path, alone: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ssh-keygen"
    program.write_text(f'#!/bin/sh\necho "{said}" >&2\nexit 255\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises((Misuse, Failed), match=message):
        sign(artifact, key, Trust("acme", "hello"), silent)


def test_without_ssh_keygen_the_message_says_what_to_install(
    artifact: Artifact, key: Path, allow: Allow, alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed(artifact, key)
    trust = allow()
    monkeypatch.setenv("PATH", "/nowhere")

    for work in (lambda: sign(artifact, key, trust, silent), lambda: check_file(artifact, trust)):
        with pytest.raises(Misuse, match="ssh-keygen is not installed") as misuse:
            work()
        assert "openssh-client" in misuse.value.hint


def test_a_key_that_cannot_sign_is_found_before_a_build(key: Path, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"the key .*missing cannot be read: No such file"):
        check_key(tmp_path / "missing")
    with pytest.raises(Misuse, match="is no key of ssh"):
        check_key(Path("/etc/passwd"))
    key.chmod(0o640)
    with pytest.raises(Misuse, match=r"can be read by others \(mode 0640\)") as misuse:
        check_key(key)
    assert misuse.value.hint.startswith(f"chmod 600 {key}")
    assert not check_key(Path(f"{key}.pub"))


def inventory(trust: Trust | None = None, key: Path | None = None) -> Inventory:
    """The environment, with a key to sign with and signers that count."""
    return msgspec.structs.replace(
        INVENTORY,
        build=Build(sign=Sign(key) if key else None),
        deploy=Deploy(
            allowed_signers=trust.allowed if trust else None, revoked_signers=trust.revoked if trust else None
        ),
    )


def test_a_kept_artifact_is_signed_when_it_is_used_and_not_twice(
    artifact: Artifact, here: DirectoryStore, key: Path, alone: None
) -> None:
    sign_kept(artifact, inventory(), here, silent)
    assert read_signature(artifact.signature_file) is None

    sign_kept(artifact, inventory(key=key), here, silent)

    first = read_signature(artifact.signature_file)
    assert first is not None
    key.unlink()
    sign_kept(artifact, inventory(key=key), here, silent)
    assert read_signature(artifact.signature_file) == first
    # A new build of the same key has other bytes, so the signature goes.
    keep(here, KEY, b"another")
    assert read_signature(artifact.signature_file) is None


def test_a_plan_says_who_signed_and_no_signature_and_no_store_stops_it(
    artifact: Artifact, here: DirectoryStore, key: Path, allow: Allow, tmp_path: Path
) -> None:
    trust, events = inventory(allow()), list[Event]()
    away = SharedDirectory(tmp_path / "missing", APP)
    named = {KEY: artifact.manifest, str(artifact.tarball): artifact.manifest}

    assert "it is not signed" in signers_of_named(named, trust, here, away, events.append)
    assert [event for event in events if isinstance(event, Warn) and "going on without it" in event.text]
    artifact.signature_file.write_text("no signature\n")
    for name in named:
        said = signers_of_named({name: artifact.manifest}, trust, here, away, silent)
        assert said.startswith("nobody")
        assert "its signature" in said
    artifact.signature_file.unlink()
    signed(artifact, key)
    assert ALICE in signers_of_named(named, trust, here, None, silent)


def test_an_artifact_from_elsewhere_is_signed_only_by_a_persons_word(
    here: DirectoryStore, key: Path, allow: Allow, alone: None, tmp_path: Path
) -> None:
    (tmp_path / "store").mkdir()
    shared = SharedDirectory(tmp_path / "store", APP)
    push(KEY, here, shared, TRUST, silent)
    manager, trust = DirectoryStore(tmp_path / "manager"), allow()
    pulled, events = pull(KEY, manager, shared, INVENTORY, silent), list[Event]()

    sign_kept(pulled, inventory(key=key), manager, events.append)

    assert read_signature(pulled.signature_file) is None
    assert any(isinstance(event, Warn) and "was not built here" in event.text for event in events)
    with pytest.raises(Refused, match=f"may not go live: the artifact {KEY}: it is not signed") as refused:
        check_signatures([pulled], inventory(trust), manager, shared, silent)
    assert f"artifacts.sign {KEY}" in refused.value.hint
    assert refused.value.nothing_changed

    sign_artifacts(KEY, "", inventory(trust, key), manager, shared, silent, push=True)

    assert signature_name(KEY, pulled.manifest.sha256) in shared.files()
    # The machine that built it has no signature: the store's counts, and is kept.
    found = here.find(KEY)
    assert found is not None
    text = check_signatures([found], inventory(trust), here, shared, silent)
    assert text[found.manifest.sha256] == found.signature_file.read_text() == pulled.signature_file.read_text()


def test_a_signature_is_replaced_after_a_rotation_and_refused_before(
    artifact: Artifact, here: DirectoryStore, key: Path, allow: Allow, alone: None, tmp_path: Path
) -> None:
    signed(artifact, key)
    new = made_key(tmp_path / "new")
    # A wrong key takes nothing away; where there was no signature, its own stays.
    with pytest.raises(Refused, match="would not count: its key"):
        sign_artifacts(KEY, str(new), inventory(allow()), here, None, silent, push=False)
    assert check_file(artifact, allow()).signer == ALICE
    artifact.signature_file.unlink()
    warned: list[Event] = []
    sign_artifacts(KEY, str(new), inventory(allow()), here, None, warned.append, push=False)
    assert [event for event in warned if isinstance(event, Warn) and "no deploy takes it: its key" in event.text]
    signed(artifact, key)
    trust = allow(f"{ALICE} {{key}}\n{ALICE} {public(new)}", revoked=Path(f"{key}.pub").read_bytes())
    with pytest.raises(Refused, match=f"may not go live: the artifact {KEY}: its key SHA256:.* of {ALICE} is revoked"):
        check_signatures([artifact], inventory(trust), here, None, silent)

    sign_artifacts(KEY, str(new), inventory(trust), here, None, silent, push=False)

    events: list[Event] = []
    assert check_signatures([artifact], inventory(trust), here, None, events.append)
    assert [event for event in events if isinstance(event, Note) and f"signed by {ALICE} (SHA256:" in event.text]


def test_a_file_is_signed_beside_it_and_deployed_with_its_signature(
    here: DirectoryStore, key: Path, allow: Allow, alone: None, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for ending in ("json", "tar.gz"):
        shutil.copy(here.directory / f"{KEY}.{ending}", files)
    named, trust = files / f"{KEY}.tar.gz", allow()

    sign_artifacts(str(named), str(key), INVENTORY, DirectoryStore(tmp_path / "manager"), None, silent, push=False)

    deployer = DirectoryStore(tmp_path / "deployer")
    chosen = chosen_artifact(str(files / f"{KEY}.json"), INVENTORY, deployer, None, silent)
    assert check_file(chosen, trust).signer == ALICE
    (files / f"{KEY}.sig").write_text("nonsense")
    events: list[Event] = []
    chosen_artifact(str(named), INVENTORY, deployer, None, events.append)
    assert [event for event in events if isinstance(event, Warn) and "is no signature" in event.text]


def test_without_a_key_to_sign_with_the_message_says_where_to_name_one(here: DirectoryStore) -> None:
    with pytest.raises(Misuse, match="there is no key to sign with") as misuse:
        sign_artifacts(KEY, "", INVENTORY, here, None, silent, push=False)
    assert "--key" in misuse.value.hint


def test_a_live_table_makes_room_before_a_person_is_asked(
    artifact: Artifact, key: Path, alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In place of the terminal, which this process does not have.
    monkeypatch.setattr(signing, "_run", lambda *given: (255, "incorrect passphrase supplied to decrypt private key"))
    monkeypatch.setattr(signing, "has_terminal", lambda: True)
    events: list[Event] = []

    with pytest.raises(Misuse, match="the passphrase was not that of"):
        sign(artifact, key, Trust("acme", "hello"), events.append)

    assert isinstance(events[0], Ask)
