"""The environment variables of programs that Warpbeam starts on this machine: docs/architecture.md has the table.

A program that we run for ourselves must do the same for every caller of `fab`: in a git hook, in a build, in a shell
with options of its own. The user's own programs (hooks, commands of secrets) get all of the user's variables.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

# GIT_SSH*, GIT_ASKPASS and GIT_TERMINAL_PROMPT: git must reach a remote, because a partial clone fetches files only
# when they are needed (git-clone(1), --filter). Without the others git does not find a repository on another disk or
# one with an unusual layout.
GIT_KEPT = frozenset(
    [
        "GIT_ASKPASS",
        "GIT_CEILING_DIRECTORIES",
        "GIT_DISCOVERY_ACROSS_FILESYSTEM",
        "GIT_EXEC_PATH",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_SSH_VARIANT",
        "GIT_TERMINAL_PROMPT",
    ]
)
GIT_CHOSEN = {
    # /etc/gitattributes would decide line ends, as the user's own file would.
    "GIT_ATTR_NOSYSTEM": "1",
    # A replaced object has another content under the same id (git-replace(1)).
    "GIT_NO_REPLACE_OBJECTS": "1",
    # `git status` and the like must not lock the index under the user's editor.
    "GIT_OPTIONAL_LOCKS": "0",
}


# bash(1): files that bash reads before the first command, directories that it searches, the time-out of `read`. The
# others: options that tar, gzip and grep add to ours.
SET_ANEW = frozenset(
    ["BASH_ENV", "CDPATH", "ENV", "GLOBIGNORE", "GREP_OPTIONS", "GZIP", "POSIXLY_CORRECT", "TAR_OPTIONS", "TMOUT"]
)
SHELL_S_OWN = frozenset(["BASHOPTS", "IFS", "PS4", "SHELLOPTS"])


def for_git() -> dict[str, str]:
    """Return the variables for git, without any that names another repository, index, configuration or attributes."""
    own = {name: value for name, value in for_shell().items() if not name.startswith("GIT_") or name in GIT_KEPT}
    return {**own, **GIT_CHOSEN}


def for_shell(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables for a shell of ours and its commands, without any that changes what their words mean.

    Parameters:
        variables: the variables to filter; None: those of this process.
    """
    given = os.environ if variables is None else variables
    return {name: value for name, value in given.items() if not _misleads(name)}


def for_person() -> dict[str, str]:
    """Return the variables that `for_shell` and phases remove or replace, for a program of the user's own.

    Options and functions of the user's shell are not among them: a program does not see those as variables.
    """
    own = {"LC_ALL", "PATH", *SET_ANEW}
    return {name: value for name, value in os.environ.items() if name in own or name.startswith("RSYNC_")}


def _misleads(name: str) -> bool:
    return name in SET_ANEW or name in SHELL_S_OWN or name.startswith(("BASH_FUNC_", "RSYNC_"))
