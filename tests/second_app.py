"""A second app on one of the hosts, with users of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.attack import HOST
from tests.environment import LabEnvironment


@pytest.fixture(scope="module")
def second_app(environment: LabEnvironment) -> Iterator[None]:
    """Another app on one of the hosts, which runs, with an app's user and a deploy user of its own."""
    ports = {"port": 81, "slots": [4101, 4102], "distribution": [9101, 9102], "maintenance": 4103}
    shop: dict[str, Any] = {
        "app": "shop",
        "release": "hello",
        "users": {"admin": "admin", "deploy": "shopkeeper"},
        "hosts": {name: environment.settings["hosts"][name] for name in (HOST, "build1")},
        "http": ports,
    }
    # Debian 13 has it only where cron is installed; a user who can write it waits for that.
    environment.lab.ssh(HOST, "sudo mkdir -p /etc/cron.d")
    try:
        with environment.another("shop", **shop):
            environment.fab("setup", "deploy", inventory="shop")
            yield
    finally:
        for host in (HOST, "build1"):
            environment.lab.ssh(host, "sudo bash -s", check=False, stdin=AWAY)


AWAY = """
systemctl disable -q --now shop{,-firewall,-filter}.service shop@{a,b}.service shop-maintenance.socket
rm -rf /etc/acme/shop /opt/acme/shop /usr/lib/warpbeam/shop /lib/systemd/system/shop* /etc/sudoers.d/warpbeam-shop \
  /etc/sysctl.d/60-warpbeam-shop.conf /var/lib/shop /var/lib/warpbeam/shop
systemctl daemon-reload
systemctl reset-failed 'shop*'
nft delete table inet warpbeam_shop
nft delete table inet warpbeam_shop_nodes
nft delete table inet warpbeam_shop_guard
userdel shop
userdel -r shopkeeper
"""
