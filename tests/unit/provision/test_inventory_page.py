"""docs/inventory.md: its second environment can live on one host with one that has the defaults."""

from __future__ import annotations

import re
from pathlib import Path

from warpbeam.inventory.read import read_inventory
from warpbeam.provision.other_apps import OtherApp, check_other_apps, port_keys

PAGE = (Path(__file__).parent.parent.parent.parent / "docs" / "inventory.md").read_text()
DEFAULTS = "org: acme\napp: shop\nhosts:\n  web1: {address: 192.0.2.10}\n"


def test_the_second_environment_of_the_page_shares_nothing_with_the_defaults(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^```yaml\n(org: acme\napp: shop_staging.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "staging.yml").write_text(shown)
    (tmp_path / "production.yml").write_text(DEFAULTS)
    staging, production = read_inventory(tmp_path / "staging.yml"), read_inventory(tmp_path / "production.yml")

    taken = tuple(port for _, ports in port_keys(production) for port in ports)
    check_other_apps(staging, {"web1": (OtherApp(production.app, production.name, "deploy", taken),)})
    assert staging.release_name == production.release_name
    mine, theirs = ((each.app, each.app_user, each.users.deploy) for each in (staging, production))
    assert not set(mine) & set(theirs)
