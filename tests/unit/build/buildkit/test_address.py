import pytest

from service.build.buildkit import Address


@pytest.mark.parametrize(
    "text",
    [
        "unix:///run/buildkit/buildkitd.sock",
        "docker:///var/run/docker.sock",
        "tcp://builder.test:1234",
        "tcp://127.0.0.1:1",
        "tcp://[::1]:65535",
    ],
)
def test_an_address_is_read_and_written(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "begins with none of"),
        ("/run/buildkitd.sock", "begins with none of"),
        ("https://builder.test:1234", "begins with none of"),
        ("unix://run/buildkitd.sock", "no absolute path"),
        ("unix://", "no absolute path"),
        ("docker://var", "no absolute path"),
        ("tcp://builder.test", "host:port"),
        ("tcp://builder.test:0", "host:port"),
        ("tcp://builder.test:65536", "host:port"),
        ("tcp://builder.test:port", "host:port"),
        ("tcp://:1234", "host:port"),
        ("tcp://[::1:1234", "host:port"),
        ("tcp://user@builder.test:1234", "host:port"),
        ("tcp://builder.test:1234/", "host:port"),
        ("tcp://builder.test:1234?x", "host:port"),
    ],
)
def test_what_is_wrong_with_an_address_is_named(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Address.parse(text)
