"""The forms of names, ports, paths and durations in an inventory.

A description completes the message "expected …" for a value that does not fit. Patterns end in `\\Z`: `$` would also
match before a line end at the end of the text.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta

# A name that is at once a path component, a systemd unit name, a user name and a release name
# (`systemd.unit(5)`, `useradd(8)`, Mix's rule for release names). No dash: the names of an Elixir app and its
# release are atoms.
AppName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9_]{0,30}\Z",
        description="a name of a-z, 0-9 and _, beginning with a letter, of at most 31 characters",
        extra={"hint": "use the name in mix.exs, such as my_app"},
    ),
]
Requirement = Annotated[
    str,
    Meta(
        pattern=r"^(?:==|!=|>=|<=|~=|<|>) ?[0-9]+(?:\.[0-9]+)*(?:, ?(?:==|!=|>=|<=|~=|<|>) ?[0-9]+(?:\.[0-9]+)*)*\Z",
        description='versions of Warpbeam, such as ">=0.2" or ">=0.2,<1"',
        extra={"hint": "`fab version` shows this one"},
    ),
]
OrgName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9_-]{0,30}\Z",
        description="a name of a-z, 0-9, _ and -, beginning with a letter, of at most 31 characters",
    ),
]
UserName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z_][a-z0-9_-]{0,30}\Z",
        description="a user name of a-z, 0-9, _ and -, not beginning with a digit, of at most 31 characters",
    ),
]
# A host's name in the inventory; also typed after -H, shown in tables and looked up in ~/.ssh/config.
HostName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}\Z",
        description="a host's name of letters, digits, dots, - and _, not beginning with a sign",
    ),
]
# The name of a group of hosts; typed after @ where hosts are chosen.
GroupName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z",
        description="a group's name of letters, digits, dots, - and _, not beginning with a sign",
    ),
]
Role = Literal["app", "build", "migrate"]
Roles = Annotated[
    tuple[Role, ...],
    Meta(min_length=1, description='a list of at least one of the roles "app", "build" and "migrate"'),
]
Address = Annotated[
    str,
    Meta(
        pattern=r"^(?:[A-Za-z0-9]|::)[A-Za-z0-9._:%-]*\Z",
        description="a host name or an IP address",
    ),
]
MixEnv = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9_]*\Z", description="a Mix environment of a-z, 0-9 and _, such as prod")
]
# A path below the source; `*` stands for any name. No name begins with a dot: no path leads up or into .git.
KeptPath = Annotated[
    str,
    Meta(
        pattern=r"^(?!(_build|deps)(/|\Z))[A-Za-z0-9_*][A-Za-z0-9._*-]*(/[A-Za-z0-9_*][A-Za-z0-9._*-]*)*\Z",
        description="a path below the source such as priv/static, of letters, digits, ., -, _ and *, "
        "outside _build and deps, which are kept anyway",
    ),
]
# A path relative to the source.
IncludedPath = Annotated[
    str,
    Meta(
        pattern=r"^(?:\.\.|[A-Za-z0-9_][A-Za-z0-9._-]*)(?:/(?:\.\.|[A-Za-z0-9_][A-Za-z0-9._-]*))*\Z",
        description="a path relative to the source such as ../shared_lib, of letters, digits, ., - and _",
    ),
]
# A shared store: warpbeam/store/place.py takes the URLs apart.
_STORE_PATH = r"""[^\s\x00-\x1f\x7f`$;&|<>"'\\]+"""
StorePlace = Annotated[
    str,
    Meta(
        pattern=rf"^(?:~?/{_STORE_PATH}"
        rf"|ssh://(?:[A-Za-z_][A-Za-z0-9_.-]*@)?[A-Za-z0-9][A-Za-z0-9._-]*(?::[0-9]{{1,5}})?/{_STORE_PATH}"
        r"|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[A-Za-z0-9._/-]*)?)\Z",
        description="an absolute path, ssh://HOST/PATH or s3://BUCKET/PREFIX",
    ),
]
WebAddress = Annotated[
    str,
    Meta(pattern=r"^https?://[A-Za-z0-9._:\[\]-]+(?:/[A-Za-z0-9._~/-]*)?\Z", description="an http or https URL"),
]
Port = Annotated[int, Meta(ge=1, le=65535, description="a port from 1 to 65535")]
# The app does not run as root, so it cannot listen below 1024 (`ip_unprivileged_port_start` in `ip(7)`).
AppPort = Annotated[
    int, Meta(ge=1024, le=65535, description="a port from 1024 to 65535 (the app does not run as root)")
]
# A name that systemd accepts for an environment variable (`systemd.exec(5)`, EnvironmentFile=).
VariableName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*\Z",
        description="a variable's name of letters, digits and _, not beginning with a digit",
    ),
]
VariableValue = Annotated[str, Meta(pattern=r"^[^\0]*\Z", description="text (without NUL characters)")]
Seconds = Annotated[float, Meta(gt=0, le=86400, description="a number of seconds, more than 0 and at most 86400")]
Pause = Annotated[float, Meta(ge=0, le=86400, description="a number of seconds from 0 to 86400")]
# How many hosts change at once; warpbeam.deploy.batch_sizes reads it.
Batch = Annotated[
    str,
    Meta(
        pattern=r"^([1-9][0-9]{0,2}|([1-9][0-9]?|100)%)(,([1-9][0-9]{0,2}|([1-9][0-9]?|100)%))*\Z",
        description="numbers of hosts such as 1, 25% or 1,25%",
        # YAML reads a plain 2 as a number.
        extra={"numeral": True},
    ),
]
# systemd takes TimeoutStopSec=0 for "no limit"; a deploy that waits longer than an hour is a mistake.
DrainSeconds = Annotated[float, Meta(ge=1, le=3600, description="a number of seconds from 1 to 3600")]
# The characters that RFC 3986 allows in a path and a query, except those with a meaning to a shell.
UrlPath = Annotated[
    str,
    Meta(
        pattern=r"^/[A-Za-z0-9._~%:@/?=&+,*!-]*\Z",
        description="a URL's path that begins with /, of letters, digits and ._~%:@/?=&+,*!-",
    ),
]
PathText = Annotated[
    str,
    Meta(
        pattern=r"""^[^\s\x00-\x1f\x7f`$;&|<>"'\\](?:[^\x00-\x1f\x7f`$;&|<>"'\\]*[^\s\x00-\x1f\x7f`$;&|<>"'\\])?\Z""",
        description="a path without quotes, backslashes, control characters and ` $ ; & | < >",
    ),
]
# A public key as OpenSSH writes it. Its blob begins with a length below 2^24, hence AAAA.
_PUBLIC_KEY = r"(?:ssh-|ecdsa-sha2-|sk-)[a-z0-9@.-]+ AAAA[A-Za-z0-9+/]+=*(?: [^\x00-\x1f\x7f]*)?"
DeployKey = Annotated[
    str,
    Meta(
        pattern=rf"""^(?:{_PUBLIC_KEY}|(?!~[^/])[^\s\x00-\x1f\x7f`$;&|<>"'\\][^\x00-\x1f\x7f`$;&|<>"'\\]*\.pub)\Z""",
        description='a public key ("ssh-ed25519 AAAA...") or the path of a .pub file',
    ),
]
# A file that setup puts on hosts; conflicts() checks its directory.
HostFile = Annotated[
    str,
    Meta(
        pattern=r"^/(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\Z",
        description="an absolute path of letters, digits and . _ - /, such as /etc/ORG/APP/APP.conf",
    ),
]
Expression = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*\Z",
        description='an Elixir expression on one line, such as "Hello.Release.migrate()"',
    ),
]
# A package's name on Debian (policy, 5.6.1) or with RPM, but none that apt-get takes for a removal (`name-`), a version
# or an option.
PackageName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9+._-]{0,98}[A-Za-z0-9+])?\Z",
        description="a package's name of letters, digits and + . _ -, not beginning or ending with a sign (but +)",
    ),
]
# A directive of systemd's [Service] section, and a value that needs no quotes in a shell.
DirectiveName = Annotated[
    str, Meta(pattern=r"^[A-Z][A-Za-z0-9]{1,60}\Z", description="a directive of systemd.exec(5), such as MemoryMax")
]
DirectiveValue = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9@~:/.,_+=%\[\]-]?(?: ?[A-Za-z0-9@~:/.,_+=%\[\]-])*\Z",
        description="text of letters, digits, spaces and @~:/.,_+=%[]-",
    ),
]
# A peer that may reach the Erlang nodes; conflicts() checks that it is a host of the inventory or an address.
NodePeer = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(?:/[0-9]{1,2})?\Z",
        description="the name of a host of this inventory, or an IPv4 address or network",
    ),
]
BuildCommand = Annotated[
    str, Meta(pattern=r"^[^\0]*[^\0\s][^\0]*\Z", description="a command for bash on the build host, such as npm ci")
]
Assets = Annotated[
    Literal["auto", "none"] | Annotated[tuple[BuildCommand, ...], Meta(min_length=1)],
    Meta(description='"auto", "none" or a list of commands', extra={"hint": "docs/assets.md explains each"}),
]
ShellCommand = Annotated[str, Meta(pattern=r"^[^\0]*[^\0\s][^\0]*\Z", description="a command for this machine's shell")]


def is_public_key(text: str) -> bool:
    """Whether a deploy key is the key itself and not the path of one."""
    return re.fullmatch(_PUBLIC_KEY, text) is not None
