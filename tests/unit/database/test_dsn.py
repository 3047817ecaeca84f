import pickle
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.database.dsn import Dsn, parse

SECRET = "s3cret-and-long"  # noqa: S105 - planted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "unkey:password@tcp(mysql:3306)/unkey?parseTime=true&interpolateParams=true",
            {"user": "unkey", "password": "password", "host": "mysql", "port": 3306, "database": "unkey"},
        ),
        ("u:p:@/w@tcp(db:1)/x?parseTime=true", {"user": "u", "password": "p:@/w", "host": "db", "port": 1}),
        ("u:%40@tcp(db)/x?parseTime=true", {"password": "%40", "port": 3306}),
        ("u@tcp(db)/x?parseTime=true", {"user": "u", "password": ""}),
        ("u:@tcp(db)/x?parseTime=true", {"user": "u", "password": ""}),
        ("/x?parseTime=true", {"user": "", "host": "127.0.0.1", "port": 3306, "unix_socket": ""}),
        ("u:p@tcp/x?parseTime=true", {"host": "127.0.0.1", "port": 3306}),
        ("u:p@(db:7)/x?parseTime=true", {"host": "db", "port": 7}),
        ("u:p@tcp(:7)/x?parseTime=true", {"host": "127.0.0.1", "port": 7}),
        ("u:p@tcp([fe80::1]:7)/x?parseTime=true", {"host": "fe80::1", "port": 7}),
        ("u:p@tcp([fe80::1])/x?parseTime=true", {"host": "fe80::1", "port": 3306}),
        ("u:p@tcp(fe80::1)/x?parseTime=true", {"host": "fe80::1", "port": 3306}),
        ("u:p@unix(/run/db.sock)/x?parseTime=true", {"unix_socket": "/run/db.sock", "host": ""}),
        ("u:p@unix/x?parseTime=true", {"unix_socket": "/tmp/mysql.sock"}),  # noqa: S108 - the driver's default
        ("u:p@tcp(db)/a%2Fb?parseTime=true", {"database": "a/b"}),
        ("u:p@tcp(db)/x?parseTime=true&charset=utf8mb4,utf8", {"charset": "utf8mb4"}),
        ("u:p@tcp(db)/x?parseTime=true&tls=skip-verify", {"tls": "skip-verify"}),
        ("u:p@tcp(db)/x?parseTime=true&tls=1", {"tls": "true"}),
        ("u:p@tcp(db)/x?parseTime=true&timeout=1m2.5s", {"connect_timeout": timedelta(seconds=62.5)}),
        ("u:p@tcp(db)/x?parseTime=true&timeout=250ms", {"connect_timeout": timedelta(milliseconds=250)}),
        ("u:p@tcp(db)/x?parseTime=true&timeout=0s", {"connect_timeout": timedelta(seconds=5)}),
        ("u:p@tcp(db)/x?parseTime=true&loc=Europe%2FParis&readTimeout=1s&strict=true&nothing", {"session": ()}),
    ],
)
def test_mysql(text: str, expected: dict[str, Any]) -> None:
    dsn = parse(text)
    assert dsn.dialect == "mysql"
    assert {name: getattr(dsn, name) for name in expected} == expected


def test_unknown_parameters_are_session_variables() -> None:
    parameters = (
        "max_sort_length=64&sql_mode=%27ANSI%2CTRADITIONAL%27&foreign_key_checks=off&time_zone=%22%2B00%3A00%22"
    )
    dsn = parse(f"u:p@tcp(db)/x?parseTime=true&collation=utf8mb4_bin&{parameters}&wsrep_on=true&lc_messages=en_US")
    assert dsn.session == (
        ("collation_connection", "'utf8mb4_bin'"),
        ("max_sort_length", "64"),
        ("sql_mode", "'ANSI,TRADITIONAL'"),
        ("foreign_key_checks", "off"),
        ("time_zone", "'+00:00'"),
        ("wsrep_on", "true"),
        ("lc_messages", "'en_US'"),
    )


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sqlite:///hydra.db", "hydra.db"),
        ("sqlite:///data/hydra.db", "data/hydra.db"),
        ("sqlite:////var/lib/hydra.db", "/var/lib/hydra.db"),
    ],
)
def test_sqlite(text: str, path: str) -> None:
    dsn = parse(text)
    assert (dsn.dialect, dsn.database) == ("sqlite", path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "must contain parseTime=true"),
        (f"u:{SECRET}@tcp(db:3306)/x", "must contain parseTime=true"),
        (f"u:{SECRET}@tcp(db:3306)/x?parseTime=True", "must contain parseTime=true"),
        (f"u:{SECRET}@tcp(db:3306)?parseTime=true", 'has no "/"'),
        (f"u:{SECRET}@tcp(db:3306)/?parseTime=true", "names no database"),
        (f"u:{SECRET}@tcp(db:3306/x?parseTime=true", 'has no "\\)"'),
        (f"u:{SECRET}@tcp(db:3306)x/x?parseTime=true", 'has no "\\)"'),
        (f"u:{SECRET}@db:3306/x?parseTime=true", "must give its address as"),
        (f"mysql://u:{SECRET}@db/x?parseTime=true", "must give its address as"),
        (f"u:{SECRET}@udp(db)/x?parseTime=true", "must give its address as"),
        (f"u:{SECRET}@tcp(db:mysql)/x?parseTime=true", "has a port"),
        (f"u:{SECRET}@tcp(db:0)/x?parseTime=true", "has a port"),
        (f"u:{SECRET}@tcp(db:65536)/x?parseTime=true", "has a port"),
        (f"u:{SECRET}@tcp(db)/x?parseTime=true&tls={SECRET}", "has a tls"),
        (f"u:{SECRET}@tcp(db)/x?parseTime=true&charset={SECRET}", "has a charset"),
        (f"u:{SECRET}@tcp(db)/x?parseTime=true&collation={SECRET}", "has a collation"),
        (f"u:{SECRET}@tcp(db)/x?parseTime=true&timeout={SECRET}", "has a timeout"),
        (f"u:{SECRET}@tcp(db)/x?parseTime=true&{SECRET}=1", "has a parameter"),
        (f"u:{SECRET}@tcp(db)/x?parseTime=true&a={SECRET}%27%3B", "has a session variable"),
        (f"u:{SECRET}@tcp(db)/x?parseTime=true&a={SECRET}%5C", "has a session variable"),
        (f"u:{SECRET}@tcp(db)/x?parseTime=true&a={SECRET}%0A", "has a session variable"),
        ("sqlite:///", "names no file"),
        ("sqlite://hydra.db", "names no file"),
        ("sqlite:hydra.db", "names no file"),
        ("sqlite:///:memory:", "must name a file"),
        ("sqlite:///file:x", "must name a file"),
        ("sqlite:///hydra.db?mode=ro", "takes no parameters"),
    ],
)
def test_what_is_refused_is_not_quoted(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refused:
        parse(text)
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_the_password_is_not_shown() -> None:
    dsn = parse(f"u:{SECRET}@tcp(db)/x?parseTime=true")
    assert SECRET not in repr(dsn)
    assert SECRET not in f"{dsn}"
    assert pickle.loads(pickle.dumps(dsn)).password == SECRET  # noqa: S301 - just written


@given(
    user=st.text().filter(lambda text: ":" not in text),
    password=st.text(),
    host=st.from_regex(r"[a-z.]+", fullmatch=True),
)
def test_any_user_and_password_are_found_again(user: str, password: str, host: str) -> None:
    assert parse(f"{user}:{password}@tcp({host})/x?parseTime=true") == Dsn(
        "mysql", "x", user=user, password=password, host=host
    )


@given(st.text(), st.text())
def test_any_text_is_a_dsn_or_a_value_error(before: str, after: str) -> None:
    with suppress(ValueError):
        assert parse(f"{before}/{after}?parseTime=true").dialect in {"mysql", "sqlite"}
