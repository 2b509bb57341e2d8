"""A setting of the app's unit that somebody else made: a drop-in (systemd.unit(5))."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab import LabHandle


@contextmanager
def drop_in(lab: LabHandle, host: str, settings: str, under: str = "/etc") -> Iterator[None]:
    """While this lasts, the app's unit on `host` has `settings`, lines of [Service]; afterwards it has no drop-in."""
    place = f"{under}/systemd/system/hello@.service.d"
    put = f"mkdir -p {place} && cat >{place}/test.conf && systemctl daemon-reload"
    lab.ssh(host, f"sudo bash -c '{put}'", stdin=f"[Service]\n{settings}\n")
    try:
        yield
    finally:
        lab.ssh(host, f"sudo bash -c 'rm -r {place} && systemctl daemon-reload'")
