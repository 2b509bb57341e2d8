"""Ports of other apps on a host."""

from __future__ import annotations

from pathlib import Path

import pytest

from warpbeam.error import Refused
from warpbeam.inventory.schema import Host, Http, Inventory, PublicPort
from warpbeam.provision.other_apps import OtherApp, check_other_apps

HOSTS = {"web1": Host(name="web1", roles=("app",)), "build1": Host(name="build1", roles=("build",))}
SHOP = Inventory(
    org="acme",
    app="shop",
    hosts=HOSTS,
    file=Path("inventory/shop.yml"),
    http=Http(port=81, slots=(4101, 4102), distribution=(9101, 9102), maintenance=4103),
    ports={"HTTPS_PORT": PublicPort(public=443, slots=(4111, 4112))},
)
FREE = (80, 4001, 4002, 4003, 9001, 9002)


def test_apps_with_ports_of_their_own_share_a_host() -> None:
    check_other_apps(SHOP, {"web1": (OtherApp("hello", "stage", "deploy", FREE),), "build1": ()})
    # The ports of an app count on its own hosts only.
    check_other_apps(SHOP, {"build1": (OtherApp("hello", "stage", "deploy", (81,)),)})


@pytest.mark.parametrize(
    ("port", "said"),
    [
        (81, "81 (http.port)"),
        (4102, "4102 (http.slots)"),
        (9101, "9101 (http.distribution)"),
        (4103, "4103 (http.maintenance)"),
        (443, "443 (ports.HTTPS_PORT.public)"),
        (4112, "4112 (ports.HTTPS_PORT.slots)"),
    ],
)
def test_any_port_of_another_app_is_refused_with_the_key_to_set(port: int, said: str) -> None:
    with pytest.raises(Refused) as refused:
        check_other_apps(SHOP, {"web1": (OtherApp("hello", "stage", "deploy", (*FREE, port)),)})
    problem = refused.value
    assert problem.host == "web1"
    assert problem.nothing_changed
    assert f"another app on this host, hello (environment stage), has the same ports: {said}" in problem.message
    assert f"set `{said.partition('(')[2].rstrip(')')}` in inventory/shop.yml" in problem.hint
