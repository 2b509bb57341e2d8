"""The Erlang cookie: one for all hosts of an environment, asked from them before one is made."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping

from warpbeam.error import Refused
from warpbeam.provisioning.difference import Found

# 43 characters of 62 are 256 bits. Alphanumeric, because others break boot scripts and rpc (facts of the field).
COOKIE_LENGTH = 43


def mint_cookie() -> str:
    """A new cookie of 256 bits."""
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(COOKIE_LENGTH))


def agreed_cookie(found: Mapping[str, Found]) -> str:
    """The cookie that hosts have, or a new one where none has any: a new host joins, it does not mint.

    Raises:
        Refused: hosts have different ones.
    """
    have = {name: facts.cookie for name, facts in found.items() if facts.cookie}
    if len(set(have.values())) > 1:
        raise Refused(
            f"hosts have different cookies: {', '.join(sorted(have))}",
            "`setup --rotate-cookie` gives all of them a new one; restart the app afterwards",
        )
    return next(iter(have.values()), "") or mint_cookie()
