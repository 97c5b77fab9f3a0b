"""Where a message may be sent to, by address. Pure: nothing is resolved or connected here.

A receiver is named in the settings, and a name can come to lead anywhere: to the database beside
us, or to the service that hands a cloud machine its credentials. So what is not public needs a
setting, and some addresses no setting allows: no receiver of notices has ever had one.

Source: the IANA registries of special-purpose addresses, and what cloud providers publish.
"""

from __future__ import annotations

import socket
from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, TypeAlias

_Network: TypeAlias = IPv4Network | IPv6Network


class Reach(Enum):
    """Who can be behind an address."""

    PUBLIC = "public"
    PRIVATE = "private"  # a network of one's own, or this machine: if the settings say so
    NEVER = "never"


def _networks(*texts: str) -> tuple[_Network, ...]:
    return tuple(ip_network(text) for text in texts)


_METADATA: Final = _networks(
    "100.100.100.200/32",  # Alibaba Cloud; the others' is link-local
    "168.63.129.16/32",  # Azure: a public address that ends at the host
    "fd00:ec2::254/128",  # AWS
    "fd20:ce::254/128",  # Google Cloud
)
_PRIVATE: Final = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",  # carrier-grade NAT, and overlay networks
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "198.18.0.0/15",  # for benchmarks, and what some tunnels answer for every name
    "::1/128",
    "64:ff9b:1::/48",  # NAT64 within one network
    "fc00::/7",
)
_NEVER: Final = _networks(
    "0.0.0.0/8",  # this machine, for many systems
    "169.254.0.0/16",  # link-local, with the metadata of most clouds
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "2001::/23",  # Teredo and its kin: an IPv4 address within
    "2001:db8::/32",
    "2002::/16",  # 6to4: likewise
    "3fff::/20",
)
_PUBLIC_V6: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")


def reach_of(address: str) -> Reach:
    """Return who can be behind *address*, a literal one; what is none is ``NEVER``."""
    try:
        found = ip_address(address)
    except ValueError:
        return Reach.NEVER
    if any(found in network for network in _METADATA):
        return Reach.NEVER
    if any(found in network for network in _PRIVATE):
        return Reach.PRIVATE
    if any(found in network for network in _NEVER):
        return Reach.NEVER
    return Reach.PUBLIC if isinstance(found, IPv4Address) else _of_v6(found)


def _of_v6(address: IPv6Address) -> Reach:
    """Where IPv6 is all there is, names of the IPv4 world lead to a translator (NAT64)."""
    if address in _NAT64:
        within = reach_of(str(IPv4Address(int(address) & 0xFFFFFFFF)))
        return within if within is Reach.PUBLIC else Reach.NEVER
    # An IPv4-mapped one is outside, too: nobody writes it but to get round a check.
    return Reach.PUBLIC if address in _PUBLIC_V6 else Reach.NEVER


def allowed(address: str, *, private: bool) -> bool:
    """Tell whether *address* may be connected to; with *private*, to one's own networks too."""
    reach = reach_of(address)
    return reach is Reach.PUBLIC or (private and reach is Reach.PRIVATE)


def literal(host: str) -> str | None:
    """Return the address that *host* is, in whatever way it is written, or None for a name.

    The resolver reads ``2130706433``, ``0177.1`` and ``0x7f.0.0.1`` as 127.0.0.1.
    """
    bare = host.strip("[]")
    try:
        return str(ip_address(bare))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(bare))
    except OSError:
        return None
