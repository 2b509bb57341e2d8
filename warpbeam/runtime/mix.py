"""A release that Mix made (`mix release`)."""

from __future__ import annotations

from warpbeam.runtime.runtime import Runtime, words

MIX = Runtime(
    name="mix",
    launched="runtime/mix",
    built="runtime/mix_built",
    prefix="RELEASE_",
    # Variables that the start scripts of Mix and OTP (bin/RELEASE, elixir, erl) assign. A variable that comes from
    # outside is exported already, so the app would see the script's value in place of its own. (The scripts also use
    # single letters; no app uses those.)
    assigned=words(
        """
        BINDIR DEFAULT_SYS_CONFIG EMU ERL ERL_EXEC ERTS_BIN LENGTH MODE PROGNAME REL_EXEC REL_VSN_DIR ROOTDIR
        SCRIPT_PATH SELF
        """
    ),
    node="RELEASE_NODE",
    cookie="RELEASE_COOKIE",
    tmp="RELEASE_TMP",
    version="RELEASE_VSN",
    as_node={"RELEASE_DISTRIBUTION": "name"},
    alone={"RELEASE_DISTRIBUTION": "none"},
    shared=("RELEASE_NODE", "RELEASE_COOKIE", "RELEASE_DISTRIBUTION"),
    node_file="releases/*/env.sh",
    no_node='^[^#]*RELEASE_DISTRIBUTION="?none',
    no_node_fix="RELEASE_DISTRIBUTION=none, in rel/env.sh.eex or the inventory, makes it none: take that out",
    node_hint="see RELEASE_DISTRIBUTION in the release's env.sh",
    fixed_node=(
        "rel/env.sh.eex sets RELEASE_NODE, over the name that each slot has: with blue-green the second instance will "
        "not start; leave it out, or write ${RELEASE_NODE:-…}"
    ),
)
