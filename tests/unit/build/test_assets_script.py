"""assets.sh and secrets.sh of a build: what is found in an app, hints, and what is masked."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpbeam.build.secrets import values_for_host
from warpbeam.host.script import PACKAGE

PARTS = ("host/json", "host/common", "build/program", "build/secrets", "build/assets")
PARAMETERS = "assets=${assets-auto} asset_commands=() variables=() mix_env=prod build=$PWD/build locale=C.UTF-8"
SCRIPT = "\n".join((PACKAGE / f"{part}.sh").read_text() for part in PARTS)
# The sample app's mix.exs has no such alias.
ALIAS = 'aliases: ["assets.deploy": ["cmd true"]]'


def run(
    script: str, cwd: Path, *arguments: str, names: str = "", stdin: bytes = b"", expect: int = 0, **variables: str
) -> str:
    """Run `script` after the parts of a build, in `cwd`; return its output."""
    text = f"{PARAMETERS} secret_names=({names})\n{SCRIPT}\n{script}"
    environ = {"PATH": os.environ["PATH"], "HOME": str(cwd), **variables}
    argv = ["bash", "-c", text, "test", *arguments]
    done = subprocess.run(argv, input=stdin, cwd=cwd, env=environ, capture_output=True, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout.decode()


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """An app without assets."""
    write(tmp_path, "mix.exs", "releases: [hello: []]")
    return tmp_path


def write(app: Path, name: str, text: str = "{}") -> None:
    file = app / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def task(app: Path, module: str) -> None:
    """Compile a task of Mix, as far as its file's name goes."""
    write(app, f"_build/prod/lib/some/ebin/Elixir.Mix.Tasks.{module}.beam")


FIND = 'find_assets; find_tasks; echo "${node_projects[*]} | ${scripts[*]} | ${mix_tasks[*]}"'


def found(app: Path) -> str:
    """The directories for npm, those with a script `deploy`, and Mix's tasks."""
    return run(f"scripts=() mix_tasks=(); {FIND}", app).strip()


def test_an_app_without_assets_has_nothing_to_make_and_no_step(app: Path) -> None:
    assert found(app) == "|  |"
    assert run("find_assets; make_assets", app) == ""


def test_packages_and_an_alias_are_found_without_a_vm(app: Path) -> None:
    write(app, "assets/package.json")
    write(app, "assets/package-lock.json")
    write(app, "mix.exs", f"# {ALIAS}\n  {ALIAS}")

    assert found(app) == "assets |  | .:assets.deploy"
    assert run("find_assets; make_assets", app, assets="none") == ""


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (ALIAS, True),
        ('aliases: [{:"assets.deploy", [:run]}]', True),
        (f"# {ALIAS}", False),
        ('aliases: [release: ["assets.deploy", "release"]]', False),
    ],
)
def test_an_alias_is_what_the_text_of_mix_exs_calls_one(app: Path, text: str, named: bool) -> None:
    write(app, "mix.exs", text)

    assert (found(app) == "|  | .:assets.deploy") is named


def test_a_task_of_a_dependency_counts_as_an_alias_does(app: Path) -> None:
    task(app, "Assets.Deploy")
    assert found(app) == "|  | .:assets.deploy"


def test_phx_digest_runs_where_there_are_static_files(app: Path) -> None:
    task(app, "Phx.Digest")
    assert found(app) == "|  |"

    write(app, "priv/static/robots.txt")
    assert found(app) == "|  | .:phx.digest"


def test_a_script_deploy_runs_before_phx_digest_and_not_beside_assets_deploy(app: Path) -> None:
    task(app, "Phx.Digest")
    write(app, "assets/package.json", json.dumps({"scripts": {"deploy": "webpack"}, "deploy": "x"}, indent=2))
    write(app, "assets/package-lock.json")
    assert found(app) == "assets | assets | .:phx.digest"

    write(app, "mix.exs", ALIAS)
    assert found(app) == "assets |  | .:assets.deploy"


def test_a_task_that_a_step_of_the_release_runs_does_not_run_twice(app: Path) -> None:
    write(app, "mix.exs", f'{ALIAS}\nMix.Task.run("assets.deploy")')

    assert found(app) == "|  |"


def test_in_an_umbrella_each_app_has_its_packages_and_its_alias(app: Path) -> None:
    for name in ("admin", "web"):
        write(app, f"apps/{name}/assets/package.json")
        write(app, f"apps/{name}/assets/npm-shrinkwrap.json")
    write(app, "apps/web/mix.exs", ALIAS)

    assert found(app) == "apps/admin/assets apps/web/assets |  | apps/web:assets.deploy"


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("yarn.lock", "cd assets && yarn install --frozen-lockfile"),
        ("pnpm-lock.yaml", "cd assets && pnpm install --frozen-lockfile"),
        ("bun.lock", "cd assets && bun install --frozen-lockfile"),
    ],
)
def test_another_program_s_lock_file_is_answered_with_the_commands_for_it(app: Path, file: str, command: str) -> None:
    write(app, "assets/package.json")
    write(app, f"assets/{file}")

    failed = json.loads(run("find_assets", app, expect=4).strip("\x1e\n"))["failed"]

    assert failed["message"] == f"assets has {file}, and build.assets: auto knows npm alone"
    assert failed["hint"] == f"give the commands: build: {{assets: ['{command}', mix assets.deploy]}}"
    run("find_assets", app, assets="own")


def test_dependencies_that_no_file_locks_are_refused(app: Path) -> None:
    write(app, "assets/package.json", '{"private": true, "devDependencies": {}}')
    assert found(app) == "|  |"

    write(app, "assets/package.json", '{"devDependencies": {\n "esbuild": "*"}}')
    assert "assets/package.json has dependencies, and no package-lock.json" in run("find_assets", app, expect=4)


MORE = "if installs_more assets; then printf more; fi"


def test_node_modules_stays_only_where_npm_would_make_the_same(app: Path) -> None:
    plain: dict[str, object] = {"node_modules/a": {}, "node_modules/a/node_modules/b": {}, "../deps/phoenix": {}}
    for directory, packages in {"assets": plain, "more": {**plain, "../local/node_modules/b": {}}}.items():
        write(app, f"{directory}/package.json", '{"scripts": {"deploy": "x"}}')
        write(app, f"{directory}/package-lock.json", json.dumps({"packages": packages}, indent=2))
    assert run(MORE, app) == ""
    assert run(MORE.replace("assets", "more"), app) == "more"

    write(
        app,
        "old/package-lock.json",
        '{\n  "lockfileVersion": 1,\n  "dependencies": {"local": {"version": "file:x"}}\n}',
    )
    assert run(MORE.replace("assets", "old"), app) == "more"

    write(app, "assets/.npmrc", "install-links=true\n")
    assert run(MORE, app) == "more"
    write(app, "assets/.npmrc", "")
    write(app, "assets/package.json", '{"scripts": {"postinstall": "patch-package"}}')
    assert run(MORE, app) == "more"


# Real output of npm, and a part of the hint for it.
HINTS = [
    ("npm error code E401\nnpm error Incorrect or missing password.", "does build.secrets give the token"),
    ("npm error code E403\nnpm error 403 403 Forbidden - GET", "may the token that build.secrets gives read"),
    ("npm error code SELF_SIGNED_CERT_IN_CHAIN\nnpm error errno SELF_SIGNED", "`cafile` in .npmrc"),
    ("npm error code UNABLE_TO_VERIFY_LEAF_SIGNATURE\nnpm error errno UNABLE", "`cafile` in .npmrc"),
    ("npm error code E404\nnpm error 404 Not Found - GET", "a private package looks missing"),
    ("npm error code ENOTFOUND\nnpm error syscall getaddrinfo", "can the build host reach the registry"),
    ("npm ERR! code ECONNREFUSED\nnpm ERR! FetchError: request to", "can the build host reach the registry"),
    ("npm error code EUSAGE\nnpm error `npm ci` can only install packages when", "run `npm install` in that directory"),
    ("npm error code EINTEGRITY\nnpm error sha512-x integrity checksum failed", "a package is not the one"),
    ("npm error code ENOSPC\nnpm error nospc ENOSPC: no space left on device, write", "make room in"),
    ('** (Mix) The task "assets.deploy" could not be found', "set build.assets to `none`"),
    ("/bin/sh: 1: esbuild: not found", "a program missing"),
    ("Error: Transform failed with 1 error", ""),
]


@pytest.mark.parametrize(("text", "hint"), HINTS)
def test_a_hint_is_about_what_npm_or_a_task_said(tmp_path: Path, text: str, hint: str) -> None:
    told = run('recognise_assets "$1"; printf %s "$REPLY"', tmp_path, text)

    assert hint in told if hint else told == ""


ECHO = """
read_secrets
mkdir build
attempt_with_secrets "$1" bash -c 'printf "%s %s\\n" "${A-none}" "${B-none}"; exit 7' || status=$?
attempt env
echo "$status $(cat)"
"""


def test_a_program_sees_the_secrets_that_are_named_and_others_see_none(tmp_path: Path) -> None:
    values = {"A": 'one "$x" \\ *&', "B": "[ab]?\nthe second line\n"}
    stdin = b"".join(values_for_host(values)) + b"the source"

    said = run(ECHO, tmp_path, "B", names="A B", stdin=stdin)

    assert '{"line":"none ***"}' in said
    assert '{"line":"***"}' in said
    assert "7 the source" in said
    assert not any(word in said for word in ('one "', "[ab]", "second"))
    both = run(ECHO.replace("mkdir", "mkdir -p"), tmp_path, "A B", names="A B", stdin=stdin)
    assert '{"line":"*** ***"}' in both
    assert (tmp_path / "build/log.status").exists()


@given(
    st.lists(st.text(st.sampled_from("ab*?[]\\&/'\"$ é\t"), min_size=1, max_size=6), min_size=1, max_size=4),
    st.text(st.sampled_from("ab*?[]\\&/'\"$ é\t-"), max_size=20),
)
def test_no_value_is_left_in_what_is_shown(values: list[str], text: str) -> None:
    stdin = b"".join(values_for_host({str(number): value for number, value in enumerate(values)}))
    names = " ".join(f"A{number}" for number in range(len(values)))

    shown = run('read_secrets; mask_secrets <<<"$1"', Path("/"), text + "".join(values), names=names, stdin=stdin)

    # Stars of a mask may be a value themselves.
    assert not any(value in shown for value in values if "*" not in value)


def test_secrets_that_do_not_arrive_whole_are_a_failure(tmp_path: Path) -> None:
    assert "did not arrive whole" in run("read_secrets", tmp_path, names="A B", stdin=b"one\0tw", expect=4)


def test_a_file_of_a_release_with_a_line_of_a_secret_is_named(tmp_path: Path) -> None:
    line = "abcdefgh" * 8
    secret = {"KEY": f"-----BEGIN-----\n{line}\n" + "  }, 'a line of any JSON file'\n}\n", "SHORT": "ab"}
    stdin = b"".join(values_for_host(secret))
    write(tmp_path, "out/lib/a b/priv/app.js", f"x = '{line}'")
    write(tmp_path, "out/lib/other", "ab } -----BEGIN-----\n  }, 'a line of any JSON file'")

    said = run("out=$PWD/out; read_secrets; check_secrets", tmp_path, names="KEY SHORT", stdin=stdin, expect=4)

    failed = json.loads(said.strip("\x1e\n"))["failed"]
    assert failed["lines"] == ["'lib/a b/priv/app.js' holds a value of build.secrets"]
    (tmp_path / "out/lib/a b/priv/app.js").unlink()
    run("out=$PWD/out; read_secrets; check_secrets", tmp_path, names="KEY SHORT", stdin=stdin)
