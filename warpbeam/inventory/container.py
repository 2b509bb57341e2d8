"""The keys for a build in a container: its image, the engine that runs it, and options for that engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

# The grammar of references: [REGISTRY/]NAME[:TAG][@DIGEST] (github.com/distribution/reference).
_DOMAIN = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]{1,5})?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
ImageReference = Annotated[
    str,
    Meta(
        pattern=rf"^(?=[^@]{{1,255}}(?:@|\Z))(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*"
        r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?\Z",
        description="an image such as docker.io/library/elixir:1.17 or registry.example.com/build@sha256:…",
    ),
]
# One word: a value that is a word of its own could be taken for the image.
EngineOption = Annotated[
    str,
    Meta(
        pattern=r"^--[a-z][a-z0-9-]*=[^\x00-\x1f\x7f]*\Z",
        description="an option of `podman run` or `docker run` in one word, --NAME=VALUE",
        extra={"hint": "write --privileged=true for --privileged, and --volume=/a:/b for -v /a:/b"},
    ),
]
# Options that decide what Warpbeam itself relies on: which container it is, whose its files are, how it is spoken to,
# how it ends.
OWN_OPTIONS = frozenset(
    {
        *("arch", "attach", "cidfile", "conmon-pidfile", "detach", "detach-keys", "entrypoint", "gidmap", "help"),
        *("hostuser", "init", "interactive", "label-file", "log-driver", "log-opt", "name", "os", "passwd"),
        *("passwd-entry", "pidfile", "platform", "pod", "pod-id-file", "preserve-fds", "pull", "quiet", "replace"),
        *("restart", "rm", "rmi", "rootfs", "sig-proxy", "subgidname", "subuidname", "timeout", "tty", "uidmap"),
        *("user", "userns", "variant", "workdir"),
    }
)
OWN_VARIABLES = ("HOME", "SSH_AUTH_SOCK", "WARPBEAM_IMAGE_PATH")
SHORT = Meta(extra={"short": "image"}, description="an image, or keys and values (image, engine, pull, options)")


class Container(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The container that a build runs in. `pull` says when the image is fetched from its registry."""

    image: ImageReference
    engine: Literal["auto", "podman", "docker"] = "auto"
    pull: Literal["missing", "always", "never"] = "missing"
    options: tuple[EngineOption, ...] = ()


def own_options(container: Container) -> Iterator[str]:
    """Yield each of the `options` that may not be set, without its value."""
    for option in container.options:
        name, _, value = option.removeprefix("--").partition("=")
        variable = value.partition("=")[0]
        if name in OWN_OPTIONS:
            yield f"--{name}"
        elif name == "env" and variable in OWN_VARIABLES:
            yield f"--env={variable}"
