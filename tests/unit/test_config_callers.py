"""Who may call: tokens, a door that is open to other machines, and what this program's own commands show."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.configuration import DATABASE, faults, settings

HASH = "5d7B1a3c0e9f4b2a8c6d7e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b"
OTHER_HASH = HASH[::-1]
TOKEN = {"name": '"ci"', "role": '"deploy"', "sha256": f'"{HASH}"'}
KEY = "publickeyv1_w7YHemBctH5Ck2nQRQ47iBBqhNHy4FV7t2Usbye2A6f"


def tables(*tokens: dict[str, str]) -> str:
    return "".join(
        "[[grpc.tokens]]\n" + "".join(f"{key} = {value}\n" for key, value in token.items()) for token in tokens
    )


# --------------------------------------------------------------------------------------------------- tokens


def test_tokens_are_read_in_their_order() -> None:
    operator = {"name": '"an.operator@example.com"', "role": '"operate"', "sha256": f'"{OTHER_HASH}"'}
    first, second = settings(tables(TOKEN, operator | {"expires": "2030-01-31T12:00:00+01:00"})).grpc.tokens

    assert (first.name, first.role, first.sha256, first.expires) == ("ci", "deploy", HASH.lower(), None)
    assert (second.name, second.role) == ("an.operator@example.com", "operate")
    assert second.expires == datetime(2030, 1, 31, 11, tzinfo=UTC)


def test_a_token_that_ends_on_a_day_ends_when_it_begins() -> None:
    (token,) = settings(tables(TOKEN | {"expires": "2030-01-31"})).grpc.tokens

    assert token.expires == datetime(2030, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("name", '""', "must be 1 to 64 characters of A-Z, a-z, 0-9 and ._-@"),
        ("name", f'"{"x" * 65}"', "must be 1 to 64 characters"),
        ("name", '"s3cr3t token"', "must be 1 to 64 characters"),
        ("role", '"admin"', "must be 'deploy', 'operate' or 'read' (got 'admin')"),
        ("sha256", '"hydra_s3cr3t"', "must be the 64 hex digits of the token's SHA-256, never the token itself"),
        ("sha256", f'"{HASH}a"', "must be the 64 hex digits"),
        ("sha256", "1234", "must be a valid string"),
        ("sha256", '["s3cr3t"]', "must be a valid string"),
        ("expires", '"2030-01-31"', "must be a date or a time with its offset, without quotes"),
        ("expires", "2030-01-31T12:00:00", "must be a date or a time with its offset"),
        ("token", '"hydra_s3cr3t"', "is unknown; known are name, role, sha256, expires"),
        ("sha265", '"s3cr3t"', "is unknown; did you mean sha256?"),
    ],
)
def test_a_fault_of_a_token_says_which_and_shows_nothing_of_it(key: str, value: str, words: str) -> None:
    good = {"name": '"other"', "role": '"read"', "sha256": f'"{OTHER_HASH}"'}
    found = faults(DATABASE + tables(good, TOKEN | {key: value}))

    assert found.keys() == {f"grpc.tokens.1.{key}"}
    assert found[f"grpc.tokens.1.{key}"].startswith(words)
    assert "1234" not in str(found)


@pytest.mark.parametrize("key", TOKEN)
def test_a_token_is_whole(key: str) -> None:
    token = {name: value for name, value in TOKEN.items() if name != key}

    assert faults(DATABASE + tables(token)) == {f"grpc.tokens.0.{key}": "is required"}


@pytest.mark.parametrize(
    ("second", "found"),
    [
        ({"sha256": f'"{OTHER_HASH}"'}, {"grpc.tokens.1.name": "is that of grpc.tokens.0 already"}),
        ({"name": '"other"'}, {"grpc.tokens.1.sha256": "is that of grpc.tokens.0 already"}),
        (
            {"name": '"other"', "sha256": f'"{HASH.upper()}"'},
            {"grpc.tokens.1.sha256": "is that of grpc.tokens.0 already"},
        ),
    ],
    ids=["name", "hash", "hash in capitals"],
)
def test_no_two_tokens_are_the_same(second: dict[str, str], found: dict[str, str]) -> None:
    assert faults(DATABASE + tables(TOKEN, TOKEN | second)) == found


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ('grpc.tokens = "s3cr3t"', "grpc.tokens", "must be an array of tables: write [[grpc.tokens]]"),
        ('grpc.tokens = ["s3cr3t"]', "grpc.tokens.0", "must be a table"),
        ('[grpc.tokens]\nname = "s3cr3t"', "grpc.tokens", "must be an array of tables: write [[grpc.tokens]]"),
    ],
)
def test_what_is_no_array_of_tables_is_not_shown(text: str, key: str, words: str) -> None:
    assert faults(f"{text}\n{DATABASE}") == {key: words}


@pytest.mark.parametrize(
    "variable", ["HYDRA_GRPC__TOKENS", "HYDRA_GRPC__TOKENS__0__SHA256", "HYDRA_GRPC__TOKENS__NAME"]
)
def test_the_environment_holds_no_tokens(variable: str) -> None:
    assert faults(DATABASE, {variable: "s3cr3t"}) == {
        variable: "is no key: grpc.tokens is an array of tables, [[grpc.tokens]], and has to be in the file"
    }


def test_no_hash_shows_when_settings_are_printed() -> None:
    read = settings(tables(TOKEN))

    assert HASH.lower() not in f"{read!s} {read!r}"


# ------------------------------------------------------------------------------------------------------- door

CERT = 'tls_cert_file = "cert.pem"\ntls_key_file = "key.pem"\n'
CLIENT_CA = 'tls_client_ca_file = "ca.pem"\n'
NO_TLS = "set grpc.tls_cert_file and grpc.tls_key_file"
NO_CALLERS = "[[grpc.tokens]] or grpc.tls_client_ca_file"


@pytest.mark.parametrize("listen", ["127.0.0.1:9090", "127.9.9.9:0", "[::1]:9090", "localhost:9090"])
def test_loopback_needs_nothing(listen: str) -> None:
    assert settings(f'[grpc]\nlisten = "{listen}"').grpc.listen == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:9090", "[::]:9090", "10.0.0.1:9090", "grpc.example.com:443"])
@pytest.mark.parametrize(
    ("keys", "lacking"),
    [
        ("", f"{NO_TLS}, and {NO_CALLERS}"),
        (CERT, f"set {NO_CALLERS}"),
        (tables(TOKEN), NO_TLS),
    ],
    ids=["nothing", "TLS alone", "tokens alone"],
)
def test_an_open_door_is_locked_or_said_to_be_open(listen: str, keys: str, lacking: str) -> None:
    text = f'{DATABASE}[grpc]\nlisten = "{listen}"\n'

    assert faults(text + keys) == {
        "grpc.listen": f"{listen} is open to other machines: {lacking}; "
        "or grpc.insecure = true, where something else guards the way to it"
    }
    assert settings(f'[grpc]\nlisten = "{listen}"\ninsecure = true\n{keys}').grpc.insecure


@pytest.mark.parametrize("keys", [CERT + CLIENT_CA, CERT + tables(TOKEN), CERT + CLIENT_CA + tables(TOKEN)])
def test_tls_with_callers_that_are_known_may_listen_anywhere(keys: str) -> None:
    assert settings(f'[grpc]\nlisten = "0.0.0.0:9090"\n{keys}').grpc.insecure is False


def test_a_door_that_the_environment_opens_is_its_fault() -> None:
    assert faults(DATABASE, {"HYDRA_GRPC__LISTEN": "0.0.0.0:9090"}).keys() == {"HYDRA_GRPC__LISTEN"}


def test_health_and_reflection_may_ask_for_what_nobody_needs() -> None:
    read = settings('[grpc]\nhealth = "authenticated"\nreflection = "authenticated"\n')

    assert (read.grpc.health, read.grpc.reflection) == ("authenticated", "authenticated")


@pytest.mark.parametrize(
    ("keys", "key", "words"),
    [
        ('tls_cert_file = "c"', "tls_key_file", "is required because grpc.tls_cert_file is set"),
        ('tls_key_file = "k"', "tls_cert_file", "is required because grpc.tls_key_file is set"),
        (CLIENT_CA, "tls_client_ca_file", "needs grpc.tls_cert_file and grpc.tls_key_file: it is a part of TLS"),
        ('health = "closed"', "health", "must be 'open', 'authenticated' or 'off' (got 'closed')"),
        ("max_concurrent_streams = 0", "max_concurrent_streams", "must be greater than or equal to 1 (got 0)"),
        ("max_waiting_calls = 100001", "max_waiting_calls", "must be less than or equal to 100000 (got 100001)"),
        ('keepalive_interval = "500ms"', "keepalive_interval", "must lie between 1s and 1h (got 500ms)"),
        ('keepalive_timeout = "11m"', "keepalive_timeout", "must lie between 1s and 10m (got 11m)"),
        ('min_client_ping_interval = "99ms"', "min_client_ping_interval", "must lie between 100ms and 1h (got 99ms)"),
    ],
)
def test_a_fault_of_the_door_has_its_key(keys: str, key: str, words: str) -> None:
    assert faults(f"{DATABASE}[grpc]\n{keys}") == {f"grpc.{key}": words}


# ----------------------------------------------------------------------------------------------------- client


def test_the_client_speaks_tls_with_a_certificate_of_its_own() -> None:
    read = settings(f'[client]\ntoken = "hydra_A-_.~+/="\ntls = true\ntls_server_name = "name"\n{CERT}').client

    assert read.token.get_secret_value() == "hydra_A-_.~+/="
    assert (read.tls, read.tls_cert_file, read.tls_key_file) == (True, "cert.pem", "key.pem")


@pytest.mark.parametrize("token", ["hydra s3cr3t", "s3cr3t\\n", "s3cr3t\\u00e9", "=s3cr3t"])
def test_what_cannot_be_a_token_is_refused(token: str) -> None:
    found = faults(f'{DATABASE}[client]\ntoken = "{token}"')

    assert found == {"client.token": "holds what no token has: its characters are A-Z, a-z, 0-9 and -._~+/="}


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ('tls = true\ntls_cert_file = "c"', {"tls_key_file": "is required because client.tls_cert_file is set"}),
        ('tls_ca_file = "ca"\ntls_key_file = "k"', {"tls_cert_file": "is required because client.tls_key_file is set"}),
        (CERT, dict.fromkeys(("tls_cert_file", "tls_key_file"), "is of no use without TLS")),
        ('tls_server_name = "name"', {"tls_server_name": "is of no use without TLS"}),
    ],
)
def test_the_client_needs_tls_whole(keys: str, found: dict[str, str]) -> None:
    said = faults(f"{DATABASE}[client]\n{keys}")

    assert said.keys() == {f"client.{key}" for key in found}
    for key, words in found.items():
        assert said[f"client.{key}"].startswith(words)


# ---------------------------------------------------------------------------------------------------- Restate


def test_identity_keys_come_from_the_file_or_with_commas_from_the_environment() -> None:
    assert settings().restate.identity_keys == ()
    assert settings(f'[restate]\nidentity_keys = ["{KEY}"]').restate.identity_keys == (KEY,)
    assert settings("", {"HYDRA_RESTATE__IDENTITY_KEYS": f"{KEY}, {KEY}"}).restate.identity_keys == (KEY, KEY)
    assert settings("", {"HYDRA_RESTATE__IDENTITY_KEYS": ""}).restate.identity_keys == ()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("5", 'must be a list of keys such as ["publickeyv1_..."]'),
        (f'["{KEY}", "s3cr3t"]', "holds in place 1 what is not a public key such as publickeyv1_..."),
        (f'["{KEY}0"]', "holds in place 0 what is not a public key"),
        ('["publickeyv1_"]', "holds in place 0 what is not a public key"),
        ('["privatekeyv1_s3cr3t"]', "holds in place 0 what is not a public key"),
        ("[1]", "holds in place 0 what is not a public key"),
    ],
)
def test_what_is_no_identity_key_is_refused(value: str, words: str) -> None:
    found = faults(f"{DATABASE}[restate]\nidentity_keys = {value}")

    assert found.keys() == {"restate.identity_keys"}
    assert found["restate.identity_keys"].startswith(words)


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0), ("0", 0), ("90s", 90), ("1h", 3600)])
def test_waiting_may_hold_nothing_of_this_worker_at_all(text: str, seconds: int) -> None:
    assert settings().restate.inactivity_timeout == timedelta(minutes=5)
    assert settings(f'[restate]\ninactivity_timeout = "{text}"').restate.inactivity_timeout.total_seconds() == seconds
    read = settings("", {"HYDRA_RESTATE__INACTIVITY_TIMEOUT": text})
    assert read.restate.inactivity_timeout.total_seconds() == seconds


def test_limits_have_their_defaults() -> None:
    read = settings().grpc

    assert (read.max_concurrent_streams, read.max_waiting_calls) == (1000, 1000)
    assert (read.keepalive_interval, read.keepalive_timeout) == (timedelta(minutes=1), timedelta(seconds=20))
    assert read.min_client_ping_interval == timedelta(seconds=10)
