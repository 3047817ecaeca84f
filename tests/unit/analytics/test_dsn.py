import pickle
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.analytics.dsn import ClickHouseDsn, parse
from service.config import ConfigError
from service.config import parse as configure

SECRET = "s3cret-and-long"  # noqa: S105 - planted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "clickhouse://default:password@clickhouse:9000?secure=false&skip_verify=true",
            {"user": "default", "password": "password", "host": "clickhouse", "port": 8123, "verify": False},
        ),
        ("clickhouse://ch:9000", {"user": "default", "password": "", "database": "default", "secure": False}),
        ("clickhouse://ch", {"host": "ch", "port": 8123}),
        ("clickhouse://ch?secure=true", {"port": 8443, "secure": True, "verify": True}),
        ("clickhouse://ch:9440/db?secure=1", {"port": 8443, "secure": True, "database": "db"}),
        ("clickhouse://ch:9000/?secure", {"port": 8443, "secure": True, "database": "default"}),
        ("clickhouse://ch:8123/db", {"port": 8123}),
        ("clickhouse://ch:18123/db?secure=t", {"port": 18123, "secure": True}),
        ("clickhouse://ch?secure=false&secure=true&dial_timeout=5s&compress=lz4", {"secure": False}),
        ("clickhouse://[fe80::1]:9000/db", {"host": "fe80::1", "port": 8123}),
        ("clickhouse://u%40x:p%2F%3F%23%3A@ch/a%20b", {"user": "u@x", "password": "p/?#:", "database": "a b"}),
        ("clickhouse://u:p@ss:w@ch", {"user": "u", "password": "p@ss:w", "host": "ch"}),
        ("clickhouse://:p@ch", {"user": "default", "password": "p"}),
        ("clickhouse://u@ch?note=a@b", {"user": "u", "password": ""}),
        ("http://u:p@ch/db", {"port": 8123, "secure": False, "database": "db", "password": "p"}),
        ("http://ch:9000", {"port": 9000}),
        ("https://u:p@ch/db", {"port": 8443, "secure": True, "verify": True}),
        ("https://ch:443/?skip_verify=TRUE&secure=true", {"port": 443, "secure": True, "verify": False}),
    ],
)
def test_what_is_understood(text: str, expected: dict[str, Any]) -> None:
    dsn = parse(text)
    assert {name: getattr(dsn, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "must be a URL"),
        (SECRET, "must be a URL"),
        (f"u:{SECRET}@ch:9000/db", "must be a URL"),
        (f"mysql://u:{SECRET}@ch", "must be a URL"),
        (f"clickhouse://u:{SECRET}@[ch/db", "must be a URL"),
        (f"clickhouse:u:{SECRET}@ch", "in its user or password"),
        (f"clickhouse://u:1/{SECRET}@ch:9000/db", "in its user or password"),
        (f"clickhouse://u:1?{SECRET}@ch:9000/db", "in its user or password"),
        (f"clickhouse://u:1#{SECRET}@ch:9000/db", "in its user or password"),
        (f"clickhouse://u:{SECRET}@", "names no host"),
        (f"clickhouse://u:{SECRET}@:9000/db", "names no host"),
        (f"clickhouse://u:{SECRET}@a:9000,b:9000/db", "names several servers"),
        (f"clickhouse://u:{SECRET}@ch:native/db", "has a port"),
        (f"clickhouse://u:{SECRET}@ch:0/db", "has a port"),
        (f"clickhouse://u:{SECRET}@ch:65536/db", "has a port"),
        (f"clickhouse://u:{SECRET}@ch/db/{SECRET}", 'has a "/" behind'),
        (f"clickhouse://u:{SECRET}@ch/db?secure={SECRET}", "has a secure that is neither"),
        (f"clickhouse://u:{SECRET}@ch/db?skip_verify=yes", "has a skip_verify that is neither"),
        (f"http://u:{SECRET}@ch/db?secure=true", "has a secure that says other"),
        (f"https://u:{SECRET}@ch/db?secure=false", "has a secure that says other"),
    ],
)
def test_what_is_refused_is_not_quoted(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refused:
        parse(text)
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_the_password_is_not_shown() -> None:
    dsn = parse(f"clickhouse://u:{SECRET}@ch/db")
    assert SECRET not in repr(dsn)
    assert SECRET not in f"{dsn}"
    assert pickle.loads(pickle.dumps(dsn)).password == SECRET  # noqa: S301 - just written


@given(user=st.text(min_size=1), password=st.text(), host=st.from_regex(r"[a-z.]+", fullmatch=True))
def test_any_user_and_password_are_found_again(user: str, password: str, host: str) -> None:
    text = f"clickhouse://{quote(user, safe='')}:{quote(password, safe='')}@{host}/db"
    assert parse(text) == ClickHouseDsn(host, 8123, user=user, password=password, database="db")


@given(scheme=st.sampled_from(("clickhouse", "http", "https")), rest=st.text())
def test_any_text_is_a_url_or_a_value_error(scheme: str, rest: str) -> None:
    with suppress(ValueError):
        assert parse(f"{scheme}://{rest}").host


def test_the_configuration_refuses_what_cannot_be_parsed_and_does_not_show_it() -> None:
    with pytest.raises(ConfigError) as refused:
        configure(f'database.primary = "sqlite:///x"\nclickhouse.url = "clickhouse://u:{SECRET}@ch:native"', {})
    assert refused.value.faults == (("clickhouse.url", "has a port that is no number from 1 to 65535"),)
    assert SECRET not in str(refused.value)


def test_no_url_is_none_in_the_configuration() -> None:
    assert (
        configure('database.primary = "sqlite:///x"\nclickhouse.url = ""', {}).clickhouse.url.get_secret_value() == ""
    )
