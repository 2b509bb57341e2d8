"""A release that Distillery made: 1.5 (`mix release`), 2.0 (the same) or 2.1 (`mix distillery.release`)."""

from __future__ import annotations

from warpbeam.runtime.mix import MIX
from warpbeam.runtime.runtime import Runtime, words

DISTILLERY = Runtime(
    name="distillery",
    launched="runtime/distillery",
    built="runtime/distillery_built",
    # Its own variables have no prefix, and apps of other kinds may use such names: a host's files do not set them. The
    # launcher makes them of Mix's, for an instance that Distillery made alone.
    prefix="RELEASE_",
    assigned=frozenset(),
    own=words(
        """
        COOKIE NAME NAME_TYPE NAME_ARG COOKIE_ARG RUNNER_LOG_DIR PIPE_DIR REL_NAME REL_VSN REL_DIR REL_LIB_DIR ERTS_VSN
        ERTS_DIR ERTS_LIB_DIR START_ERL_DATA SCRIPT CONSOLIDATED_DIR CODE_LOADING_MODE DISTILLERY_TASK DISTILLERY_VSN
        SRC_VMARGS_PATH DEST_VMARGS_PATH SRC_SYS_CONFIG_PATH DEST_SYS_CONFIG_PATH USE_HOST_ERTS
        """
    ),
    node=MIX.node,
    cookie=MIX.cookie,
    tmp=MIX.tmp,
    version=MIX.version,
    as_node={},
    alone={},
    shared=(),
    node_file="",
    no_node="",
    no_node_fix="",
    node_hint="see the app's vm.args in rel/",
    fixed_node="",
)
