"""Root file systems, made once for each recipe and kept in /var/cache/warpbeam.

The root file system of a build host is a layer over that of a plain host, with only what the build packages add. The
name of a root file system has the digest of its recipe: a changed recipe makes a new one. It gets its name last, so a
half-made one never has it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from warpbeam.error import Refused
from warpbeam.event import Emit, Note, Step
from warpbeam.lab.command import follow, run
from warpbeam.lab.requirement import KEYRING
from warpbeam.lab.state import Kind, Suite, enclose, locked, remove_tree

CACHE = Path("/var/cache/warpbeam")
HERE = Path(__file__).parent
# Packages for a server that users log in to, and for running a release that brings its own ERTS.
HOST_PACKAGES = (
    "ca-certificates",
    "curl",
    "dbus",
    "iproute2",
    "libncurses6",
    "libpam-systemd",
    "libstdc++6",
    "netbase",
    "nftables",
    "openssh-server",
    "procps",
    "rsync",
    "sudo",
    "systemd-sysv",
    "tzdata",
)
BUILD_PACKAGES = (
    "elixir",
    "erlang-asn1",
    "erlang-crypto",
    "erlang-dev",
    "erlang-eunit",
    "erlang-inets",
    "erlang-mnesia",
    "erlang-os-mon",
    "erlang-parsetools",
    "erlang-public-key",
    "erlang-runtime-tools",
    "erlang-ssh",
    "erlang-ssl",
    "erlang-syntax-tools",
    "erlang-tools",
    "erlang-xmerl",
    "git",
    "nodejs",
    "python3",
)
# Beginnings of the lines of mmdebstrap's and layer.sh's output that are shown.
SHOWN = ("I: fetching", "I: downloading", "I: extracting", "I: installing")
# Configuration of dpkg, written after mmdebstrap has extracted the essential packages: with the option --dpkgopt,
# mmdebstrap would filter each of their archives through a script, which takes 15 s instead of 6.
DPKG = """\
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/man/*
"""


class Recipe(msgspec.Struct, frozen=True):
    """A recipe for a root file system. `script` is the text of the script that makes or completes it."""

    suite: Suite
    kind: Kind
    packages: tuple[str, ...]
    script: str

    @property
    def directory(self) -> Path:
        """The directory of the finished root file system, whether or not it exists yet."""
        digest = hashlib.sha256(msgspec.json.encode((self, DPKG))).hexdigest()[:12]
        return CACHE / f"{self.suite}-{self.kind}-{digest}"


def recipes(suite: Suite, kind: Kind) -> tuple[Recipe, ...]:
    """Return the recipes of one kind of host, the topmost layer first."""
    host = Recipe(suite, "host", HOST_PACKAGES, (HERE / "customize.sh").read_text())
    if kind == "host":
        return (host,)
    # The layer holds the differences to exactly that host, so its name must depend on the host's.
    script = f"{(HERE / 'layer.sh').read_text()}\n# over {host.directory.name}\n"
    return (Recipe(suite, "build", BUILD_PACKAGES, script), host)


def layers(suite: Suite, kind: Kind, emit: Emit) -> tuple[str, ...]:
    """Return the directories of the root file system of that kind, topmost first; make the missing ones.

    Raises:
        Refused: this machine's apt knows no Debian mirror.
        Failed: making one failed; nothing half-made is left.
    """
    chain = recipes(suite, kind)
    enclose(CACHE)
    with locked(CACHE / "lock"):
        for recipe in reversed(chain):
            if recipe.directory.is_dir():
                continue
            if recipe.kind == "host":
                emit(Step(host="", name=f"making the root file system of a {suite} host (once, about 40 s)"))
                _make(recipe, emit, _make_host)
            else:
                emit(Step(host="", name=f"adding Elixir and Erlang for {suite} build hosts (once, about 30 s)"))
                _make(recipe, emit, _make_build)
    return tuple(str(recipe.directory) for recipe in chain)


def sources(targets: str, suite: Suite) -> str:
    """Return lines of sources.list for `suite`, from this machine's own sources of Debian; main only.

    Parameters:
        targets: a line `URI RELEASE COMPONENT ORIGIN` for each index that apt uses.

    Raises:
        Refused: no index is Debian's.
    """
    lines: dict[str, None] = {}
    for target in targets.splitlines():
        uri, release, component, origin, *_ = [*target.split(), "", "", "", ""]
        _, dash, pocket = release.partition("-")
        if origin == "Debian" and component == "main" and pocket in ("", "updates", "security"):
            lines[f"deb [signed-by={KEYRING}] {uri} {suite}{dash}{pocket} main"] = None
    if not lines:
        raise Refused(
            "the lab's hosts are Debian, and this machine's apt knows no Debian mirror",
            "add one in /etc/apt/sources.list.d/ (signed by debian-archive-keyring), then `apt-get update`",
        )
    return "\n".join(lines) + "\n"


def purge(in_use: frozenset[str]) -> tuple[str, ...]:
    """Remove every root file system that is not `in_use`; return the names of those removed."""
    if not CACHE.is_dir():
        return ()
    with locked(CACHE / "lock"):
        gone = [entry for entry in sorted(CACHE.iterdir()) if entry.is_dir() and str(entry) not in in_use]
        for entry in gone:
            remove_tree(entry)
        (CACHE / "lock").unlink()
    with suppress(OSError):
        # The directory may be in use again, or be a mount point.
        CACHE.rmdir()
    return tuple(entry.name for entry in gone)


def _make(recipe: Recipe, emit: Emit, maker: Callable[[Recipe, Path, Emit], Path]) -> None:
    with draft_in(CACHE) as draft:
        made = maker(recipe, draft, emit)
        # Sync before the rename: otherwise a power loss could leave the name with empty files.
        run("sync", "--file-system", str(made))
        made.rename(recipe.directory)


@contextmanager
def draft_in(cache: Path) -> Iterator[Path]:
    """Yield a directory for a draft, removed at the end; first remove drafts that a killed run left behind."""
    for stale in cache.glob("new-*"):
        remove_tree(stale)
    draft = Path(tempfile.mkdtemp(prefix="new-", dir=cache))
    try:
        yield draft
    finally:
        remove_tree(draft)


def _make_host(recipe: Recipe, draft: Path, emit: Emit) -> Path:
    root = draft / "root"
    (draft / "dpkg.cfg").write_text(DPKG)
    follow(
        (
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            "--format=directory",
            f"--include={','.join(recipe.packages)}",
            '--aptopt=Acquire::Languages "none"',
            *(f"--aptopt={line}" for line in _proxies()),
            f"--extract-hook=copy-in {draft / 'dpkg.cfg'} /etc/dpkg/dpkg.cfg.d",
            f"--customize-hook={HERE / 'customize.sh'}",
            recipe.suite,
            str(root),
            "-",
        ),
        _emitter(emit),
        stdin=_own_sources(recipe.suite),
    )
    root.chmod(0o755)
    return root


def _make_build(recipe: Recipe, draft: Path, emit: Emit) -> Path:
    lower = recipes(recipe.suite, "host")[0].directory
    upper, work, root = (draft / name for name in ("upper", "work", "root"))
    for directory in (upper, work, root):
        directory.mkdir()
    config = draft / "apt.conf"
    architecture = run("dpkg", "--print-architecture").strip()
    config.write_text(
        f'Dir "{root}/";\nDPkg::Chroot-Directory "{root}";\nAPT::Architecture "{architecture}";\n'
        f'APT::Architectures "{architecture}";\nAPT::Sandbox::User "root";\n' + "\n".join(_proxies()) + "\n"
    )
    follow(
        (str(HERE / "layer.sh"), *map(str, (lower, upper, work, root, config)), *recipe.packages),
        _emitter(emit),
    )
    upper.chmod(0o755)
    return upper


def _own_sources(suite: Suite) -> str:
    def indexes() -> str:
        form = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)"
        return run("apt-get", "indextargets", "--format", form, "Created-By: Packages")

    if " Debian" not in indexes():
        # apt knows the origin only from a Release file that was fetched; a fresh machine may have none.
        run("apt-get", "update", "-q")
    return sources(indexes(), suite)


def _proxies() -> tuple[str, ...]:
    """Return this machine's apt proxies, as lines of apt.conf."""
    settings = run("apt-config", "dump").splitlines()
    return tuple(line for line in settings if line.startswith(("Acquire::http::Proxy", "Acquire::https::Proxy")))


def _emitter(emit: Emit) -> Callable[[str], None]:
    """Return a function that emits the progress of mmdebstrap and layer.sh, not the output of dpkg."""

    def on_line(line: str) -> None:
        if line.startswith(SHOWN):
            emit(Note(host="", text="  " + line.removeprefix("I: ")))

    return on_line
