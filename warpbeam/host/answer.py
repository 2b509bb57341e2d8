"""Types for the answers of hosts: a pattern and a bound for each kind of field.

A host may be compromised, and its answers go into names, files and messages about other hosts. So each field of an
answer has one of these types (tests/unit/host/test_answer.py checks every field of every phase). A value that does not
fit is a problem of its host alone (`warpbeam.host.run.run`). Text that a person wrote may hold any character but NUL,
which a script's parameter cannot hold; such text is bounded in length, and is only shown.

Patterns begin with `\\A` and end in `\\Z`: msgspec searches, and `$` would also match before a line end.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

# JSON readers need not keep a larger number exact (RFC 8259, 6). No size or time of Warpbeam's is larger.
LARGEST = 2**53 - 1
# We keep this many characters of a message, a hint or a line of another program.
MESSAGE = 4000
LINES = 200

Cookie = Annotated[
    str,
    Meta(pattern=r"\A[A-Za-z0-9_@.-]{0,255}\Z", description="a cookie of at most 255 letters, digits and _ @ . -"),
]
ObjectId = Annotated[
    str,
    Meta(pattern=r"\A(?:[0-9a-f]{40}|[0-9a-f]{64})?\Z", description="an id of git's of 40 or 64 hexadecimal digits"),
]
Sha256 = Annotated[
    str, Meta(pattern=r"\A(?:[0-9a-f]{64})?\Z", description="a sha256 of 64 hexadecimal digits, or nothing")
]
# The host answers `unreadable` for a file that it cannot read.
FoundSha256 = Annotated[
    str, Meta(pattern=r"\A(?:[0-9a-f]{64}|unreadable)?\Z", description="a sha256 of 64 hexadecimal digits, or nothing")
]
ReleaseName = Annotated[
    str,
    Meta(
        pattern=r"\A(?:[1-9][0-9]{3}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
        r"T(?:[01][0-9]|2[0-3])(?:[0-5][0-9]){2}Z)?\Z",
        description="a release such as 20261123T120000Z",
    ),
]
SlotName = Annotated[str, Meta(pattern=r"\A[ab]\Z", description="a slot: a or b")]
LiveSlot = Annotated[str, Meta(pattern=r"\A[ab]?\Z", description="a slot (a or b), or nothing")]
# Semantic versions, the versions of OTP and ERTS, and the output of `git describe`.
Version = Annotated[
    str,
    Meta(
        pattern=r"\A(?:[0-9A-Za-z][0-9A-Za-z.+_~-]{0,127})?\Z",
        description="a version of at most 128 letters, digits and . + _ ~ -",
    ),
]
# The version of the privileged helper.
HelperVersion = Annotated[str, Meta(pattern=r"\A[0-9]{0,6}\Z", description="a number of at most 6 digits")]
Machine = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,32}\Z", description="a machine such as x86_64")]
# `glibc 2.36`, `musl libc (x86_64)`: Warpbeam compares the first word and the numbers in the last.
Libc = Annotated[
    str, Meta(pattern=r"\A[!-~](?:[ -~]{0,198}[!-~])?\Z", description="a C library such as glibc 2.36, in ASCII")
]
Library = Annotated[
    str, Meta(pattern=r"\A[A-Za-z0-9_.+-]{0,128}\Z", description="a library's name such as libcrypto.so.3")
]
# Mix's name of a release (`AppName` in warpbeam/inventory/names.py); empty for a release of an older Warpbeam.
MixName = Annotated[str, Meta(pattern=r"\A[a-z0-9_]{0,31}\Z", description="a name of at most 31 of a-z, 0-9 and _")]
# One word: a user, a group, a package, a program.
Word = Annotated[
    str, Meta(pattern=r"\A[^\s\x00-\x20\x7f-\xa0]{0,256}\Z", description="a word of at most 256 characters")
]
# One line without control characters: the name of an operating system or of a file system.
Label = Annotated[
    str, Meta(pattern=r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,1000}\Z", description="a line of at most 1000 characters")
]
# Text that a person or another program wrote.
Text = Annotated[str, Meta(pattern=r"\A[^\0]*\Z", max_length=20_000, description="a text of at most 20000 characters")]
LongText = Annotated[
    str, Meta(pattern=r"\A[^\0]*\Z", max_length=4_000_000, description="a text of at most 4000000 characters")
]
# A file of setup. `warpbeam/provision/inspect.sh` reads at most 64 KiB; masking may make its lines longer.
FileText = Annotated[
    str, Meta(pattern=r"\A[^\0]*\Z", max_length=600_000, description="a text of at most 600000 characters")
]
AbsolutePath = Annotated[
    str, Meta(pattern=r"\A/[^\x00-\x1f\x7f]{0,4095}\Z", description="an absolute path without control characters")
]
FileMode = Annotated[str, Meta(pattern=r"\A[0-7]{1,5}\Z", description="a file's mode in octal digits")]
# A file's type in the words of stat(1), a unit's state in those of systemd, or an outcome.
StateName = Annotated[str, Meta(pattern=r"\A[a-z -]{0,60}\Z", description="a word or two of a-z")]
UserId = Annotated[str, Meta(pattern=r"\A[0-9]{1,10}\Z", description="a user's number")]
PortText = Annotated[str, Meta(pattern=r"\A[1-9][0-9]{0,4}\Z", description="a port's number")]
Port = Annotated[int, Meta(ge=0, le=65535)]
BoundPort = Annotated[
    str, Meta(pattern=r"\A(?:tcp|udp):[0-9]{1,5}\Z", description="a protocol and a port such as tcp:4001")
]
JobId = Annotated[
    str, Meta(pattern=r"\A[0-9a-f]{0,64}\Z", description="an activation's id of at most 64 hexadecimal digits")
]
BootId = Annotated[str, Meta(pattern=r"\A[0-9a-f-]{36}\Z", description="a boot's id, a UUID")]
# The status of an HTTP answer (an app may send any number), or words for its absence.
HttpStatus = Annotated[
    str, Meta(pattern=r"\A(?:[0-9]{1,9}|no answer|no HTTP)\Z", description="a status in digits, or `no answer`")
]
Moment = Annotated[
    str,
    Meta(
        pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z",
        description="a time such as 2026-11-23T12:00:00Z",
    ),
]
Clock = Annotated[
    str, Meta(pattern=r"\A[0-9]{1,12}\.[0-9]{1,9}\Z", description="seconds since the epoch, with a fraction")
]
# An app chooses the version in its environment; the helper keeps only these characters of it.
AppVersion = Annotated[
    str, Meta(pattern=r"\A[A-Za-z0-9.+_-]{0,100}\Z", description="a version of at most 100 letters, digits and . + _ -")
]

Count = Annotated[int, Meta(ge=0, le=LARGEST)]
# -1: the file system does not count inodes.
Inodes = Annotated[int, Meta(ge=-1, le=LARGEST)]
# Seconds since the epoch, up to the year 9999.
EpochSeconds = Annotated[int, Meta(ge=0, le=253_402_300_799)]
Seconds = Annotated[float, Meta(ge=0, le=10**10)]
ExitStatus = Annotated[int, Meta(ge=0, le=255)]
# Bounds for collections that nothing else bounds.
FEW = Meta(max_length=1000)
MANY = Meta(max_length=100_000)
FILES = Meta(max_length=1_000_000)
OnOff = Literal["on", "off"]


def explained(mismatch: str) -> str:
    """Return msgspec's message about an answer that does not fit, for people: the place, and what was expected.

    The result quotes nothing, or only a little, of the answer.
    """
    what, _, where = mismatch.rpartition(" - at ")
    if not what:
        what, where = mismatch, "`$`"
    for kind in list(globals().values()):
        for meta in _metas(kind):
            if meta.pattern is not None and repr(meta.pattern) in what:
                what = f"expected {meta.description}"
    return f"{where.replace('`', '')}: {what[:1].lower()}{what[1:200]}"


def _metas(kind: Any) -> list[Meta]:
    return [part for part in getattr(kind, "__metadata__", ()) if isinstance(part, Meta)]
