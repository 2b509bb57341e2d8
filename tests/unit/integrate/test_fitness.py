"""Whether a host can run an artifact: what a bundle decides on the host is what `fab` decides from its facts."""

from __future__ import annotations

import re
import shlex
import subprocess
from itertools import product
from pathlib import Path
from typing import NamedTuple

from warpbeam.build.artifact import Artifact, Item, Manifest, Toolchain
from warpbeam.deploy.preflight import check_compatibility, check_memory
from warpbeam.error import Refused
from warpbeam.helper.program import HELPER_VERSION
from warpbeam.host.facts import HelperAnswer, HostFacts
from warpbeam.host.script import PACKAGE

FILES = (Item("bin/hello", "755", 60, "x"), Item("lib/a", "644", 50_000_000, "y"), Item("lib/b", "777", 0, "", "a"))


class Case(NamedTuple):
    """One host: what it has. The release has no VM of its own where `erts` is not empty."""

    version: str = HELPER_VERSION
    cpu: str = "x86_64"
    libc: str = "glibc 2.36"
    made_libc: str = "glibc 2.36"
    libcrypto: tuple[str, ...] = ("libcrypto.so", "libcrypto.so.3")
    erts: str = ""
    free: int = 10**9
    inodes: int = 10**6
    memory: int = 10**9


NEEDS = 50_000_060 + 16 * 1024 * 1024
LIBCS = ("glibc 2.36", "glibc 2.9", "glibc 2.40", "glibc 2.36.1", "glibc 3", "musl libc (x86_64)", "glibc 2.036")
CASES = [
    Case(),
    *(Case(version=version) for version in ("", "1")),
    Case(cpu="aarch64"),
    *(Case(libc=have, made_libc=made) for have, made in product(LIBCS, LIBCS)),
    *(Case(libcrypto=have) for have in ((), ("libcrypto.so.1.1",), ("libcrypto.so.3",), ("libcrypto.so.30",))),
    *(Case(erts=have) for have in ("none", "13.1", "14.0")),
    *(Case(free=free) for free in (0, NEEDS - 1, NEEDS)),
    *(Case(inodes=inodes) for inodes in (-1, 0, 501, 502)),
    *(Case(memory=memory) for memory in (0, 299_999, 300_000)),
]
MANIFEST = Manifest(
    app="hello",
    release="hello",
    version="2.0.0",
    commit="c" * 40,
    subject="a subject",
    tree="t" * 40,
    dirty=False,
    flavor="mix",
    mix_env="prod",
    toolchain=Toolchain("1.14.0", "25", "x86_64", "glibc 2.36", "Debian 12"),
    erts="13.1",
    libcrypto="libcrypto.so.3",
    sha256="0" * 64,
    size=100,
    files=FILES,
)


def decided_here(case: Case) -> bool:
    """Return whether `fab` refuses a deploy to that host."""
    tools = Toolchain("1.14.0", "25", "x86_64", case.made_libc, "Debian 12")
    made = Manifest(**{**{name: getattr(MANIFEST, name) for name in MANIFEST.__struct_fields__}, "toolchain": tools})
    have = HostFacts(
        cpu=case.cpu,
        libc=case.libc,
        os="Debian",
        libcrypto=case.libcrypto,
        free=case.free,
        inodes=case.inodes,
        memory=case.memory,
        live="",
        slots={},
        releases=(),
        base="",
        lacks=(0, 1),
        helper=HelperAnswer(version=case.version, activating=False, maintenance=False, memory=300_000),
        previous="",
        lock=None,
        activating=False,
        erts=case.erts,
    )
    try:
        check_compatibility("web1", have, Artifact(Path("x.tar.gz"), made))
        check_memory("web1", have)
    except Refused:
        return True
    return False


def assignments(case: Case) -> str:
    """Return what claim.sh has found on that host, and what the bundle says of its artifact."""
    helper = f'{{"version":"{case.version}","activating":false,"memory":300000}}'
    values = {
        "helper_says": helper if case.version else "{}",
        "cpu": case.cpu,
        "libc": case.libc,
        "made_libc": case.made_libc,
        "erts": case.erts,
        "free": str(case.free),
        "inodes": str(case.inodes),
        "memory": str(case.memory),
    }
    lines = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    return "\n".join([*lines, f"cryptos=({' '.join(case.libcrypto)})"])


def decided_on_hosts() -> list[str]:
    """Return, for each case, the problem that a host finds; empty: none."""
    fixed = {
        "helper_version": HELPER_VERSION,
        "made_cpu": "x86_64",
        "made_libc": "",
        "made_os": "Debian 12",
        "made_libcrypto": "libcrypto.so.3",
        "made_erts": "13.1",
        "files_size": "50000060",
        "files_count": "2",
        "weigh": "true",
    }
    head = "\n".join(f"{name}={shlex.quote(value)}" for name, value in fixed.items())
    part = (PACKAGE / "integrate" / "fitness.sh").read_text()
    ask = 'problem=""\nif unfit true true; then printf "%s\\n" "$problem"; else echo fits; fi\n'
    each = "\n".join(f"{assignments(case)}\n{ask}" for case in CASES)
    script = f"set -Eeuo pipefail\n{head}\n{part}\n{each}"
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_host_decides_as_fab_does_whether_it_can_run_an_artifact() -> None:
    decided = decided_on_hosts()

    assert len(decided) == len(CASES)
    found = {case: said != "fits" for case, said in zip(CASES, decided, strict=True)}
    assert {case for case in CASES if found[case] != decided_here(case)} == set()
    assert 10 < sum(found.values()) < len(CASES) - 10


def test_a_host_names_what_it_has_and_what_is_expected() -> None:
    said = dict(zip(CASES, decided_on_hosts(), strict=True))

    assert said[Case(cpu="aarch64")] == "its CPU is aarch64; the release was built for x86_64"
    assert re.search("glibc 2.9.*built with glibc 2.36", said[Case(libc="glibc 2.9")])
    assert said[Case(free=0)] == "0 MiB are free for releases; expected 63 MiB"
    assert "expected version" in said[Case(version="1")]
