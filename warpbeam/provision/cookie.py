"""The Erlang cookie: all hosts of an environment share one, and setup asks them for it before it makes a new one."""

from __future__ import annotations

import secrets
import string
from collections.abc import Collection, Mapping

import msgspec

from warpbeam.error import Refused
from warpbeam.provision.host_state import HostState

# 43 characters of 62 are 256 bits. Characters other than letters and digits break boot scripts and rpc (seen in the
# field).
COOKIE_LENGTH = 43


class Cookie(msgspec.Struct, frozen=True):
    """A cookie for all hosts. `shown`: other users could read it; `joined`: some hosts have it already."""

    value: str
    shown: bool = False
    joined: bool = False


def mint_cookie() -> str:
    """Return a new cookie of 256 bits."""
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(COOKIE_LENGTH))


def agreed_cookie(found: Mapping[str, HostState], *, left_out: Collection[str] = ()) -> Cookie:
    """Return the cookie that hosts have, or a new one when none has any: a new host joins, it does not mint.

    A cookie that other users could read is not used again, unless it must stay for hosts that are left out.

    Parameters:
        left_out: app hosts that keep their cookie.

    Raises:
        Refused: hosts have different cookies.
    """
    have = {name: facts.cookie for name, facts in found.items() if facts.cookie}
    read = {cookie for name, cookie in have.items() if found[name].cookie_shown}
    good = {name: cookie for name, cookie in have.items() if cookie not in read}
    choice = good or (have if left_out else {})
    if len(set(choice.values())) > 1:
        raise Refused(
            f"hosts have different cookies: {', '.join(sorted(choice))}",
            "`setup --rotate-cookie` gives all of them a new one; restart the app afterwards",
        )
    value = next(iter(choice.values()), "")
    return Cookie(value or mint_cookie(), shown=value in read, joined=bool(good))
