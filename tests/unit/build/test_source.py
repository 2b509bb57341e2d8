"""The app's source: the commit and tree of a build, in a real git repository."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from warpbeam.build.archive import archive
from warpbeam.build.asked import AskedTools, asked_tools
from warpbeam.build.revisions import commits_since, migrations_added
from warpbeam.build.source import find_source, read_file
from warpbeam.build.working_tree import ignored_files
from warpbeam.error import Misuse, Refused

MIX = "defmodule Hello.MixProject do\nend\n"


def git(directory: Path, *words: str) -> str:
    """Run git with an identity."""
    identity = ("-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", directory, *identity, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(app: Path, name: str, text: str) -> str:
    """Commit one file of the app."""
    (app / name).parent.mkdir(parents=True, exist_ok=True)
    (app / name).write_text(text)
    git(app, "add", "--all")
    git(app, "commit", "-q", "-m", f"write {name}")
    return git(app, "rev-parse", "HEAD")


@pytest.fixture(params=["", "apps/hello"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An app at the top of a repository, and an app in a directory beside other files."""
    directory: Path = tmp_path / "repository" / request.param
    directory.mkdir(parents=True)
    git(tmp_path / "repository", "init", "-q", "-b", "main")
    (tmp_path / "repository" / "elsewhere").write_text("x")
    (directory / ".gitignore").write_text("_build/\n")
    commit(directory, "mix.exs", MIX)
    return directory


def packed(app: Path, *, leave_dirty: bool = False) -> dict[str, str]:
    """Return the files of the archive of HEAD, below the app's directory."""
    source = find_source(app, leave_dirty=leave_dirty)
    with tarfile.open(fileobj=io.BytesIO(b"".join(archive(source.top, source.commit, source.prefix)))) as tar:
        files = [member for member in tar if member.isfile() and member.name.startswith(source.prefix)]
        return {
            member.name.removeprefix(source.prefix): (tar.extractfile(member) or io.BytesIO()).read().decode()
            for member in files
        }


def test_a_commit_is_known_by_its_id_and_tree(app: Path) -> None:
    first = git(app, "rev-parse", "HEAD")
    commit(app, "lib/é ä.ex", "one")
    git(app, "tag", "v1")
    second = find_source(app, "v1")

    assert (second.commit, second.subject, second.dirty) == (git(app, "rev-parse", "v1"), "write lib/é ä.ex", False)
    assert packed(app)["lib/é ä.ex"] == "one"
    assert read_file(second, "mix.exs") == MIX
    assert read_file(second, "no.exs") is None
    old = find_source(app, first[:10])
    assert (old.commit, old.tree == second.tree) == (first, False)


def test_the_same_content_is_the_same_tree_whatever_the_commit(app: Path) -> None:
    one = find_source(app)
    commit(app, "lib/a.ex", "x")
    (app / "lib/a.ex").unlink()
    git(app, "commit", "-q", "-a", "-m", "take it away")

    assert find_source(app).tree == one.tree
    assert find_source(app).commit != one.commit


def test_a_dirty_tree_is_refused_unless_it_is_asked_for(app: Path) -> None:
    clean = find_source(app)
    (app / "new.ex").write_text("x")
    (app / "_build").mkdir()
    (app / "_build" / "kept").write_text("x")

    with pytest.raises(Refused, match="differs from HEAD in 1 file: it would not be built") as raised:
        find_source(app)
    assert any("new.ex" in line for line in raised.value.details)
    dirty = find_source(app, allow_dirty=True)
    assert (dirty.dirty, dirty.commit, dirty.tree == clean.tree) == (True, clean.commit, False)
    assert read_file(dirty, "new.ex") == "x"
    assert ignored_files(dirty.directory) == ["_build/"]
    # The user's index is untouched: nothing was staged.
    assert git(app, "diff", "--cached", "--name-only") == ""
    # A commit that is named is built, even from a dirty tree.
    assert find_source(app, clean.commit).tree == clean.tree


@pytest.mark.parametrize("app", ["apps/hello"], indirect=True)
def test_what_changes_outside_the_app_makes_nothing_dirty(tmp_path: Path, app: Path) -> None:
    (tmp_path / "repository" / "elsewhere").write_text("changed")

    assert not find_source(app).dirty


def test_what_goes_out_is_reported_commit_by_commit(app: Path) -> None:
    first = git(app, "rev-parse", "HEAD")
    commit(app, "priv/migrations/1.exs", "x")
    second = commit(app, "lib/a.ex", "x")
    source = find_source(app)

    lines = commits_since(source, first)
    assert lines is not None
    assert [line.split(maxsplit=1)[1] for line in lines] == [
        "write lib/a.ex (Test)",
        "write priv/migrations/1.exs (Test)",
    ]
    assert [Path(name).name for name in migrations_added(source, first)] == ["1.exs"]
    assert commits_since(find_source(app, first), second) == [
        f"< {line}" for line in (commits_since(find_source(app, second), first) or [])
    ]
    assert commits_since(source, "0" * 40) is None


def test_what_a_commit_says_of_itself_is_reported_as_far_as_a_person_reads(
    app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = git(app, "rev-parse", "HEAD")
    monkeypatch.setattr("warpbeam.build.revisions.MOST_TOLD", 3)
    for number in range(4):
        (app / "lib").mkdir(exist_ok=True)
        (app / "lib" / f"{number}.ex").write_text("x")
        git(app, "add", "--all")
        subject = app.parent / "subject"
        subject.write_text("long " * 200_000 if number == 3 else "short")
        git(app, "commit", "-q", "--file", str(subject))

    told = commits_since(find_source(app), first)

    assert told is not None
    assert [len(line) for line in told] == [501, len(told[1]), len(told[2]), 10]
    assert told[0].split()[1] == "long"
    assert told[3] == "… and more"
    assert len(find_source(app).subject) <= 1000


def test_what_git_says_without_end_is_not_taken(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(app, "config/big", "x" * 60_000)
    source = find_source(app)
    monkeypatch.setattr("warpbeam.build.git.MOST_SAID", 50_000)

    with pytest.raises(Refused, match="git cat-file said more than"):
        read_file(source, "config/big")


def test_a_file_of_the_source_that_is_read_here_is_small(app: Path) -> None:
    commit(app, "config/big", "x" * 100_000)
    source = find_source(app)

    with pytest.raises(Refused, match=r"config/big has 100000 bytes in .*; expected at most 65536"):
        read_file(source, "config/big")
    assert read_file(source, "config") is None
    assert read_file(source, "config/none") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_repository_of_another_user_is_reported_as_that(tmp_path: Path, app: Path) -> None:
    for path in (tmp_path / "repository", tmp_path / "repository" / ".git"):
        os.chown(path, 65534, 65534)

    with pytest.raises(Misuse, match="is in a git repository of another user") as raised:
        find_source(app)
    assert "--add safe.directory" in raised.value.hint


@pytest.mark.parametrize(
    ("ref", "message"),
    [("no-such", "there is no commit 'no-such'"), ("--all", "'--all' is no commit"), ("HEAD~99", "there is no commit")],
)
def test_what_is_no_commit_is_named(app: Path, ref: str, message: str) -> None:
    with pytest.raises(Misuse, match=message):
        find_source(app, ref)


def test_a_directory_that_is_no_source_says_why(tmp_path: Path, app: Path) -> None:
    with pytest.raises(Misuse, match="is not a directory"):
        find_source(tmp_path / "missing")
    with pytest.raises(Misuse, match="is in no git repository"):
        find_source(tmp_path)
    (app / "mix.exs").unlink()
    git(app, "commit", "-q", "-a", "-m", "no project")
    with pytest.raises(Misuse, match=r"holds no mix\.exs"):
        find_source(app)


@pytest.mark.parametrize("app", ["apps/hello"], indirect=True)
def test_nothing_in_the_environment_or_settings_changes_what_is_built(
    tmp_path: Path, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(app, "run.sh", "#!/bin/sh\necho \u00e4\n")
    expected, files = find_source(app), packed(app)
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", "-b", "main")
    commit(other, "mix.exs", "defmodule Other do\nend\n")
    home = tmp_path / "home"
    home.mkdir()
    (home / "attributes").write_text("* text eol=crlf\n*.sh export-ignore\n")
    (home / "config.txt").write_text(
        f"[core]\n\tautocrlf = true\n\teol = crlf\n\tattributesFile = {home}/attributes\n\tfsmonitor = false\n"
        f"\thooksPath = {home}/hooks\n[tar]\n\tumask = 077\n[color]\n\tui = always\n[log]\n\tshowSignature = true\n"
        f"[status]\n\tshort = false\n\tbranch = true\n[safe]\n\tdirectory = *\n"
    )
    hostile = {
        "GIT_DIR": other / ".git",
        "GIT_WORK_TREE": other,
        "GIT_INDEX_FILE": other / ".git" / "index",
        "GIT_OBJECT_DIRECTORY": other / ".git" / "objects",
        "GIT_NAMESPACE": "other",
        "GIT_PREFIX": "elsewhere/",
        "GIT_CONFIG_GLOBAL": home / "config.txt",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.autocrlf",
        "GIT_CONFIG_VALUE_0": "true",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_ATTR_SOURCE": "HEAD",
        "GIT_QUARANTINE_PATH": other,
    }
    for name, value in hostile.items():
        monkeypatch.setenv(name, str(value))
    # The same settings where git finds them without a variable.
    monkeypatch.setenv("HOME", str(home))
    (home / ".gitconfig").write_bytes((home / "config.txt").read_bytes())
    (home / "hooks").mkdir()
    (home / "hooks" / "post-index-change").write_text(f"#!/bin/sh\ntouch {home}/ran\n")
    (home / "hooks" / "post-index-change").chmod(0o755)

    found = find_source(app)

    assert found == expected
    with tarfile.open(fileobj=io.BytesIO(b"".join(archive(found.top, found.commit, found.prefix)))) as tar:
        members = {member.name.removeprefix(found.prefix): member for member in tar if member.isfile()}
        assert {
            name: (tar.extractfile(member) or io.BytesIO()).read().decode() for name, member in members.items()
        } == files
        assert members["mix.exs"].mode == 0o664
    (app / "new.ex").write_bytes(b"one\r\n")
    assert read_file(find_source(app, allow_dirty=True), "new.ex") == "one\r\n"
    assert not (home / "ran").exists()


def test_a_replaced_object_is_not_what_is_built(app: Path) -> None:
    files = packed(app)
    git(app, "replace", git(app, "rev-parse", "HEAD:./mix.exs"), git(app, "hash-object", "-w", "--", ".gitignore"))

    assert packed(app) == files


def test_what_the_repository_itself_says_of_archives_stays_and_is_distinguished(app: Path) -> None:
    commit(app, ".gitattributes", "secret export-ignore\nversion export-subst\n")
    commit(app, "secret", "x")
    commit(app, "version", "$Format:%H$\n")
    one = find_source(app)
    git(app, "commit", "-q", "--allow-empty", "-m", "the same tree")
    two = find_source(app)

    assert "secret" not in packed(app)
    assert packed(app)["version"] == f"{two.commit}\n"
    # The tree is the same, the archived files are not.
    assert (one.tree, one.sent != two.sent) == (two.tree, True)


@pytest.mark.parametrize("app", ["apps/hello"], indirect=True)
@pytest.mark.parametrize("line", ["*.sh text eol=crlf\n", "run.sh export-ignore\n"])
def test_what_a_directory_above_says_of_archives_is_distinguished(tmp_path: Path, app: Path, line: str) -> None:
    commit(app, "run.sh", "#!/bin/sh\n")
    commit(tmp_path / "repository", ".gitattributes", line)
    one, packed_one = find_source(app), packed(app)
    commit(tmp_path / "repository", ".gitattributes", "# nothing\n")
    two = find_source(app)

    assert (one.tree, packed_one != packed(app), one.sent != two.sent) == (two.tree, True, True)

    # The same for a working tree: files that would not be archived are not sent.
    (app / "new").write_text("x")
    dirty = find_source(app, allow_dirty=True)
    (tmp_path / "repository" / ".gitattributes").write_text(line)
    other = find_source(app, allow_dirty=True)
    assert (dirty.tree, dirty.sent != other.sent) == (other.tree, "ignore" in line)


def test_a_version_that_git_describes_in_the_archive_is_distinguished_by_its_tags(app: Path) -> None:
    commit(app, ".gitattributes", "version export-subst\n")
    commit(app, "version", "$Format:%(describe:tags=true)$\n")
    git(app, "tag", "v1.0.0")
    one = find_source(app)
    git(app, "tag", "--delete", "v1.0.0")
    git(app, "tag", "v2.0.0")
    two = find_source(app)

    assert packed(app)["version"] == "v2.0.0\n"
    assert (one.commit, one.sent != two.sent, two.sent) == (two.commit, True, find_source(app).sent)


def test_a_sparse_working_tree_goes_out_only_where_it_lacks_nothing(tmp_path: Path, app: Path) -> None:
    commit(app, "lib/a.ex", "a")
    commit(app, "docs/page", "page")
    repository = tmp_path / "repository"
    git(repository, "sparse-checkout", "set", str((app / "lib").relative_to(repository)))
    # A commit has all files.
    assert "docs/page" in packed(app)
    (app / "lib/new.ex").write_text("new")

    with pytest.raises(Refused, match=r"lacks 1 files, which would not be built: docs/page"):
        find_source(app, allow_dirty=True)
    git(repository, "sparse-checkout", "add", str((app / "docs").relative_to(repository)))
    assert read_file(find_source(app, allow_dirty=True), "docs/page") == "page"


def test_a_source_that_reads_its_commit_is_another_of_another_commit(app: Path) -> None:
    plain = find_source(app)
    commit(app, "lib/version.ex", 'System.get_env("WARPBEAM_COMMIT")\n')
    one = find_source(app)
    git(app, "commit", "-q", "--allow-empty", "-m", "the same tree")
    two = find_source(app)

    assert plain.sent == ""
    assert (one.tree, one.sent, two.sent) == (two.tree, one.commit, two.commit)


def test_a_picture_that_names_the_commit_is_none_that_a_build_reads_it_in(app: Path) -> None:
    commit(app, "priv/logo.PNG", "WARPBEAM_COMMIT")

    assert find_source(app).sent == ""


def test_a_working_tree_leaves_out_what_an_archive_leaves_out(app: Path) -> None:
    commit(app, "docs/\u00e4 b/page", "x")
    commit(app, "secret", "x")
    commit(app, ".gitattributes", "secret export-ignore\ndocs export-ignore\nlib/*.md export-ignore\n")
    commit(app, "lib/a.md", "x")
    (app / "lib/new.md").write_text("x")
    (app / "_build").mkdir()
    (app / "_build/x").write_text("x")

    left_out = ignored_files(find_source(app, allow_dirty=True).directory)

    assert sorted(left_out) == ["_build/", "docs/", "lib/a.md", "lib/new.md", "secret"]
    assert {"docs/\u00e4 b/page", "secret", "lib/a.md"} & {*packed(app, leave_dirty=True)} == set()


def test_attributes_of_one_clone_alone_are_distinguished(tmp_path: Path, app: Path) -> None:
    one = find_source(app)
    own = tmp_path / "repository" / ".git" / "info" / "attributes"
    own.parent.mkdir(exist_ok=True)
    own.write_text("* text eol=crlf\n")

    assert find_source(app).sent != one.sent
    own.unlink()
    assert find_source(app) == one


def test_files_of_a_filter_that_git_does_not_know_here_are_refused(app: Path) -> None:
    commit(app, ".gitattributes", "*.bin filter=vault diff=vault\n")
    git(app, "config", "filter.vault.clean", "cat")

    with pytest.raises(Refused, match="does not know the filter 'vault'") as raised:
        find_source(app)
    assert "install and configure it" in raised.value.hint
    git(app, "config", "filter.vault.smudge", "cat")
    assert find_source(app).sent != ""


@pytest.mark.parametrize(
    ("own", "above", "wanted"),
    [
        ("elixir 1.14.0\nerlang 25.2\n", "elixir 1.13\n", ("1.14.0", "25.2")),
        ("erlang 25.2 # as on the hosts\n", "elixir 1.14\nerlang 24\n", ("1.14", "25.2")),
        (None, "elixir 1.14 system\n", ("1.14 system", "")),
        ("# elixir 1.14\nelixir\n", None, ("", "")),
        ("elixir ref:abc\n\nerlang path:/opt/otp\n", None, ("ref:abc", "path:/opt/otp")),
        (None, None, ("", "")),
    ],
)
@pytest.mark.parametrize("app", ["apps/hello"], indirect=True)
def test_versions_are_looked_for_as_asdf_and_mise_do(
    tmp_path: Path, app: Path, own: str | None, above: str | None, wanted: tuple[str, str]
) -> None:
    for directory, text in ((app, own), (tmp_path / "repository", above)):
        if text is not None:
            commit(directory, ".tool-versions", text)

    asked = asked_tools(find_source(app))
    assert (asked.elixir, asked.erlang) == wanted


@pytest.mark.parametrize("app", ["apps/hello"], indirect=True)
def test_versions_behind_a_link_are_those_of_the_file_that_it_leads_to(tmp_path: Path, app: Path) -> None:
    commit(tmp_path / "repository", "tools/versions", "elixir 1.14\n")
    commit(tmp_path / "repository", ".tool-versions", "elixir 1.13\nerlang 24\n")
    link = app / ".tool-versions"
    # The link may also lead to nothing in the repository.
    for target, wanted in {"../../tools/versions": "1.14", "../../nothing": "1.13", "/etc/x": "1.13"}.items():
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert asked_tools(find_source(app, allow_dirty=True)) == AskedTools(wanted, "24")
        commit(app, "a", target)
        assert asked_tools(find_source(app)) == AskedTools(wanted, "24")


def test_a_file_that_is_read_here_has_a_bound(app: Path) -> None:
    commit(app, ".tool-versions", "elixir 1.14\n" + "#" * 100_000)

    with pytest.raises(Refused, match=r"\.tool-versions has 100012 bytes in [0-9a-f]{8}; expected at most 65536"):
        asked_tools(find_source(app))
