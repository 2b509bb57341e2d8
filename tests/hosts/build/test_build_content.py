"""Files of a release arrive as they were, or the build refuses them by their names."""

from __future__ import annotations

import os
import re
import shlex
import time

from tests.build_environment import change_mix_exs, on_build_host, write_source
from tests.environment import LabEnvironment

# Files of other kinds that a step of `mix release` makes.
HELD = """
mkdir -p data/empty/deep 'data/an odd  name*' .hidden lib/empty
mkdir -m 700 data/private && touch data/private/file && mkdir -m 777 data/open
echo same >data/one && ln data/one data/two && ln data/one lib/three
printf '#!/bin/sh\\n' >data/run && chmod 700 data/run
touch data/plain && chmod 600 data/plain && touch data/read && chmod 444 data/read
ln -s empty data/to-nothing-in-it
"""


def held(environment: LabEnvironment, command: str) -> None:
    """Have a step of `mix release` run this in the release."""
    write_source(environment, "rel/step.sh", command)
    change_mix_exs(environment, "[:assemble]", "[:assemble, &hold/1]")
    step = '  defp hold(release) do\n    script = Path.expand("rel/step.sh")\n'
    step += '    {_, 0} = System.cmd("bash", ["-e", script], cd: release.path)\n    release\n  end\n'
    change_mix_exs(environment, "  defp releases do", f"{step}\n  defp releases do")


def test_what_a_release_holds_arrives_as_it_was(source: LabEnvironment) -> None:
    held(source, HELD)
    write_source(source, "priv/stamp", str(time.time_ns()))
    source.commit("a release with all kinds of things in it")
    kinds = "-type d -printf 'd %P\\n' -o -type l -printf 'l %P %l\\n' -o -perm -u+x -printf 'x %P %s\\n'"
    look = f"find . -mindepth 1 -path ./.warpbeam -prune -o \\( {kinds} -o -printf 'f %P %s\\n' \\)"

    source.fab("deploy")
    made = sorted(on_build_host(source, f"cd ../out && {look}").splitlines())

    def there(host: str) -> list[str]:
        found = source.lab.ssh(host, f"sudo -u hello bash -c {shlex.quote(f'cd /opt/acme/hello/current/ && {look}')}")
        return sorted(found.stdout.splitlines())

    assert {"d data/empty/deep", "d data/an odd  name*", "d .hidden", "d lib/empty", "d data/open"} <= {*made}
    assert {"x data/run 10", "f data/two 5", "f lib/three 5", "l data/to-nothing-in-it empty"} <= {*made}
    for host in ("web1", "web2"):
        assert there(host) == made
        # All of it is the deploy user's alone to write, and the app reads it; but for what is Warpbeam's own.
        ours = "-name .warpbeam -prune -o"
        modes = source.lab.ssh(
            host, f"sudo find /opt/acme/hello/current/ {ours} ! -type l -printf '%y %m %u:%g\\n' | sort -u"
        )
        assert modes.stdout == "d 750 deploy:hello\nf 640 deploy:hello\nf 750 deploy:hello\n"
    stamp = "stat -c %Y /opt/acme/hello/current/lib/hello-*/priv/stamp"
    first = int(source.lab.ssh("web1", f"sudo bash -c '{stamp}'").stdout)

    # From there, with only what is new; what is gone is gone.
    write_source(source, "rel/step.sh", HELD.replace("lib/empty", "lib/other"))
    write_source(source, "priv/stamp", str(time.time_ns()))
    source.commit("another directory")
    source.fab("deploy")

    made = sorted(on_build_host(source, f"cd ../out && {look}").splitlines())
    assert "d lib/other" in made
    assert "d lib/empty" not in made
    assert there("web1") == there("web2") == made
    # A web server makes the ETag of a file from its size and time: of another source, what is new has another time.
    assert int(source.lab.ssh("web1", f"sudo bash -c '{stamp}'").stdout) != first


def test_a_directory_with_a_bit_that_hosts_would_lose_is_refused_by_its_name(source: LabEnvironment) -> None:
    held(source, "mkdir -m 1777 data && mkdir -p lib/x && chmod u+s lib/x")
    source.commit("a directory for everybody")

    refused = source.fab("build-on-host", expect=4)

    assert re.search(r"\| 'data' is a directory of mode [13]777:", refused.stderr)
    assert re.search(r"\| 'lib/x' is a directory of mode [4-7][0-7]{3}:", refused.stderr)


def test_a_dirty_tree_has_what_its_commit_would_have(source: LabEnvironment) -> None:
    write_source(source, "priv/run", "#!/bin/sh\n")
    write_source(source, "priv/stamp", str(time.time_ns()))
    (source.source / "priv/run").chmod(0o700)
    (source.source / "priv/stamp").chmod(0o600)
    (source.source / "priv/empty/deep").mkdir(parents=True)
    os.mkfifo(source.source / "priv/pipe")
    look = "find . \\( -path ./_build -o -path ./deps \\) -prune -o ! -type l -printf '%y %m %P\\n'"
    # A new directory has the set-group-ID bit of the one that it is made in.
    look += " | sed 's/^d 2/d /' | sort"

    source.fab("build-on-host", "--dirty", "--rebuild")
    dirty = on_build_host(source, look)
    (source.source / "priv/pipe").unlink()
    source.commit("the same")
    source.fab("build-on-host", "--rebuild")

    assert on_build_host(source, look) == dirty
    assert "priv/pipe" not in dirty
    assert re.search(r"^f 7[0-9]+ priv/run$", dirty, re.MULTILINE)
