"""Fitting: which artifact goes to which host, by the CPU and the C library that each host says it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from warpbeam.build.artifact import Artifact, Manifest, Toolchain
from warpbeam.deploy.preflight import fits_libc, version_of
from warpbeam.error import Refused, Unreachable, untouched
from warpbeam.host.facts import HostFacts


class Platform(msgspec.Struct, frozen=True):
    """The kind of a host: what decides whether a release runs there. `os` is for people."""

    cpu: str
    libc: str
    os: str

    def __str__(self) -> str:
        return f"{self.cpu}, {self.libc} ({self.os})"

    def is_like(self, other: Platform) -> bool:
        """Whether both have the same CPU and the same C library, in the same version."""
        return (self.cpu, self.libc) == (other.cpu, other.libc)


def platform_of(machine: HostFacts | Toolchain) -> Platform:
    """Return the platform of an app host from its facts, or of a build host from its toolchain."""
    return Platform(machine.cpu, machine.libc, machine.os)


class Offer(msgspec.Struct, frozen=True):
    """An artifact that hosts may get: one that there is (`name` is its key), or one that a build host would make.

    `libcrypto` is what it needs; empty where it needs none, or is not built yet.
    """

    name: str
    platform: Platform
    libcrypto: str = ""

    def runs_on(self, have: HostFacts) -> bool:
        """Whether that host can run it; `check_compatibility` checks this again, and more, under the lock."""
        made = self.platform
        crypto = not self.libcrypto or self.libcrypto in have.libcrypto
        return have.cpu == made.cpu and fits_libc(have.libc, made.libc) and crypto


class Artifacts(msgspec.Struct, frozen=True):
    """Which artifact goes to which host, by the host's name; all are of the same version and the same source.

    `platforms` are what the hosts answered when the choice was made; empty where there was nothing to choose.
    """

    by_host: Mapping[str, Artifact]
    platforms: Mapping[str, Platform] = {}

    def of(self, host: str) -> Artifact:
        """Return the artifact of that host. Raises: Unreachable, where the host was left out of the choice."""
        artifact = self.by_host.get(host)
        if artifact is None:
            raise Unreachable("it did not answer when artifacts were chosen", "run the same command again", host=host)
        return artifact

    @property
    def each(self) -> tuple[Artifact, ...]:
        """The different artifacts, in the order of their first hosts."""
        return tuple({artifact.manifest.sha256: artifact for artifact in self.by_host.values()}.values())

    @property
    def label(self) -> str:
        """The version and the short commit, for messages."""
        return self.each[0].label

    def as_of(self, commit: str, subject: str, *, dirty: bool) -> Artifacts:
        """Return the same artifacts, described by that commit: one source tree can belong to several."""
        described = {}
        for artifact in self.each:
            made = msgspec.structs.replace(artifact.manifest, commit=commit, subject=subject, dirty=dirty)
            described[made.sha256] = Artifact(artifact.tarball, made)
        by_host = {host: described[artifact.manifest.sha256] for host, artifact in self.by_host.items()}
        return Artifacts(by_host, self.platforms)

    def check(self, host: str, have: HostFacts) -> None:
        """Check that a host still is of the kind for which its artifact was chosen. Raises: Refused, where it is not.

        A name may lead to several machines, and a host may be installed anew meanwhile.
        """
        asked, found = self.platforms.get(host), platform_of(have)
        if asked is not None and not found.is_like(asked):
            raise Refused(
                f"it has {found} now; it answered {asked} when its artifact was chosen",
                "was it installed anew, or does its name lead to several machines? Then run the same command again",
                host=host,
            )


def to_all(artifact: Artifact, hosts: Iterable[str]) -> Artifacts:
    """Return the choice that gives all `hosts` the same artifact."""
    return Artifacts(dict.fromkeys(hosts, artifact))


def assigned(choice: Mapping[str, str], artifacts: Mapping[str, Artifact], facts: Mapping[str, HostFacts]) -> Artifacts:
    """Return the artifacts that `choice` gives to hosts by their names, with what the hosts answered."""
    platforms = {host: platform_of(have) for host, have in facts.items()}
    return Artifacts({host: artifacts[name] for host, name in choice.items()}, platforms)


def offers_of(made: Mapping[str, Manifest]) -> list[Offer]:
    """Return the artifacts that there are, by their names, as offers."""
    return [Offer(name, platform_of(it.toolchain), it.libcrypto) for name, it in made.items()]


def fit(
    offers: Sequence[Offer], hosts: Mapping[str, HostFacts], pins: Mapping[str, str] | None = None, what: str = ""
) -> dict[str, str]:
    """Return the name of the offer that each host gets, by the host's name. Pure.

    It is the one of the host's `pins`; else of those that run there, the one with the newest C library.

    Parameters:
        what: the word for an offer in messages; default: build host.

    Raises:
        Refused: no offer runs on a host, or two of the same kind do; the message names them and what each has.
    """
    found = {name: _best(offers, name, have, (pins or {}).get(name, ""), what) for name, have in hosts.items()}
    problems = {name: choice for name, choice in found.items() if isinstance(choice, Refused)}
    if problems:
        raise untouched(problems)
    return {name: choice.name for name, choice in found.items() if isinstance(choice, Offer)}


def _best(offers: Sequence[Offer], host: str, have: HostFacts, pin: str, what: str) -> Offer | Refused:
    """Return the offer that a host gets, or why it gets none."""
    wanted = [offer for offer in offers if offer.name == pin] if pin else offers
    fitting = [offer for offer in wanted if offer.runs_on(have)]
    rule = "a release needs the same CPU, a C library that is no older than where it was built, and its libcrypto"
    if not fitting and pin:
        reason = f"{pin}, which is its `build` in the inventory, does not fit it: it has {platform_of(have)}"
        return Refused(f"{reason}; {_listed(wanted)}", f"{rule}: remove that key, or name another host", host=host)
    if not fitting:
        reason = f"no {what or 'build host'} fits it: it has {platform_of(have)}; {_listed(offers)}"
        more = "give a host like it `roles: [build]`" if not what else "build on a host like it"
        return Refused(reason, f"{rule}: {more}, or leave it out of the deploy (`--skip {host}`)", host=host)
    newest = max(version_of(offer.platform.libc) for offer in fitting)
    best = [offer for offer in fitting if version_of(offer.platform.libc) == newest]
    if len(best) > 1:
        reason = f"{' and '.join(offer.name for offer in best)} are of the same kind and fit it alike: {_listed(best)}"
        one = f"take the role build from one, or say which: `hosts: {{{host}: {{build: {best[0].name}}}}}`"
        return Refused(reason, "name one of them" if what else one, host=host)
    return best[0]


def _listed(offers: Sequence[Offer]) -> str:
    """Return what each has, in words."""
    return "; ".join(f"{offer.name} has {offer.platform}" for offer in offers)
