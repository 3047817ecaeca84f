from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import pytest

from service.errors import FailedPrecondition, Transient
from service.openapi.addresses import EVERYWHERE, Address, checked_addresses, is_public

# The first and the last address of each range, and what is known for being asked for.
NOT_PUBLIC = {
    "unspecified": ["0.0.0.1", "0.255.255.255", "::"],
    "private": ["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255"],
    "shared": ["100.64.0.0", "100.127.255.255", "100.100.100.200"],
    "loopback": ["127.0.0.1", "127.255.255.255", "::1"],
    "link-local": ["169.254.0.0", "169.254.169.254", "169.254.255.255", "fe80::1", "febf:ffff::1", "fe80::1%eth0"],
    "platform": ["168.63.129.16"],
    "protocols": ["192.0.0.0", "192.0.0.170", "192.0.0.192", "192.0.0.255", "2001::1", "2001:1ff:ffff::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.255", "2001:db8::1", "2001:db8:ffff::", "3fff::1"],
    "6to4": ["192.88.99.1", "2002:7f00:1::1", "2002:808:808::1"],
    "benchmarks": ["198.18.0.0", "198.19.255.255", "2001:2::1"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.0", "255.255.255.254", "255.255.255.255", "4000::1", "5f00::1", "e000::1"],
    "mapped": ["::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1"],
    "compatible": ["::127.0.0.1", "::8.8.8.8"],
    "unique-local": ["fc00::1", "fd00:ec2::254", "fdff:ffff::1"],
    "site-local": ["fec0::1", "feff:ffff::1"],
    "Teredo": ["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "ORCHID": ["2001:10::1", "2001:20::1"],
    "NAT64": ["64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::8.8.8.8"],
    "discard": ["100::1", "100:0:0:1::1"],
}
PUBLIC = [
    *["1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"],
    *["128.0.0.0", "168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255"],
    *["172.32.0.0", "192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0"],
    *["198.51.99.255", "203.0.112.255", "203.0.114.0", "223.255.255.255"],
    *["2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700:4700::1111", "2a00:1450::1", "3ffe:ffff::1"],
    *["64:ff9b::8.8.8.8"],
]


def answers(*texts: str) -> list[Address]:
    return [ip_address(text) for text in texts]


@pytest.mark.parametrize("text", [each for some in NOT_PUBLIC.values() for each in some])
async def test_what_is_not_public_is_refused(text: str) -> None:
    async def resolve(_: str) -> Sequence[Address]:
        return answers(text)

    assert not is_public(ip_address(text))
    with pytest.raises(FailedPrecondition, match=r"^app\.test leads to .* openapi\.allowed_networks$") as caught:
        await checked_addresses("app.test", resolve, ())
    assert caught.value.reason == "OPENAPI_ADDRESS_REFUSED"
    assert text not in f"{caught.value} {caught.value.facts}"


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_public_is_not(text: str) -> None:
    assert is_public(ip_address(text))


async def test_one_address_that_is_refused_is_enough() -> None:
    for among in (["8.8.8.8", "10.0.0.1"], ["::1", "2606:4700::1"], ["8.8.8.8", "1.1.1.1", "169.254.169.254"]):

        async def resolve(_: str, among: list[str] = among) -> Sequence[Address]:
            return answers(*among)

        with pytest.raises(FailedPrecondition):
            await checked_addresses("app.test", resolve, ())


async def test_an_operator_may_allow_a_network_and_no_more() -> None:
    async def resolve(host: str) -> Sequence[Address]:
        return answers(*host.split())

    allowed = (ip_network("10.1.0.0/16"), ip_network("fd00:1::/32"))

    inside = "10.1.255.255 8.8.8.8 fd00:1::1"
    assert await checked_addresses(inside, resolve, allowed) == answers(*inside.split())
    for outside in ("10.2.0.0", "10.0.255.255", "fd00:2::1", "::ffff:10.1.0.1", "64:ff9b::10.1.0.1", "127.0.0.1"):
        with pytest.raises(FailedPrecondition):
            await checked_addresses(outside, resolve, allowed)
    for anything in ("127.0.0.1", "::1", "10.0.0.1"):
        assert await checked_addresses(anything, resolve, EVERYWHERE) == answers(anything)


async def test_a_host_without_an_address_may_get_one() -> None:
    async def resolve(_: str) -> Sequence[Address]:
        return []

    with pytest.raises(Transient) as caught:
        await checked_addresses("app.test", resolve, ())
    assert caught.value.reason == "OPENAPI_UNAVAILABLE"
