"""program.sh and tools.sh of a build: hints for the output of other programs, versions, and a login's variables."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from warpbeam.host.script import PACKAGE

PROGRAM = (PACKAGE / "build/program.sh").read_text()
TOOLS = f"tools=asdf want_elixir= want_erlang= want_nodejs=\n{(PACKAGE / 'build/tools.sh').read_text()}"


def said(script: str, *arguments: str, **variables: str) -> str:
    """Run `script` in bash and return its output."""
    argv = ["bash", "-c", script, "test", *arguments]
    environ = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(argv, env=environ, capture_output=True, text=True, check=True).stdout


# Real output of tools, and a part of the hint for it; empty for no hint.
HINTS = [
    ("fatal: not a git repository (or any of the parent directories): .git", "WARPBEAM_COMMIT"),
    ("** (Mix) Unknown release :shop. The available releases are: [:web, :worker]", "`release` in the inventory"),
    ('* money (../money)\n  the dependency is not available, run "mix deps.get"', "outside of `source`"),
    (
        "Failed to fetch record for jason from registry\n** (Mix) Could not verify authenticity of fetched registry"
        " file. This may happen because a proxy or some entity is interfering with the download",
        "does not trust the registry",
    ),
    ("Failed to fetch record for jason from registry (using cache instead)\n{:failed_connect, nxdomain}", "reach"),
    (
        '** (Mix) Unknown repository "acme", add new repositories with the `mix hex.repo add`',
        "build.hex.repositories",
    ),
    (
        '** (File.Error) could not read file "/home/x/.hex/packages/acme/foo-1.0.0.tar": no such file or directory',
        "build.hex.offline",
    ),
    (
        "Could not install Hex because Mix could not download metadata at https://mirror/installs/hex-1.x.csv.",
        "does it have `installs/`",
    ),
    ("git@github.com: Permission denied (publickey).", "must be able to fetch this"),
    (
        "** (Mix) You're trying to run :shop on Elixir v1.14.0 but it has declared in its mix.exs file it supports only"
        " Elixir ~> 1.17",
        "install such an Elixir",
    ),
    ("/bin/sh: 1: esbuild: not found", "a program missing"),
    ('make: cc: No such file or directory\n** (Mix) Could not compile with "make"', "a program missing"),
    ('** (Mix) "make" not found in the path. If you have set the MAKE environment variable', "a program missing"),
    ("c_src/x.c:1:10: fatal error: sodium.h: No such file or directory", "the package of that header"),
    ("env: \u2018erlc\u2019: No such file or directory", "a program missing"),
    (
        '** (Mix) Error fetching/updating Git repository: the "git" executable is not available in your PATH.',
        "a program missing",
    ),
    ("fatal: unable to access 'https://x/': The requested URL returned error: 403", "must be able to fetch this"),
    ("fatal: repository 'https://git.example.com/x.git/' not found", "must be able to fetch this"),
    ("fatal: unable to access 'https://x/': Failed to connect to x port 443 after 133582 ms: Couldn't", "reach"),
    ("ssh: Could not resolve hostname git.example.com: Temporary failure in name resolution", "reach"),
    ("** (Mix) httpc request failed with: {:failed_connect, [{:inet6, [:inet6], :nxdomain}]}", "reach"),
    ("fatal: unable to access 'https://x/': server certificate verification failed. CAfile: none", "ca-certificates"),
    ('** (File.Error) could not write to file "x.beam": no space left on device', "make room in"),
    ("head: error writing 'standard output': No space left on device", "make room in"),
    # A word of the app is none of a program's.
    ("Compiling 3 files (.ex)\nwarning: Acme.Repository is unused\nits environment: prod, not found", ""),
    ("== Compilation error in file lib/broken.ex ==\n** (CompileError) lib/broken.ex:2", "does not compile"),
    # No hint: "does not compile at this commit" would be wrong, since a dependency failed.
    ('c_src/x.c:3: error: expected\n** (Mix) could not compile dependency :bcrypt, "mix compile" failed', ""),
    ("** (RuntimeError) the step says no", ""),
]


@pytest.mark.parametrize(("text", "hint"), HINTS)
def test_a_hint_is_about_what_a_tool_said(text: str, hint: str) -> None:
    told = said(f'{PROGRAM}\nbuild=/nowhere; is_count() {{ false; }}\nrecognise "$1"; printf %s "$REPLY"', text)

    assert hint in told if hint else told == ""


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("1.14.0", "", True),
        ("1.14.0", "1.14.0", True),
        ("1.14.0", "1.14", True),
        ("1.14.0", "1", True),
        ("1.14.0", "1.14.0-otp-25", True),
        ("1.14.0", "1.1", False),
        ("1.14.0", "1.14.1", False),
        ("1.14.0", "1.13.4 1.14", True),
        ("1.14.0", "1.13.4 1.15", False),
        ("1.14.0", "system", True),
        ("1.14.0", "latest", True),
        ("1.14.0", "latest:1.14", True),
        ("1.14.0", "latest:1.15", False),
        ("1.14.0", "prefix:1.14", True),
        ("1.14.0", "ref:v1.15.0", True),
        ("1.14.0", "main-otp-27", True),
        ("1.14.0", "path:/opt/elixir", True),
        ("25.2.3", "25", True),
        ("25.2.3", "25.2.3.1", False),
    ],
)
def test_a_version_fits_as_asdf_and_mise_have_it(version: str, wanted: str, fits: bool) -> None:
    assert said(f'{TOOLS}\nif fits "$1" "$2"; then echo yes; else echo no; fi', version, wanted) == (
        "yes\n" if fits else "no\n"
    )


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("1.14.0", "1.14.0"),
        ("1.14", "1.14.5-otp-25"),
        ("1.9 1.13", "1.13.4"),
        ("latest:1.14", "1.14.5-otp-25"),
        ("latest", "1.140.0"),
        ("1.15", "1.15.1"),
        ("1.15.2 1.13", "1.13.4"),
        ("ref:main", "ref-main"),
        ("system", ""),
        ("9.9 8.8", "none"),
    ],
)
def test_of_the_versions_that_are_asked_for_one_that_asdf_has_is_chosen(
    tmp_path: Path, wanted: str, chosen: str
) -> None:
    for version in ("1.13.4", "1.14.0", "1.14.5-otp-25", "1.15.1", "1.15.2", "1.140.0", "1.140.1", "ref-main"):
        program = tmp_path / "installs" / "elixir" / version / "bin" / "elixir"
        program.parent.mkdir(parents=True)
        program.touch(0o755)
    # Three whose installation has not ended: one of asdf, one of mise, one without the program.
    (tmp_path / ".warpbeam-elixir-1.15.2").touch()
    (tmp_path / "cache" / "elixir" / "1.140.1").mkdir(parents=True)
    (tmp_path / "cache" / "elixir" / "1.140.1" / "incomplete").touch()
    (tmp_path / "installs" / "elixir" / "1.14.6" / "bin").mkdir(parents=True)
    (tmp_path / "installs" / "elixir" / "1.15").symlink_to("./1.15.2")

    script = (
        f'{TOOLS}\ndata=$1 cache=$1/cache; if find_installed elixir $2; then echo "${{REPLY##*/}}"; else echo none; fi'
    )

    assert said(script, str(tmp_path), wanted) == f"{chosen}\n"


def test_a_logins_settings_of_mix_and_git_are_removed_and_those_of_the_network_stay() -> None:
    gone = ["MIX_ENV", "MIX_EXS", "ERL_FLAGS", "ERL_COMPILER_OPTIONS", "ELIXIR_ERL_OPTIONS", "RELEASE_NAME", "GIT_DIR"]
    gone += ["GIT_CONFIG_COUNT", "REBAR_BASE_DIR", "NODE_ENV", "LC_CTYPE", "LANGUAGE", "GIT_WORK_TREE", "ERL_LIBS"]
    stay = ["MIX_HOME", "MIX_ARCHIVES", "HEX_MIRROR", "HEX_API_KEY", "HTTPS_PROXY", "https_proxy", "GIT_SSH_COMMAND"]
    stay += ["GIT_ASKPASS", "GIT_SSL_CAINFO", "SSL_CERT_FILE"]

    left = said(f"{TOOLS}\nforget_login; env", **dict.fromkeys(gone + stay, "x")).splitlines()

    assert {line.partition("=")[0] for line in left if line.endswith("=x")} == set(stay)
