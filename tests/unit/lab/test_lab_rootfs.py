"""The sources of root file systems, and when an existing one may be used."""

from __future__ import annotations

import msgspec
import pytest

from warpbeam.error import Refused
from warpbeam.lab.rootfs import recipes, sources

DEBIAN = """\
http://mirror.example/debian/ bookworm main Debian
http://mirror.example/debian/ bookworm-updates main Debian
http://mirror.example/security/ bookworm-security main Debian
http://mirror.example/debian/ bookworm contrib Debian
http://mirror.example/debian/ bookworm-backports main Debian
https://elsewhere.example/node nodistro main Somebody
"""


def test_hosts_are_made_from_the_mirrors_that_this_machine_uses_itself() -> None:
    lines = sources(DEBIAN, "bookworm").splitlines()
    assert [line.split("] ")[1] for line in lines] == [
        "http://mirror.example/debian/ bookworm main",
        "http://mirror.example/debian/ bookworm-updates main",
        "http://mirror.example/security/ bookworm-security main",
    ]
    assert all("signed-by=" in line for line in lines)


def test_another_suite_comes_from_the_same_mirrors() -> None:
    text = sources(DEBIAN, "trixie")
    assert "bookworm" not in text
    assert "http://mirror.example/security/ trixie-security main" in text


def test_a_machine_without_a_debian_mirror_is_reported() -> None:
    with pytest.raises(Refused, match="no Debian mirror"):
        sources("http://mirror.example/ubuntu noble main Ubuntu\n\nodd\n", "bookworm")


def test_a_changed_recipe_makes_a_root_file_system_of_its_own() -> None:
    (host,) = recipes("bookworm", "host")
    assert msgspec.structs.replace(host, packages=(*host.packages, "tmux")).directory != host.directory
    assert msgspec.structs.replace(host, script=host.script + "\n").directory != host.directory
    assert recipes("trixie", "host")[0].directory != host.directory
    assert recipes("bookworm", "host") == (host,)


def test_a_build_host_is_a_layer_over_a_plain_host() -> None:
    build, host = recipes("bookworm", "build")
    assert (host,) == recipes("bookworm", "host")
    assert host.directory.name in build.script
