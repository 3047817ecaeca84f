"""Image references are accepted by their grammar, and refused with a reason fit to read."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.image import image_name, validate_image
from service.errors import InvalidArgument

SHA256 = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "reference",
    [
        "nginx",
        "nginx:1.27",
        "library/nginx:latest",
        "registry.example.com/team/app:1.2",
        "registry.example.com:5000/team/app",
        "REGISTRY.example.com/app",
        "localhost/app",
        "localhost:5000/app:dev",
        "10.0.0.1:5000/app",
        "[2001:db8::1]:5000/app:1",
        "a.b_c__d---e/f",
        "app:_Tag.with-all_1",
        "app:" + "t" * 128,
        f"app@sha256:{SHA256}",
        f"registry.example.com/app:1@sha256:{SHA256}",
        f"app@sha512:{SHA256 * 2}",
        f"app@blake3+b64u:{SHA256}",
        "registry.example.com/d0xyz:proj_AbCd1234-d_AbCd1234",
        "a" * 256,
    ],
)
def test_good(reference: str) -> None:
    validate_image(reference)


MALFORMED = "is not an image reference: "


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("", "docker_image.image is empty"),
        ("a" * 257, "has 257 characters, at most 256 fit"),
        (" nginx", MALFORMED + "take out white space"),
        ("nginx\n", MALFORMED + "take out white space"),
        ("ng inx", MALFORMED + "take out white space"),
        ("nginx\x00", MALFORMED + "take out white space and control characters"),
        ("nginx\u202e", MALFORMED + "take out white space and control characters"),
        ("https://registry.example.com/app", MALFORMED + "leave out the scheme"),
        ("Nginx", MALFORMED + "write the path in lower case"),
        ("registry.example.com/Team/app:1", MALFORMED + "write the path in lower case"),
        ("app:", MALFORMED + "write it as"),
        ("app:.tag", MALFORMED + "write it as"),
        ("app:" + "t" * 129, MALFORMED + "write it as"),
        ("app:1:2", MALFORMED + "write it as"),
        ("/app", MALFORMED + "write it as"),
        ("team//app", MALFORMED + "write it as"),
        ("team/app/", MALFORMED + "write it as"),
        ("-app", MALFORMED + "write it as"),
        ("app-", MALFORMED + "write it as"),
        ("a...b", MALFORMED + "write it as"),
        ("a___b", MALFORMED + "write it as"),
        ("../app", MALFORMED + "write it as"),
        ("$(reboot)", MALFORMED + "write it as"),
        ("\u0432\u0435\u0442\u043a\u0430", MALFORMED + "write it as"),
        ("app@", MALFORMED + "write it as"),
        ("app@sha256", MALFORMED + "write it as"),
        ("app@sha256:" + "0" * 31, MALFORMED + "write it as"),
        ("app@sha256:" + "g" * 64, MALFORMED + "write it as"),
        ("app@sha256:" + "0" * 63, MALFORMED + "a sha256 digest has 64 lower-case hex digits"),
        ("app@sha256:" + "A" * 64, MALFORMED + "a sha256 digest has 64 lower-case hex digits"),
        ("app@sha512:" + "0" * 64, MALFORMED + "a sha512 digest has 128 lower-case hex digits"),
    ],
)
def test_bad(reference: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate_image(reference)
    assert message in caught.value.message
    assert caught.value.facts == {"field": "docker_image.image"}


@given(st.text(max_size=300))
def test_whatever_comes_the_message_is_plain(reference: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate_image(reference + "!")
    message = caught.value.message
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 4000


@pytest.mark.parametrize("reference", ["https://jane:hunter2@registry.example.com/app", "jane:hunter2@registry/app"])
def test_credentials_are_not_repeated(reference: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate_image(reference)
    assert "hunter2" not in caught.value.message
    assert "@registry" in caught.value.message


@pytest.mark.parametrize("reference", ["a-" * 127 + "!", "a." * 127 + "!", "a" * 255 + "!", "a/" * 127 + "!"])
def test_nothing_takes_long_to_refuse(reference: str) -> None:
    started = time.perf_counter()
    with pytest.raises(InvalidArgument):
        validate_image(reference)
    assert time.perf_counter() - started < 0.5


def test_a_built_image_is_named_after_its_project_and_deployment() -> None:
    name = image_name("registry.example.com/team/", "dp1", "proj_AbC", "d_XyZ")

    assert name == "registry.example.com/team/dp1:proj_AbC-d_XyZ"
    validate_image(name)
    validate_image(image_name("127.0.0.1:5000", "", "p" * 100, "d_1234567890123456789012345678901234567890"))
