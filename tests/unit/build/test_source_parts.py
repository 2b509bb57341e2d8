"""The parts of a source beside its own tree: included paths, git submodules, and files that Git LFS keeps."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from warpbeam.build.release import files_of
from warpbeam.build.revisions import commits_since
from warpbeam.build.source import Source, files_to_leave_out, find_source, read_file
from warpbeam.error import Misuse, Refused

MIX = "defmodule Hello.MixProject do\nend\n"
lfs = pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")


def git(directory: Path, *words: str) -> str:
    """Run git with an identity; submodules may come from this machine's files."""
    settings = ("user.name=Test", "user.email=test@localhost", "commit.gpgsign=false", "protocol.file.allow=always")
    given = [word for setting in settings for word in ("-c", setting)]
    done = subprocess.run(["git", "-C", directory, *given, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(directory: Path, name: str, text: str) -> str:
    """Commit one file."""
    (directory / name).parent.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(text)
    git(directory, "add", "--all")
    git(directory, "commit", "-q", "-m", f"write {name}")
    return git(directory, "rev-parse", "HEAD")


def repository(directory: Path) -> Path:
    directory.mkdir(parents=True)
    git(directory, "init", "-q", "-b", "main")
    return directory


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with an app, a library beside it, and something that no build needs."""
    made = repository(tmp_path / "repository")
    commit(made, "apps/hello/mix.exs", MIX)
    commit(made, "apps/shared_lib/mix.exs", MIX)
    commit(made, "apps/site/index.html", "hello")
    commit(made, ".gitignore", "_build/\n")
    return made


def sent(source: Source) -> dict[str, str]:
    """The files that the build host gets on standard input, by the names it gives them."""
    body = io.BytesIO(b"".join(files_of(source)))
    strip = source.layout.base.count("/")
    with tarfile.open(fileobj=body, ignore_zeros=True) as tar:
        return {
            "/".join(member.name.split("/")[strip:]): (tar.extractfile(member) or io.BytesIO()).read().decode()
            for member in tar
            if member.isfile()
        }


def test_an_included_path_comes_to_the_build_host_at_its_place(top: Path) -> None:
    source = find_source(top / "apps/hello", include=["../shared_lib"])

    assert sent(source) == {"hello/mix.exs": MIX, "shared_lib/mix.exs": MIX}
    assert read_file(source, "mix.exs") == MIX


def test_a_change_of_an_included_path_is_a_change_of_the_source(top: Path) -> None:
    app = top / "apps/hello"
    alone, one = find_source(app), find_source(app, include=["../shared_lib"])
    commit(top, "apps/site/index.html", "changed")
    assert find_source(app, include=["../shared_lib"]).tree == one.tree
    before = one.commit
    commit(top, "apps/shared_lib/lib/new.ex", "new")
    two = find_source(app, include=["../shared_lib"])

    assert find_source(app).tree == alone.tree
    assert len({alone.tree, one.tree, two.tree}) == 3
    told = commits_since(two, before)
    assert told is not None
    assert len(told) == 1
    assert "write apps/shared_lib/lib/new.ex" in told[0]


def test_a_change_of_an_included_path_makes_the_working_tree_dirty(top: Path) -> None:
    app = top / "apps/hello"
    clean = find_source(app, include=["../shared_lib"])
    (top / "apps/shared_lib/new.ex").write_text("x")
    (top / "apps/site/stray").write_text("x")
    (top / "apps/shared_lib/_build").mkdir()
    (top / "apps/shared_lib/_build/x").write_text("x")

    assert not find_source(app, allow_dirty=True).dirty
    with pytest.raises(Refused, match="differs from HEAD in 1 file") as raised:
        find_source(app, include=["../shared_lib"])
    assert raised.value.details == ("?? apps/shared_lib/new.ex",)
    dirty = find_source(app, include=["../shared_lib"], allow_dirty=True)
    assert dirty.dirty
    assert dirty.tree != clean.tree
    directory, left_out = files_to_leave_out(dirty)
    assert directory == top / "apps"
    assert sorted(left_out) == [".git", "hello/_build", "shared_lib/_build/", "site/"]


def test_an_included_path_that_the_commit_does_not_have_is_named(top: Path) -> None:
    with pytest.raises(Misuse, match="apps/none does not exist in commit 'HEAD'"):
        find_source(top / "apps/hello", include=["../none"])


@pytest.fixture
def library(tmp_path: Path, top: Path) -> Path:
    """A repository that is a submodule of the app, with a submodule of its own."""
    inner = repository(tmp_path / "inner")
    commit(inner, "deep.txt", "deep")
    library = repository(tmp_path / "library")
    commit(library, "lib/money.ex", "money 1")
    git(library, "submodule", "add", "-q", str(inner), "vendor/inner")
    git(library, "commit", "-q", "-m", "a submodule")
    git(top, "submodule", "add", "-q", str(library), "apps/hello/vendor/money")
    git(top, "submodule", "update", "-q", "--init", "--recursive")
    git(top, "commit", "-q", "-m", "a submodule")
    return top / "apps/hello/vendor/money"


def test_a_submodule_comes_as_the_files_of_the_commit_that_the_tree_names(top: Path, library: Path) -> None:
    app, old = top / "apps/hello", git(top, "rev-parse", "HEAD")
    one = find_source(app)
    assert sent(one) == {
        "mix.exs": MIX,
        "vendor/money/.gitmodules": (library / ".gitmodules").read_text(),
        "vendor/money/lib/money.ex": "money 1",
        "vendor/money/vendor/inner/deep.txt": "deep",
    }
    commit(library, "lib/money.ex", "money 2")
    # The submodule is at another commit than the one that HEAD names.
    with pytest.raises(Refused, match="differs from HEAD in 1 file"):
        find_source(app)
    dirty = find_source(app, allow_dirty=True)
    assert sent(dirty)["vendor/money/lib/money.ex"] == "money 2"
    assert "mix.exs" not in sent(dirty)
    assert "vendor/money/" in files_to_leave_out(dirty)[1]
    git(top, "commit", "-q", "-a", "-m", "another commit of the submodule")

    two = find_source(app)
    assert sent(two)["vendor/money/lib/money.ex"] == "money 2"
    assert two.tree != one.tree
    assert dirty.tree == two.tree
    assert sent(find_source(app, old))["vendor/money/lib/money.ex"] == "money 1"


def test_an_included_path_may_be_a_submodule(tmp_path: Path, top: Path) -> None:
    library = repository(tmp_path / "library")
    commit(library, "mix.exs", "library")
    git(top, "submodule", "add", "-q", str(library), "apps/library")
    git(top, "commit", "-q", "-m", "a submodule beside the app")

    assert sent(find_source(top / "apps/hello", include=["../library"])) == {
        "hello/mix.exs": MIX,
        "library/mix.exs": "library",
    }
    assert sent(find_source(top / "apps/hello")) == {"mix.exs": MIX}


def test_a_submodule_whose_files_are_not_here_is_refused_with_what_to_do(tmp_path: Path, top: Path) -> None:
    library = repository(tmp_path / "library")
    commit(library, "mix.exs", "library")
    git(top, "submodule", "add", "-q", str(library), "apps/hello/library")
    git(top, "commit", "-q", "-m", "a submodule")
    app = top / "apps/hello"
    # Another clone's commit, which this clone has not fetched.
    entry = f"160000,{commit(library, 'new', 'new')},apps/hello/library"
    git(top, "update-index", "--cacheinfo", entry)
    git(top, "commit", "-q", "-m", "the submodule's new commit")
    with pytest.raises(Refused, match="the git submodule apps/hello/library does not have the commit") as missing:
        find_source(app, "HEAD~0")
    assert f"git -C {app / 'library'} fetch" in missing.value.hint

    git(top, "submodule", "deinit", "-q", "--force", "apps/hello/library")
    with pytest.raises(Refused, match="apps/hello/library is not checked out here") as absent:
        find_source(app, "HEAD~0")
    assert "submodule update --init" in absent.value.hint


def test_changes_inside_of_a_submodule_are_not_built_silently(top: Path, library: Path) -> None:
    (library / "lib/money.ex").write_text("changed")

    with pytest.raises(Refused, match="differs from HEAD in 1 file"):
        find_source(top / "apps/hello")
    with pytest.raises(Refused, match="apps/hello/vendor/money has changes of its own") as raised:
        find_source(top / "apps/hello", allow_dirty=True)
    assert raised.value.details == ("M lib/money.ex",)


@pytest.fixture
def picture(top: Path) -> Path:
    """A file of the app that Git LFS keeps."""
    git(top, "lfs", "install", "--local")
    commit(top, ".gitattributes", "*.png filter=lfs diff=lfs merge=lfs -text\n")
    commit(top, "apps/hello/priv/logo.png", "a picture")
    assert "oid sha256:" in git(top, "show", "HEAD:apps/hello/priv/logo.png")
    return top / "apps/hello/priv/logo.png"


@lfs
def test_a_file_of_git_lfs_is_sent_itself(top: Path, picture: Path) -> None:
    assert sent(find_source(top / "apps/hello"))["priv/logo.png"] == "a picture"


@lfs
def test_a_file_of_git_lfs_that_is_not_here_is_refused_and_no_pointer_is_sent(top: Path, picture: Path) -> None:
    shutil.rmtree(top / ".git/lfs/objects")

    with pytest.raises(Refused, match=r"a pointer would be built in place of apps/hello/priv/logo\.png") as raised:
        find_source(top / "apps/hello", "HEAD~0")
    assert "lfs fetch origin" in raised.value.hint


@lfs
@pytest.mark.parametrize("setting", [("filter.lfs.smudge", "git-lfs smudge --skip -- %f"), ("lfs.fetchexclude", "*")])
def test_settings_that_leave_pointers_of_git_lfs_send_none(top: Path, picture: Path, setting: tuple[str, str]) -> None:
    git(top, "config", *setting)

    if "--skip" in setting[1]:
        with pytest.raises(Refused, match="configured to leave LFS files as pointers"):
            find_source(top / "apps/hello")
    else:
        assert sent(find_source(top / "apps/hello"))["priv/logo.png"] == "a picture"


@lfs
def test_a_pointer_of_git_lfs_in_the_working_tree_is_refused(top: Path, picture: Path) -> None:
    (top / "apps/hello/new.ex").write_text("new")
    assert find_source(top / "apps/hello", allow_dirty=True).dirty
    picture.write_text(git(top, "show", "HEAD:apps/hello/priv/logo.png") + "\n")

    with pytest.raises(Refused, match="1 Git LFS file is a pointer in the working tree") as raised:
        find_source(top / "apps/hello", allow_dirty=True)
    assert "lfs pull" in raised.value.hint


@lfs
def test_text_that_looks_like_a_pointer_of_git_lfs_is_sent_as_it_is(top: Path, picture: Path) -> None:
    text = git(top, "show", "HEAD:apps/hello/priv/logo.png").replace("sha256:", "sha256:f")[:-1] + "\n"
    commit(top, "apps/hello/docs/pointer.txt", text)

    assert sent(find_source(top / "apps/hello"))["docs/pointer.txt"] == text
