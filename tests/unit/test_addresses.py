from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.channels.addresses import Reach, allowed, literal, reach_of


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("8.8.8.8", Reach.PUBLIC),
        ("47.246.23.1", Reach.PUBLIC),
        ("2606:4700::1111", Reach.PUBLIC),
        # One's own networks, and this machine.
        ("10.0.0.0", Reach.PRIVATE),
        ("10.255.255.255", Reach.PRIVATE),
        ("172.15.255.255", Reach.PUBLIC),
        ("172.16.0.0", Reach.PRIVATE),
        ("172.31.255.255", Reach.PRIVATE),
        ("172.32.0.0", Reach.PUBLIC),
        ("192.168.1.1", Reach.PRIVATE),
        ("127.0.0.1", Reach.PRIVATE),
        ("127.255.255.254", Reach.PRIVATE),
        ("100.63.255.255", Reach.PUBLIC),
        ("100.64.0.0", Reach.PRIVATE),
        ("100.127.255.255", Reach.PRIVATE),
        ("100.128.0.0", Reach.PUBLIC),
        ("198.18.0.1", Reach.PRIVATE),
        ("::1", Reach.PRIVATE),
        ("fd12:3456::1", Reach.PRIVATE),
        ("64:ff9b:1::a00:1", Reach.PRIVATE),
        # Nobody's: no setting allows these.
        ("0.0.0.0", Reach.NEVER),  # noqa: S104 - an address, bound by nobody
        ("0.1.2.3", Reach.NEVER),
        ("169.254.169.254", Reach.NEVER),
        ("169.254.0.23", Reach.NEVER),
        ("100.100.100.200", Reach.NEVER),
        ("168.63.129.16", Reach.NEVER),
        ("192.0.0.192", Reach.NEVER),
        ("192.0.2.1", Reach.NEVER),
        ("203.0.113.1", Reach.NEVER),
        ("224.0.0.1", Reach.NEVER),
        ("239.255.255.255", Reach.NEVER),
        ("240.0.0.1", Reach.NEVER),
        ("255.255.255.255", Reach.NEVER),
        ("::", Reach.NEVER),
        ("fe80::1", Reach.NEVER),
        ("fe80::1%eth0", Reach.NEVER),
        ("fec0::1", Reach.NEVER),
        ("ff02::1", Reach.NEVER),
        ("fd00:ec2::254", Reach.NEVER),
        ("fd20:ce::254", Reach.NEVER),
        ("2001:db8::1", Reach.NEVER),
        # An address of the old world within one of the new.
        ("::ffff:127.0.0.1", Reach.NEVER),
        ("::ffff:8.8.8.8", Reach.NEVER),
        ("::127.0.0.1", Reach.NEVER),
        ("64:ff9b::8.8.8.8", Reach.PUBLIC),
        ("64:ff9b::10.0.0.1", Reach.NEVER),
        ("64:ff9b::169.254.169.254", Reach.NEVER),
        ("2002:7f00:1::", Reach.NEVER),
        ("2001:0:7f00:1::", Reach.NEVER),
        # No addresses.
        ("localhost", Reach.NEVER),
        ("", Reach.NEVER),
        ("0x7f.1", Reach.NEVER),
    ],
)
def test_who_can_be_behind_an_address(address: str, reach: Reach) -> None:
    assert reach_of(address) is reach


def test_what_the_settings_allow_is_ones_own_networks_and_nothing_else() -> None:
    asked = ("8.8.8.8", "10.0.0.1", "169.254.169.254")

    assert [allowed(one, private=False) for one in asked] == [True, False, False]
    assert [allowed(one, private=True) for one in asked] == [True, True, False]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0", "0.0.0.0"),  # noqa: S104 - as above
        ("0xa9fea9fe", "169.254.169.254"),
        ("[::1]", "::1"),
        ("::ffff:7f00:1", "::ffff:7f00:1"),
        ("example.org", None),
        ("1.2.3.4.example.org", None),
    ],
)
def test_an_address_is_seen_however_it_is_written(host: str, address: str | None) -> None:
    assert literal(host) == address


@given(st.ip_addresses(v=4))
def test_no_address_of_ipv4_gets_through_by_being_written_in_ipv6(address: object) -> None:
    ways = (f"::ffff:{address}", f"::{address}", f"64:ff9b::{address}")

    for way in ways:
        if not allowed(str(address), private=False):
            assert not allowed(way, private=True), way
