"""`fab init` in repositories of different kinds: what it writes, what it leaves alone, what it refuses."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.unit.init.test_reading import PHOENIX, UMBRELLA
from warpbeam.error import Misuse, Problem, Refused
from warpbeam.event import Event, Line, Note, Warn
from warpbeam.init.files import CONFIGURATIONS
from warpbeam.init.init import init
from warpbeam.init.request import InitRequest
from warpbeam.inventory.read import read_inventory

PROJECT = Path(__file__).parents[3]
RUNTIME = """
if System.get_env("PHX_SERVER"), do: config(:shop, ShopWeb.Endpoint, server: true)
System.get_env("DATABASE_URL") || raise "DATABASE_URL is missing"
System.get_env("SECRET_KEY_BASE") || raise "SECRET_KEY_BASE is missing"
System.get_env("PHX_HOST") || "example.com"
System.get_env("PORT", "4000")
System.get_env("POOL_SIZE", "10")
"""
RELEASE = "defmodule Shop.Release do\n  def migrate do\n    :ok\n  end\nend\n"
SHOP = {
    "mix.exs": PHOENIX,
    "mix.lock": "%{}\n",
    "config/runtime.exs": RUNTIME,
    "lib/shop/release.ex": RELEASE,
    ".tool-versions": "elixir 1.18.3 # newest\nerlang 27.3\n",
    ".gitignore": "/_build/",
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The repository of a Phoenix app."""
    return repository(tmp_path / "shop", SHOP)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with one key."""
    place = tmp_path / "home"
    (place / ".ssh").mkdir(parents=True)
    (place / ".ssh" / "id_ed25519.pub").touch()
    monkeypatch.setenv("HOME", str(place))
    return place


def repository(directory: Path, files: dict[str, str], remote: str = "git@git.example.org:Acme/shop.git") -> Path:
    """Make a git repository with these files."""
    for name, text in files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for words in (("init", "-q"), ("remote", "add", "origin", remote), ("add", "--all")):
        subprocess.run(["git", "-C", directory, *words], check=True)
    return directory


def run(
    project: Path,
    source: Path | None = None,
    confirm: Callable[[str], bool] = lambda _: True,
    **asked: Any,
) -> list[str]:
    """Run `init`; return the sentences that it emitted."""
    events: list[Event] = []
    request = InitRequest(project, source or project, project / "inventory", **asked)
    init(request, confirm, events.append)
    return [event.text for event in events if isinstance(event, Note | Warn)]


def written(project: Path) -> str:
    """The text of the environment."""
    return (project / "inventory" / "production.yml").read_text()


def refusal(kind: type[Problem], project: Path, **asked: Any) -> str:
    """The message of `init`, which must refuse and write nothing."""
    before = sorted(project.rglob("*")) if project.is_dir() else []
    with pytest.raises(kind) as refused:
        run(project, **asked)
    assert (sorted(project.rglob("*")) if project.is_dir() else []) == before
    return f"{refused.value.message}; {refused.value.hint}"


def test_a_phoenix_app_gets_its_own_values_and_a_valid_inventory(shop: Path) -> None:
    said = run(shop)

    read = read_inventory(shop / "inventory" / "production.yml")
    assert (read.org, read.app, read.release_name, read.source) == ("acme", "shop", "shop", None)
    assert {host.name: host.roles for host in read.hosts.values()} == {"build1": ("build",), "web1": ("app", "migrate")}
    assert read.deploy.migrate == "Shop.Release.migrate()"
    assert read.env == {"PHX_SERVER": "true", "PHX_HOST": "shop.example.com"}
    assert {name: secret.env for name, secret in read.secrets.items()} == {
        "DATABASE_URL": "SHOP_DATABASE_URL",
        "SECRET_KEY_BASE": "SHOP_SECRET_KEY_BASE",
    }
    assert "# config/runtime.exs also reads: POOL_SIZE\n" in written(shop)
    assert any("production.yml is valid: acme/shop on build1 (build), web1 (app, migrate)" in line for line in said)
    assert (shop / "fabric.yaml").read_text() == (PROJECT / "fabric.yaml").read_text()
    assert (shop / ".gitignore").read_text() == "/_build/\n.warpbeam/\n"


def test_every_key_of_the_inventory_has_a_comment_and_no_line_is_wide(shop: Path) -> None:
    run(shop)

    lines = written(shop).splitlines()
    assert [line for line in lines if len(line) > 100] == []
    assert [line for line in lines if line and "# " not in line] == []


def test_what_is_left_to_do_by_hand_is_said(shop: Path) -> None:
    said = "\n".join(run(shop))

    for part in (
        "in place of 192.0.2.5, 192.0.2.10, shop.example.com",
        "export SHOP_DATABASE_URL, SHOP_SECRET_KEY_BASE",
        "answer GET /health with 200",
        "let the build host fetch billing, tools",
        "add the drain plug",
        "git add fabfile.py fabric.yaml inventory/production.yml .gitignore && git commit",
        "fab production setup deploy",
    ):
        assert part in said
    for part in ("make a key", ":tar", "mix.lock", ".tool-versions, where", "read PORT", "phx.gen.release"):
        assert part not in said


def test_an_app_without_what_warpbeam_needs_is_told_all_of_it(tmp_path: Path, home: Path) -> None:
    (home / ".ssh" / "id_ed25519.pub").unlink()
    mix = PHOENIX.replace("[app: :shop,", "[app: :shop, releases: [one: [steps: [:assemble, :tar]], two: []],")
    said = "\n".join(run(repository(tmp_path / "shop", {"mix.exs": mix})))

    for part in (
        "ssh-keygen",
        "`:tar`",
        "commit mix.lock",
        "commit .tool-versions",
        "read PORT",
        "mix phx.gen.release",
        "`one` is deployed; `release` can name two",
    ):
        assert part in said
    assert "release: one " in written(tmp_path / "shop")


def test_a_second_run_writes_nothing_and_still_says_what_is_left(shop: Path) -> None:
    run(shop)
    before = {file: file.read_bytes() for file in shop.rglob("*") if file.is_file() and ".git/" not in str(file)}

    said = run(shop, confirm=lambda _: pytest.fail("there is nothing to confirm"))

    assert "nothing to write: every file is there" in said
    assert any("in place of 192.0.2.5" in line for line in said)
    assert {file: file.read_bytes() for file in before} == before


def test_files_of_another_content_stay_and_their_missing_lines_are_said(shop: Path) -> None:
    (shop / "fabfile").mkdir()
    (shop / "fabfile" / "__init__.py").write_text("import fabric\n")
    (shop / "fabric.yml").write_text("run: {echo: true}\n")
    (shop / "inventory").mkdir()
    (shop / "inventory" / "production.yml").write_text("org: acme\napp: 7\n")

    said = "\n".join(run(shop))

    assert not (shop / "fabfile.py").exists()
    assert not (shop / CONFIGURATIONS[0]).exists()
    assert written(shop) == "org: acme\napp: 7\n"
    assert "put into fabfile: from warpbeam.tasks import collection" in said.replace(f"{shop}/", "")
    assert "executor_class: warpbeam.cli.executor.Executor" in said
    assert "inventory/production.yml:2: app: expected" in said


def test_the_answer_no_writes_nothing(shop: Path) -> None:
    before = sorted(shop.rglob("*"))

    assert run(shop, confirm=lambda _: False)[-1] == "nothing was written"

    assert sorted(shop.rglob("*")) == before


def test_links_are_never_written_through(shop: Path, tmp_path: Path) -> None:
    for name in ("fabfile.py", "inventory/production.yml", ".gitignore"):
        link = shop / name
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / "outside" / name)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / ".gitignore").write_text("/_build/\n")

    said = "\n".join(run(shop))

    assert [file.name for file in (tmp_path / "outside").rglob("*")] == [".gitignore"]
    assert (tmp_path / "outside" / ".gitignore").read_text() == "/_build/\n"
    assert ".gitignore a file, not a link" in said
    assert (shop / "fabric.yaml").is_file()


def test_an_umbrella_is_deployed_as_its_default_release(tmp_path: Path) -> None:
    child = PHOENIX.replace(":shop", ":shop_web")
    files = {"mix.exs": UMBRELLA, "config/runtime.exs": RUNTIME, "apps/shop_web/mix.exs": child}
    files |= {"apps/shop_web/lib/router.ex": 'get "/healthz", H, :i', "apps/shop/lib/release.ex": RELEASE}
    files["apps/shop/mix.exs"] = "defmodule Shop.MixProject do\n def project, do: [app: :shop, deps: []]\nend\n"
    files["apps/shop_web/assets/package.json"] = "{}"
    umbrella = repository(tmp_path / "shop", files)

    said = run(umbrella)

    read = read_inventory(umbrella / "inventory" / "production.yml")
    assert (read.app, read.release_name, read.health.path) == ("shop", "shop", "/healthz")
    assert read.deploy.migrate == "Shop.Release.migrate()"
    assert "the umbrella shop, release shop" in said[0]
    assert "Phoenix; Ecto; assets with Node.js in apps/shop_web/assets" in said[1]
    assert f"go to {umbrella}" in refusal(Misuse, umbrella / "apps" / "shop_web")


def test_an_umbrella_without_releases_is_told_to_have_one(tmp_path: Path) -> None:
    mix = 'defmodule BigShop.Umbrella.MixProject do\n def project, do: [apps_path: "apps"]\nend\n'

    said = "\n".join(run(repository(tmp_path / "shop", {"mix.exs": mix}, remote="/srv/git/shop.git")))

    assert "add to mix.exs of the umbrella: releases: [big_shop: [applications:" in said
    assert "org: big_shop " in written(tmp_path / "shop")


def test_an_app_beside_a_clone_is_named_as_its_source(shop: Path, tmp_path: Path) -> None:
    clone = tmp_path / "warpbeam"
    (clone / "inventory").mkdir(parents=True)
    for name in ("fabfile.py", "fabric.yaml", ".gitignore"):
        shutil.copy(PROJECT / name, clone)
    subprocess.run(["git", "init", "-q", clone], check=True)

    said = run(clone, source=shop)

    assert read_inventory(clone / "inventory" / "production.yml").source == shop
    assert "source: ../../shop " in written(clone)
    assert (clone / ".gitignore").read_text() == (PROJECT / ".gitignore").read_text()
    assert not any("commit it" in line for line in said)


def test_addresses_that_are_given_are_no_placeholders(shop: Path) -> None:
    said = run(shop, org="my-org", app_hosts=("10.0.0.1", "2001:db8::1", "10.0.0.1"), build_host="10.0.0.1")

    read = read_inventory(shop / "inventory" / "production.yml")
    assert read.org == "my-org"
    assert {host.name: (host.address, host.roles) for host in read.hosts.values()} == {
        "web1": ("10.0.0.1", ("app", "build", "migrate")),
        "web2": ("2001:db8::1", ("app",)),
    }
    assert any("in place of shop.example.com" in line for line in said)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"org": "Acme"}, "--org: expected a name of a-z, 0-9, _ and -, beginning with a letter, of at most 31"),
        ({"org": "systemd"}, "--org: /etc/systemd is the operating system's own"),
        ({"app_hosts": ("a b",)}, 'expected a host name or an IP address, found "a b"'),
        ({"build_host": "-oProxyCommand=x"}, "expected a host name or an IP address"),
    ],
)
def test_a_value_that_no_inventory_may_have_is_refused(shop: Path, asked: dict[str, object], message: str) -> None:
    assert message in refusal(Misuse, shop, **asked)


@pytest.mark.parametrize("name", ["Shop", "_shop", "shop?", "a" * 32])
def test_a_release_whose_name_a_host_cannot_have_is_refused(tmp_path: Path, name: str) -> None:
    shop = repository(tmp_path / "shop", {"mix.exs": PHOENIX.replace(":shop,", f":{name},")})

    assert (
        f'mix.exs: expected a name of a-z, 0-9 and _, beginning with a letter, of at most 31 characters, found "{name}"'
        in refusal(Misuse, shop)
    )


def test_an_app_with_a_name_of_the_operating_system_gets_another_one(tmp_path: Path) -> None:
    shop = repository(tmp_path / "shop", {"mix.exs": PHOENIX.replace(":shop,", ":nginx,")}, remote="/srv/x")
    run(shop)

    read = read_inventory(shop / "inventory" / "production.yml")
    assert (read.app, read.release_name) == ("nginx_app", "nginx")


def test_a_directory_that_is_no_app_or_in_no_repository_is_refused(shop: Path, tmp_path: Path) -> None:
    (shop / "lib" / "shop").mkdir(exist_ok=True)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "mix.exs").write_text(PHOENIX)

    assert f"holds no mix.exs; go to {shop}" in refusal(Misuse, shop / "lib" / "shop")
    assert "holds no mix.exs; go to the directory of your app, or name it" in refusal(Misuse, tmp_path)
    assert "is in no git repository; Warpbeam builds what git has" in refusal(Misuse, tmp_path / "bare")


def test_a_file_in_the_place_of_a_directory_is_refused_before_anything_is_written(shop: Path) -> None:
    (shop / "inventory").touch()

    assert "expected a directory, found something else" in refusal(Refused, shop)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Lose root's rights meanwhile."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_directory_that_may_not_be_written_is_refused_whole(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "config", "--global", "safe.directory", "*"], check=True)
    for directory in (Path(os.environ["HOME"]), *shop.parents):
        if directory.stat().st_mode & 0o055 != 0o055 and "pytest" in str(directory):
            directory.chmod(0o755)

    with as_nobody():
        assert "may not write a file in this directory" in refusal(Refused, shop)


def test_without_a_terminal_and_without_yes_there_is_one_message(shop: Path) -> None:
    def fab(*words: str) -> subprocess.CompletedProcess[str]:
        program = [str(Path(sys.executable).parent / "fab"), "init", f"--source={shop}", *words]
        environ = {**os.environ, "WARPBEAM_INVENTORY": str(shop.parent / "environments")}
        return subprocess.run(
            program, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=environ
        )

    (shop.parent / "environments").mkdir()
    done = fab()
    assert done.returncode == 2
    assert done.stderr.endswith(
        "error: there is no terminal to ask on whether to write these files\n  hint: add --yes\n"
    )
    assert "│ org: acme " in done.stderr
    assert not [*(shop.parent / "environments").iterdir()]

    assert fab("--yes").returncode == 0
    assert (shop.parent / "environments" / "production.yml").is_file()


def test_what_would_be_written_is_shown_whole_before_the_question(shop: Path) -> None:
    shown: list[Event] = []
    request = InitRequest(shop, shop, shop / "inventory")

    def confirm(_: str) -> bool:
        assert not (shop / "inventory").exists()
        return True

    init(request, confirm, shown.append)

    lines = [event.text for event in shown if isinstance(event, Line)]
    assert "\n".join(lines).count(written(shop).strip()) == 1
    assert "namespace = collection(__file__)" in lines


def test_lines_that_git_ignores_already_are_not_added(shop: Path) -> None:
    (shop / ".gitignore").write_text("/_build/\n**/.warp*\n")

    assert not any(".gitignore" in line for line in run(shop))

    assert (shop / ".gitignore").read_text() == "/_build/\n**/.warp*\n"


def test_a_virtual_environment_in_the_repository_is_ignored(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(shop / ".venv"))
    run(shop)

    assert (shop / ".gitignore").read_text() == "/_build/\n.warpbeam/\n/.venv/\n"


def test_a_persons_own_list_of_ignored_files_does_not_count(shop: Path, home: Path) -> None:
    (home / ".config" / "git").mkdir(parents=True)
    (home / ".config" / "git" / "ignore").write_text(".warpbeam/\n")
    run(shop)

    assert (shop / ".gitignore").read_text() == "/_build/\n.warpbeam/\n"


@pytest.mark.parametrize(("answer", "is_written"), [("yes", True), ("no", False), ("", False)])
def test_a_terminal_is_asked(shop: Path, tmp_path: Path, answer: str, is_written: bool) -> None:
    (tmp_path / "environments").mkdir()
    environ = {**os.environ, "WARPBEAM_INVENTORY": str(tmp_path / "environments")}
    words = ["init", f"--source={shop}"]
    with pexpect.spawn(str(Path(sys.executable).parent / "fab"), words, cwd=str(PROJECT), env=environ) as child:
        child.expect_exact("write these files? [yes/no] ")
        child.sendline(answer)
        child.expect(pexpect.EOF)

    assert (tmp_path / "environments" / "production.yml").exists() is is_written


@contextmanager
def files_of_at_most(count: int) -> Iterator[None]:
    """Let the kernel refuse larger files meanwhile: a full disk for this process alone (setrlimit(2))."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_fails_leaves_no_half_file_and_can_be_repeated(shop: Path) -> None:
    (shop / ".gitignore").write_text("#" * 900)
    with files_of_at_most(902), pytest.raises(Refused, match=r"production\.yml: cannot write it: File too large"):
        run(shop)
    assert (shop / "fabric.yaml").is_file()
    assert not (shop / "inventory" / "production.yml").exists()

    (shop / "inventory" / "production.yml").write_text("org: acme\n")
    with files_of_at_most(902), pytest.raises(Refused, match=r"\.gitignore: cannot write it"):
        run(shop)
    assert (shop / ".gitignore").read_text() == "#" * 900

    (shop / "inventory" / "production.yml").unlink()
    assert any("is valid: acme/shop" in line for line in run(shop))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_repository_of_another_user_is_refused_in_gits_own_words(shop: Path) -> None:
    for place in (shop, *shop.rglob("*")):
        os.chown(place, 65534, 65534, follow_symlinks=False)

    assert "is in a git repository of another user, which git does not read" in refusal(Misuse, shop)
