"""Checks before anything is changed: whether a host can run an artifact."""

from __future__ import annotations

from warpbeam.build.artifact import Artifact
from warpbeam.error import Refused
from warpbeam.helper.program import HELPER_VERSION
from warpbeam.host.facts import HostFacts
from warpbeam.size import size


def check_memory(name: str, have: HostFacts) -> None:
    """Check that a host has room for a second instance, taken to be as large as the live one. Pure.

    Raises:
        Refused: it has not: the kernel would end one of them in the middle of a deploy.
    """
    if have.memory < have.helper.memory:
        raise Refused(
            f"{size(have.memory)} of memory are free; a second instance beside the live one would take "
            f"{size(have.helper.memory)}",
            "make room, or use `deploy.strategy: restart`, which runs one at a time",
            host=name,
        )


def check_helper(name: str, have: HostFacts) -> None:
    """Check that a host's privileged helper is of this version of Warpbeam. Pure. Raises: Refused, where it is not.

    A rollout could not see otherwise whether the hosts that have changed stay healthy.
    """
    if have.helper.version != HELPER_VERSION:
        raise Refused(
            f"{name}: the privileged helper "
            + (f"has version {have.helper.version}" if have.helper.version else "does not answer")
            + f"; expected version {HELPER_VERSION}",
            "run `fab ENV setup`",
        )


def check_compatibility(name: str, have: HostFacts, artifact: Artifact) -> None:
    """Check that a host can run the artifact. Pure.

    Raises:
        Refused: another CPU, an older C library, no libcrypto of the right version, no room, another privileged helper.
    """
    check_helper(name, have)
    manifest = artifact.manifest
    made = manifest.toolchain
    if have.cpu != made.cpu:
        raise Refused(
            f"its CPU is {have.cpu}; the release was built for {made.cpu}", "build on a host like it", host=name
        )
    if not fits_libc(have.libc, made.libc):
        raise Refused(
            f"its C library is {have.libc} ({have.os}); the release was built with {made.libc} ({made.os})",
            "build on a host whose C library is no newer",
            host=name,
        )
    if manifest.libcrypto and manifest.libcrypto not in have.libcrypto:
        raise Refused(
            f"it has no {manifest.libcrypto}, which the release was built with ({made.os})",
            "install it, or build on a host with the same OpenSSL",
            host=name,
        )
    if have.erts and have.erts != manifest.erts:
        raise Refused(
            f"the release has no Erlang VM of its own (`include_erts: false`), and needs ERTS {manifest.erts} "
            f"on its host, which has {'none' if have.erts == 'none' else have.erts}",
            "leave `include_erts` out of the release in mix.exs, or install that Erlang on the host (`packages`)",
            host=name,
        )
    needs = sum(artifact.files[index].size for index in have.lacks) + 16 * 1024 * 1024
    if have.free < needs:
        raise Refused(
            f"{size(have.free)} are free for releases; expected {size(needs)}",
            "make room; `deploy.keep` says how many releases stay",
            host=name,
        )
    # Some file systems count no inodes (-1).
    if 0 <= have.inodes < len(have.lacks) + 500:
        raise Refused(f"{have.inodes} inodes are free; expected {len(have.lacks) + 500}", "make room", host=name)


def fits_libc(have: str, made: str) -> bool:
    """Whether a release that was built with the C library `made` runs with `have`: of the same family, no older."""
    return have.split(maxsplit=1)[0] == made.split(maxsplit=1)[0] and version_of(have) >= version_of(made)


def version_of(text: str) -> tuple[int, ...]:
    """Return the numbers of a text such as `glibc 2.36`; none where it has none, as musl's."""
    return tuple(int(part) for part in text.rsplit(maxsplit=1)[-1].split(".") if part.isdigit())
