from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import FailedPrecondition
from service.openapi.path import check_path


@pytest.mark.parametrize(
    "path",
    [
        "/openapi.json",
        "/",
        "/v1/docs/openapi.yaml",
        "/a//b/",
        "/.well-known/openapi",
        "/...",
        "/a..b",
        "/my%20docs/open%C3%A4pi.json",
        "/\u00f6ffentlich/\u6587.json",
        "/a:b@c;d=e,f!$&'()*+~",
        "/http://other.example/",
        '/{version}/"x"|<y>^`z[1]',
        "/" + "x" * 511,
    ],
)
def test_a_plain_path_is_taken(path: str) -> None:
    check_path(path)


REFUSED = {
    "": "one slash",
    "openapi.json": "one slash",
    "//other.example/openapi.json": "one slash",
    "///openapi.json": "one slash",
    "\\\\other.example": "one slash",
    "@other.example/": "one slash",
    ":8080/openapi.json": "one slash",
    "https://other.example/": "one slash",
    " /openapi.json": "one slash",
    "/" + "x" * 512: "512 characters",
    "/openapi.json?token=hunter2": "a query or a fragment",
    "/openapi.json#x": "a query or a fragment",
    "/\\other.example": "backslash",
    "/a\\b": "backslash",
    "/a%5Cb": "backslash",
    "/a%5cb": "backslash",
    "/a b": "white space",
    "/a\tb": "white space",
    "/a\nb": "white space",
    "/a\r\nHost: other": "white space",
    "/a\x00b": "white space",
    "/a\x7fb": "white space",
    "/a\u00a0b": "white space",
    "/a\u2028b": "white space",
    "/a\u202eb": "white space",
    "/a\ud800b": "white space",
    "/a%0d%0ab": "escaped characters",
    "/a%00b": "escaped characters",
    "/a%C2%A0b": "escaped characters",
    "/100%": "begins no escape",
    "/%zz": "begins no escape",
    "/%2": "begins no escape",
    "/%u002e": "begins no escape",
    "/%ff": "not UTF-8",
    "/%c0%ae%c0%ae/": "not UTF-8",
    "/%252e%252e/": "escaped percent sign",
    "/a%25": "escaped percent sign",
    "/a%2fb": "escaped slash",
    "/a%2Fb": "escaped slash",
    "/%2fother.example": "escaped slash",
    "/..": "a segment",
    "/.": "a segment",
    "/a/../b": "a segment",
    "/a/./b": "a segment",
    "/a/..": "a segment",
    "/%2e%2e/b": "a segment",
    "/%2E./b": "a segment",
    "/.%2e": "a segment",
    "/%2e": "a segment",
}


@pytest.mark.parametrize("path", REFUSED, ids=ascii)
def test_any_other_is_refused_and_not_repeated(path: str) -> None:
    with pytest.raises(FailedPrecondition, match=REFUSED[path]) as caught:
        check_path(path)

    assert caught.value.reason == "OPENAPI_PATH_INVALID"
    assert caught.value.facts == {}
    assert "hunter2" not in caught.value.message
    assert len(caught.value.message) < 200


@given(st.text(max_size=20) | st.text("/.%25eEfFcC\\?#@: \u00e4", max_size=12))
def test_what_is_taken_is_asked_for_as_it_is(rest: str) -> None:
    path = f"/{rest}"
    try:
        check_path(path)
    except FailedPrecondition:
        return

    url = httpx.URL(f"https://app.test{path}")

    assert (url.scheme, url.raw_host, url.port, url.userinfo) == ("https", b"app.test", None, b"")
    assert unquote(url.raw_path.decode("ascii"), errors="strict") == unquote(path, errors="strict")
