"""The progress of transfers."""

from __future__ import annotations

from warpbeam.cli.transfers import Transfers
from warpbeam.event import Progress

WHOLE = 30_000_000


def test_a_transfer_has_bytes_rate_and_time_left_once_it_has_gone_on_for_a_while() -> None:
    transfers = Transfers()

    assert transfers.is_shown(Progress("web1", "upload", 0, WHOLE), 100.0)
    # Nothing has been sent yet: the host is still linking the files that it has.
    assert transfers.of("web1", 103.0) == "upload 0 B of 30.0 MB"
    assert not transfers.is_shown(Progress("web1", "upload", 1_000_000, WHOLE), 103.0)
    assert transfers.of("web1", 103.1) == "upload 1.0 MB of 30.0 MB"
    transfers.is_shown(Progress("web1", "upload", 10_000_000, WHOLE), 105.0)
    assert transfers.of("web1", 105.0) == "upload 10.0 MB of 30.0 MB at 5.0 MB/s, 4 s left"
    transfers.is_shown(Progress("web1", "upload", WHOLE, WHOLE), 109.0)
    assert transfers.of("web1", 109.0) == "upload 30.0 MB of 30.0 MB at 5.0 MB/s"


def test_several_are_reported_in_sum_until_all_have_come() -> None:
    transfers = Transfers()
    transfers.is_shown(Progress("web1", "upload", 0, WHOLE), 100.0)
    assert transfers.together(100.0) == ""
    transfers.is_shown(Progress("web2", "upload", 0, WHOLE), 100.0)
    transfers.is_shown(Progress("web1", "upload", 10_000_000, WHOLE), 101.0)
    transfers.is_shown(Progress("web1", "upload", WHOLE, WHOLE), 103.0)

    assert transfers.together(103.0) == "upload 30.0 MB of 60.0 MB at 15.0 MB/s, 2 s left"
    transfers.is_shown(Progress("web2", "upload", WHOLE, WHOLE), 105.0)
    assert transfers.together(105.0) == ""


def test_what_begins_anew_does_not_count_what_is_over() -> None:
    transfers = Transfers()
    for host in ("web1", "web2"):
        transfers.is_shown(Progress(host, "upload", WHOLE, WHOLE), 100.0)

    # The host's files were damaged, so everything is sent again.
    assert transfers.is_shown(Progress("web2", "upload", 0, WHOLE), 110.0)
    assert transfers.together(110.0) == ""
    transfers.is_shown(Progress("web3", "upload", 0, WHOLE), 110.0)
    assert transfers.together(110.0) == "upload 0 B of 60.0 MB"
