"""The environment variables that programs are started with on this machine: docs/architecture.md has the table.

A program that we run for ourselves must do the same whoever starts `fab`, and from wherever: a git hook, a build, a
shell with options of its own. A person's own programs (hooks, commands of secrets) get all that the person has.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

# How git reaches a remote: a clone may fetch files only when they are asked for (git-clone(1), --filter). Without the
# others a repository on another disk, or one of a strange layout, is not found at all.
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
    # /etc/gitattributes decides line ends as a person's own file does.
    "GIT_ATTR_NOSYSTEM": "1",
    # A replaced object has another content under the same id (git-replace(1)).
    "GIT_NO_REPLACE_OBJECTS": "1",
    # Looking at a working tree must not lock the index under a person's editor.
    "GIT_OPTIONAL_LOCKS": "0",
}


# bash(1): a file that is read before the first command, places to look in, the time for a `read`; words that tar, gzip
# and grep add to ours.
SET_ANEW = frozenset(
    ["BASH_ENV", "CDPATH", "ENV", "GLOBIGNORE", "GREP_OPTIONS", "GZIP", "POSIXLY_CORRECT", "TAR_OPTIONS", "TMOUT"]
)
SHELL_S_OWN = frozenset(["BASHOPTS", "IFS", "PS4", "SHELLOPTS"])


def for_git() -> dict[str, str]:
    """What git is started with: nothing that names another repository, index, configuration or attributes."""
    own = {name: value for name, value in for_shell().items() if not name.startswith("GIT_") or name in GIT_KEPT}
    return {**own, **GIT_CHOSEN}


def for_shell(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a shell of ours, and what it runs, are started with: nothing that changes what their words mean.

    Parameters:
        variables: what to begin with; this process's own when it is None.
    """
    given = os.environ if variables is None else variables
    return {name: value for name, value in given.items() if not _misleads(name)}


def for_person() -> dict[str, str]:
    """What a person's own program needs besides what a shell of ours has, to have all of the person's variables.

    Options and functions of the person's own shell are not among them: those are no variables to a program.
    """
    own = {"LC_ALL", "PATH", *SET_ANEW}
    return {name: value for name, value in os.environ.items() if name in own or name.startswith("RSYNC_")}


def _misleads(name: str) -> bool:
    return name in SET_ANEW or name in SHELL_S_OWN or name.startswith(("BASH_FUNC_", "RSYNC_"))
