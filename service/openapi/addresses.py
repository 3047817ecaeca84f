"""Where an app's host name may lead: to public addresses, and to the networks that an operator allows.

Anybody can give a name an address. Without this a stranger's app could have the worker fetch what only the worker
reaches: its own machine, its neighbours, a cloud's metadata.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from service.errors import Transient
from service.openapi.refusals import address_refused, unavailable

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str], Awaitable[Sequence[Address]]]

EVERYWHERE = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))

# https://www.iana.org/assignments/iana-ipv4-special-registry: all that is not globally reachable, with the whole of
# 192.0.0.0/24. Spelled out, because what `is_global` says differs between the patch releases of Python.
_SPECIAL_IPV4 = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",  # this network, and the unspecified address
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by the customers of a provider
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # public to look at, but every machine on Azure finds the platform's own server there
        "169.254.0.0/16",  # link-local, and the metadata of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4, which are no more
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# https://www.iana.org/assignments/ipv6-address-space: all that was ever given out. Outside are loopback, unspecified,
# IPv4-mapped and -compatible, unique-local, link-local, site-local and multicast addresses.
_GLOBAL_IPV6 = IPv6Network("2000::/3")
# https://www.iana.org/assignments/iana-ipv6-special-registry: what is special of those.
_SPECIAL_IPV6 = tuple(
    IPv6Network(each)
    for each in (
        "2001::/23",  # protocol assignments; Teredo among them, which holds an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which holds an IPv4 address
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # how a network without IPv4 writes IPv4 addresses: RFC 6052


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public internet's."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_IPV4)
    if address in _NAT64:
        return is_public(IPv4Address(address.packed[-4:]))
    return address in _GLOBAL_IPV6 and not any(address in network for network in _SPECIAL_IPV6)


async def checked_addresses(host: str, resolve: Resolver, allowed: Sequence[Network]) -> Sequence[Address]:
    """Return the addresses of a host, at least one; connect to these, as the name may lead elsewhere a moment later.

    Raises FailedPrecondition where any of them must not be reached, and Transient where there is none.
    """
    found = await resolve(host)
    if not all(is_public(each) or any(each in network for network in allowed) for each in found):
        raise address_refused(host)
    if not found:
        raise _unknown()
    return found


async def system_resolver(host: str) -> Sequence[Address]:
    """Ask the operating system, which reads `127.1`, `0x7f.1` and `2130706433` as addresses, too.

    Raises Transient for a name that is not known.
    """
    try:
        answers = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # the latter for a name that IDNA cannot write
        raise _unknown() from None
    return [ip_address(answer[4][0]) for answer in answers]


def _unknown() -> Transient:
    return unavailable("the app's host name is not known")
