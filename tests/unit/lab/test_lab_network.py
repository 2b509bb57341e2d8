"""Subnets of labs: which are free, and the names of the devices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpbeam.error import Refused
from warpbeam.lab.network import NETWORKS, address4, address6, free_network, host_link, subnet4, subnet6
from warpbeam.lab.state import FIRST, MOST, Lab, Member, bridge_name


def test_the_first_lab_takes_the_first_network() -> None:
    assert free_network((), ()) == 0


def test_a_network_that_a_lab_or_a_route_has_is_passed_over() -> None:
    assert free_network((), (0, 1)) == 2
    assert free_network(("10.83.0.0/24",), ()) == 1
    assert free_network(("10.83.0.7",), ()) == 1
    assert free_network((str(subnet6(0)),), ()) == 1
    assert free_network(("192.168.0.0/16", "fd00::/64"), ()) == 0


def test_a_machine_whose_routes_cover_all_our_networks_gets_a_message() -> None:
    with pytest.raises(Refused, match="no subnet"):
        free_network(("10.0.0.0/8",), ())


@given(st.integers(0, NETWORKS - 1), st.integers(FIRST, FIRST + MOST))
def test_every_host_has_addresses_in_the_networks_of_its_lab(network: int, number: int) -> None:
    assert address4(network, number).startswith(f"10.83.{network}.")
    assert subnet4(network).overlaps(subnet4(network))
    assert address6(network, number) != address6(network, 1)


def test_the_names_of_devices_fit_what_linux_allows() -> None:
    longest = Lab("a" * 10, "bookworm", NETWORKS - 1, 64)
    # IFNAMSIZ is 16 with the zero at its end; systemd-nspawn would cut off and hash a longer name.
    assert len(host_link(longest, Member("x" * 30, number=FIRST + MOST))) <= 15
    assert len(bridge_name("a" * 10)) <= 15
