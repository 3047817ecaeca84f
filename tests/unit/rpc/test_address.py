import pytest

from service.rpc.address import is_loopback, target_of


@pytest.mark.parametrize(
    ("listen", "target"),
    [
        ("0.0.0.0:9090", "127.0.0.1:9090"),
        ("[::]:9090", "127.0.0.1:9090"),
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("grpc.example.com:443", "grpc.example.com:443"),
    ],
)
def test_a_server_that_listens_everywhere_is_reached_here(listen: str, target: str) -> None:
    assert target_of(listen) == target


@pytest.mark.parametrize("address", ["127.0.0.1:9090", "127.3.2.1:0", "[::1]:9090", "localhost:9090", "LocalHost:9090"])
def test_loopback_is_this_machine(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0:9090", "[::]:9090", "10.0.0.1:9090", "128.0.0.1:9090", "localhost.example.com:9090", "127.0.0.1", "db:1"],
)
def test_what_may_be_elsewhere_is_not_loopback(address: str) -> None:
    assert not is_loopback(address)
