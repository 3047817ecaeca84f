"""Secrets that stand in files of their own."""

from pathlib import Path

import pytest

from service.config import parse
from tests.configuration import DATABASE, DSN, faults, settings

KEYS = {
    "database.primary": DSN,
    "database.readonly_replica": DSN,
    "restate.api_key": "s3cr3t $HOME",
    "registry.password": "s3cr3t",
    "clickhouse.url": "clickhouse://default:s3cr3t@clickhouse:9000/default",
    "github.private_key_pem": "-----BEGIN s3cr3t-----\nlines\n-----END-----",
    "client.token": "hydra_s3cr3t",
}


def configured(key: str, file: Path) -> str:
    """Write a configuration that names the file of a key."""
    keys = {f"{key}_file": str(file)}
    if key != "database.primary":
        keys["database.primary"] = DSN
    if key == "registry.password":
        keys |= {"registry.url": "registry", "registry.username": "user", "depot.api_url": "https://depot"}
    return "".join(f'{name} = "{value}"\n' for name, value in keys.items())


def value_of(key: str, text: str) -> str:
    table, name = key.split(".")
    value: str = getattr(getattr(parse(text, {}), table), name).get_secret_value()
    return value


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=["no newline", "newline", "a newline of Windows"])
def test_a_secret_may_stand_in_a_file(key: str, end: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(f"{KEYS[key]}{end}".encode())

    assert value_of(key, configured(key, file)) == KEYS[key]


def test_one_newline_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cr3t\n\n")

    assert value_of("restate.api_key", configured("restate.api_key", file)) == "s3cr3t\n"


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "names a file that cannot be read: No such file or directory"),
        (b"", "names a file that is empty"),
        (b"\n", "names a file that is empty"),
        (b"s3cr3t\xff", "names a file that is not UTF-8"),
    ],
    ids=["missing", "empty", "a newline", "binary"],
)
def test_a_file_without_a_secret_is_the_only_fault(key: str, content: bytes | None, words: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)

    assert faults(configured(key, file)) == {f"{key}_file": words}


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert faults(configured("client.token", tmp_path)) == {
        "client.token_file": "names a file that cannot be read: Is a directory"
    }


@pytest.mark.parametrize(
    ("key", "content", "words"),
    [
        ("database.primary", "user:s3cr3t@tcp(host)/name", ""),
        ("clickhouse.url", "s3cr3t", ""),
        ("client.token", "hydra s3cr3t", "holds what no token has"),
    ],
)
def test_what_stands_in_a_file_is_checked_and_told_of_by_the_key_that_names_it(
    key: str, content: str, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text(content)
    found = faults(configured(key, file))

    assert found.keys() == {f"{key}_file"}
    assert found[f"{key}_file"].startswith(words)


def test_a_secret_is_given_once(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(DSN)

    assert faults(f'{DATABASE}primary_file = "{file}"') == {
        "database.primary_file": "is set as well as database.primary: set one of the two"
    }


def test_rules_between_keys_hold_for_a_secret_in_a_file(tmp_path: Path) -> None:
    password, replica = tmp_path / "password", tmp_path / "replica"
    password.write_text("s3cr3t")
    replica.write_text("sqlite:///replica.db")

    assert faults(f'registry.password_file = "{password}"\n{DATABASE}readonly_replica_file = "{replica}"') == {
        "database.readonly_replica_file": "must be the same kind of database as database.primary",
        **dict.fromkeys(
            ("registry.url", "registry.username", "depot.api_url"), "is required because registry.password is set"
        ),
    }


def test_the_environment_names_files_too(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hydra_s3cr3t\n")
    variable = "HYDRA_CLIENT__TOKEN_FILE"

    assert settings("", {variable: str(file)}).client.token.get_secret_value() == "hydra_s3cr3t"
    file.write_text("hydra s3cr3t\n")
    assert faults(DATABASE, {variable: str(file)}).keys() == {variable}
    assert faults(DATABASE, {variable: str(tmp_path / "none")}).keys() == {variable}


def test_a_table_that_is_none_leaves_the_fault_of_the_file() -> None:
    assert faults('client = "x"\n' + DATABASE) == {"client": "must be a table"}


def test_what_names_a_file_is_a_text() -> None:
    assert faults(DATABASE + "[client]\ntoken_file = 5") == {"client.token_file": "must be a valid string (got 5)"}


def test_no_secret_of_a_file_shows_when_settings_are_printed(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hydra_s3cr3t")
    read = settings(f'[client]\ntoken_file = "{file}"')

    assert "s3cr3t" not in f"{read!s} {read!r} {read.client.model_dump()}"
