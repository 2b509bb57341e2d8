"""known_hosts: reading it as OpenSSH does, judging a key by it, and adding to it."""

from __future__ import annotations

import base64
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpbeam.error import Refused
from warpbeam.ssh.hostkeys import (
    HostKey,
    Known,
    hashed,
    judge,
    known_keys,
    matches,
    preferred_types,
    read_known,
    record,
)
from warpbeam.ssh.ssh_config import Settings

ONE = HostKey("ssh-ed25519", b"one")
TWO = HostKey("ssh-rsa", b"two")


def settings(file: Path, **others: object) -> Settings:
    given: dict[str, object] = {
        "name": "web1",
        "inventory_name": "web1",
        "destination": "web1",
        "hostname": "10.0.0.1",
        "port": 22,
        "user": "deploy",
        "user_known_hosts": (file,),
    }
    return Settings(**{**given, **others})  # type: ignore[arg-type]


def known(key: HostKey, marker: str = "", *, portless: bool = False) -> Known:
    return Known(key, marker, Path("known_hosts"), 1, portless)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("patterns", "name", "fits"),
    [
        ("web1", "web1", True),
        ("Web1,10.0.0.1", "10.0.0.1", True),
        ("web1", "web10", False),
        ("web*", "web10", True),
        ("web?", "web10", False),
        ("*.example.org,!bad.example.org", "good.example.org", True),
        ("*.example.org,!bad.example.org", "bad.example.org", False),
        ("!bad,*", "bad", False),
        ("[10.0.0.1]:2222", "[10.0.0.1]:2222", True),
        ("[10.0.0.1]:2222", "1", False),
        ("|1|broken", "web1", False),
        ("|1|!!!!|!!!!", "web1", False),
    ],
)
def test_names_are_matched_as_openssh_does(patterns: str, name: str, fits: bool) -> None:
    assert matches(patterns, name) is fits


@given(st.from_regex(r"[a-z0-9.:\[\]-]{1,60}", fullmatch=True))
def test_a_hashed_name_fits_itself_and_no_other(name: str) -> None:
    assert matches(hashed(name), name)
    assert not matches(hashed(name), name + "x")


def test_openssh_understands_our_hashes(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    public = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    (tmp_path / "known").write_text(f"{hashed('[10.0.0.1]:2222')} {public}\n")
    found = subprocess.run(
        ["ssh-keygen", "-F", "[10.0.0.1]:2222", "-f", str(tmp_path / "known")], capture_output=True, check=False
    )
    assert found.returncode == 0


@pytest.mark.parametrize(
    ("entries", "state"),
    [
        ([], "unknown"),
        ([known(ONE)], "known"),
        ([known(TWO)], "changed"),
        ([known(TWO), known(ONE)], "known"),
        ([known(ONE), known(ONE, "revoked")], "revoked"),
        ([known(TWO, "revoked")], "unknown"),
        ([known(ONE, "cert-authority")], "unknown"),
        ([known(ONE, portless=True)], "known"),
        ([known(TWO, portless=True)], "unknown"),
    ],
)
def test_a_shown_key_is_judged(entries: list[Known], state: str) -> None:
    assert judge(ONE, entries) == state


def test_lines_nobody_understands_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_bytes(
        b"# comment\n\nnonsense\n10.0.0.1 1024 35 99999\n@unknown 10.0.0.1 ssh-rsa b25l\n"
        b"10.0.0.1 ssh-ed25519 ***\n\xff\xfe\n10.0.0.1 " + ONE.text.encode() + b" a comment\n"
    )
    assert [(entry.key, entry.line) for entry in read_known(file, "10.0.0.1", "10.0.0.1")] == [(ONE, 8)]


def test_a_missing_known_hosts_is_empty_and_an_unreadable_one_is_an_error(tmp_path: Path) -> None:
    assert known_keys(settings(tmp_path / "none")) == ()
    with pytest.raises(Refused, match="cannot read the known host keys"):
        known_keys(settings(tmp_path))


def test_the_types_that_are_known_are_asked_for_first() -> None:
    able = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")
    assert preferred_types([known(TWO)], able, able)[:2] == ("rsa-sha2-512", "rsa-sha2-256")
    assert preferred_types([], able, able) == able
    assert preferred_types([], ("ecdsa-sha2-nistp256", "of-tomorrow"), able) == ("ecdsa-sha2-nistp256",)
    assert preferred_types([known(TWO, "revoked")], able, able) == able


def test_recording_makes_a_private_file_and_never_repeats_a_line(tmp_path: Path) -> None:
    file = tmp_path / "ssh" / "known_hosts"
    assert record(settings(file), [ONE, TWO, ONE]) == (file, 2)
    assert record(settings(file), [ONE]) == (file, 0)
    assert file.read_text() == f"10.0.0.1 {ONE.text}\n10.0.0.1 {TWO.text}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_recording_ends_a_line_that_had_no_end_and_keeps_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "known_hosts"
    real.write_text("other ssh-rsa b25l")
    link.symlink_to(real)
    record(settings(link, port=2222), [ONE])
    assert link.is_symlink()
    assert real.read_text() == f"other ssh-rsa b25l\n[10.0.0.1]:2222 {ONE.text}\n"


def test_recording_hides_the_name_where_ssh_config_wants_that(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    wish = settings(file, hash_names=True)
    record(wish, [ONE])
    assert "10.0.0.1" not in file.read_text()
    assert judge(ONE, known_keys(wish)) == "known"


def test_many_at_once_lose_and_repeat_nothing(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    keys = [HostKey("ssh-ed25519", bytes([number])) for number in range(20)]
    threads = [threading.Thread(target=record, args=(settings(file), [key, ONE])) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = file.read_text().splitlines()
    assert len(lines) == len(set(lines)) == 21


def test_a_fingerprint_is_the_one_that_ssh_keygen_shows(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(tmp_path / "key")], check=True)
    kind, blob = (tmp_path / "key.pub").read_text().split()[:2]
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(tmp_path / "key.pub")], capture_output=True, text=True, check=True
    ).stdout
    assert HostKey(kind, base64.b64decode(blob)).fingerprint == shown.split()[1]
