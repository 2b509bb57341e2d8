"""Who may sign releases: the files that `deploy.allowed_signers` and `deploy.revoked_signers` name."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from warpbeam.error import Misuse
from warpbeam.inventory.finding import Finding, finding

if TYPE_CHECKING:
    from warpbeam.inventory.schema import Inventory

# The largest file, in bytes: as much as a host answers of one that differs.
MOST = 65536
# A public key in a line of ssh-keygen(1): its type and its content.
_KEY = re.compile(r"(?:^|\s)((?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+)\s+([A-Za-z0-9+/]+={0,2})(?=\s|$)")
# The beginning of a line of ALLOWED SIGNERS: principals, then options, which may hold spaces in quotes.
# A time is a day, or has hours and minutes, or seconds too (sshd(8), TIMESTAMPS); `Z`: UTC.
_TIME = r'"(?:\d{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?)?Z?)"'
_OPTION = rf'(?:cert-authority|namespaces="[^"]*"|valid-(?:after|before)={_TIME})'
_SIGNER = re.compile(rf'(?!(?:sk-)?(?:ssh|ecdsa)-)("[^"]+"|[^\s"]+)(?:\s+{_OPTION}(?:,{_OPTION})*)?\s*')


def signer_findings(inventory: Inventory) -> Iterator[Finding]:
    """Yield every conflict between the keys that name signers."""
    deploy = inventory.deploy
    if deploy.revoked_signers is not None and deploy.allowed_signers is None:
        message = "expected deploy.allowed_signers beside deploy.revoked_signers, found none"
        yield finding(message, "without it hosts check no signature", ("deploy", "revoked_signers"))


def read_signers(inventory: Inventory) -> tuple[str, str]:
    """Return the texts of both files; each is empty where the inventory names none.

    Raises: Misuse, where a file cannot be read or has a line that ssh-keygen would not take.
    """
    deploy = inventory.deploy
    allowed = revoked = ""
    if deploy.allowed_signers is not None:
        where = f"{inventory.file}: deploy.allowed_signers"
        allowed = _text(where, deploy.allowed_signers)
        _check_lines(f"{where}: {deploy.allowed_signers}", allowed, signers=True)
    if deploy.revoked_signers is not None:
        where = f"{inventory.file}: deploy.revoked_signers"
        revoked = _text(where, deploy.revoked_signers)
        _check_lines(f"{where}: {deploy.revoked_signers}", revoked, signers=False)
    return allowed, revoked


def expiry_of(fingerprint: str, allowed: str) -> datetime | None:
    """Return the `valid-before` of the key with that fingerprint among allowed signers; None where there is none.

    A time without `Z` is each machine's own; here it counts as UTC.
    """
    for line in allowed.splitlines():
        key = _KEY.search(line)
        if key is None or line.lstrip().startswith("#") or fingerprint != _fingerprint(key[2]):
            continue
        found = re.search(rf"(?:^|[ ,])valid-before=({_TIME})", line[: key.start()])
        return _moment(found[1].strip('"Z')) if found else None
    return None


def _moment(digits: str) -> datetime | None:
    try:
        return datetime.strptime(digits.ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        # Such as the 31st of February.
        return None


def _fingerprint(content: str) -> str:
    """Return the fingerprint of a key, as ssh-keygen shows it."""
    digest = hashlib.sha256(base64.b64decode(content)).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def _text(where: str, file: Path) -> str:
    """Return the text of a plain file."""
    try:
        if not file.is_file():
            raise Misuse(f"{where}: {file} is no file", "a relative path begins at the inventory's directory")
        with file.open("rb") as opened:
            content = opened.read(MOST + 1)
        text = content.decode()
    except OSError as error:
        raise Misuse(f"{where}: {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        hint = "a binary KRL is not taken here: list the public keys themselves, a line each"
        raise Misuse(f"{where}: expected text in {file}, found something else", hint) from None
    if len(content) > MOST or "\0" in text:
        raise Misuse(f"{where}: expected a text of at most {MOST} bytes in {file}")
    return text if text.endswith("\n") else f"{text}\n"


def _check_lines(where: str, text: str, *, signers: bool) -> None:
    """Check every line: one that ssh-keygen does not take is left out without a word."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not lines:
        what = "PRINCIPAL KEYTYPE KEY" if signers else "KEYTYPE KEY"
        raise Misuse(f"{where}: expected a line `{what}`, found none", "nobody could sign: see docs/admission.md")
    seen: dict[str, int] = {}
    for number, line in lines:
        key = _KEY.search(line)
        before = line[: key.start()] if key else ""
        fits = _is_signer(before) if signers else not before.strip()
        if key is None or not fits or not _is_key(key[1], key[2]):
            what = "principals, options and a public key" if signers else "a public key"
            hint = "ssh-keygen(1), ALLOWED SIGNERS, has the format" if signers else "one public key a line"
            raise Misuse(f"{where}:{number}: expected {what}, found something else", hint)
        if signers and seen.setdefault(key[2], number) != number:
            hint = "ssh-keygen looks at the first line with a key alone: put all names and options there"
            raise Misuse(f"{where}:{number}: expected another key than in line {seen[key[2]]}, found the same", hint)


def _is_signer(text: str) -> bool:
    """Return whether `text`, before a key, is principals and options as ssh-keygen takes them: each option once."""
    if not _SIGNER.fullmatch(text):
        return False
    times = re.findall(rf"(?:^|[ ,])valid-(after|before)=({_TIME})", text)
    words = re.findall(r"(?:^|[ ,])(cert-authority|namespaces|valid-after|valid-before)(?==|[ ,]|$)", text)
    begin, end = (next((time for name, time in times if name == which), "") for which in ("after", "before"))
    return len(set(words)) == len(words) and not (begin and end and begin.strip('"Z') >= end.strip('"Z'))


def _is_key(kind: str, content: str) -> bool:
    """Return whether `content` is a public key of that type: it begins with the type's name (RFC 4253, 6.6)."""
    try:
        raw = base64.b64decode(content, validate=True)
    except binascii.Error:
        return False
    return raw[4 : 4 + int.from_bytes(raw[:4], "big")] == kind.encode() and len(raw) > len(kind) + 8
