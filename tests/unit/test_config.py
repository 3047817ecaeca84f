"""The configuration: what is accepted, what is refused, in which words, and that no word is a secret."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from service.config import ConfigError, Settings, load, parse
from service.config.environment import expand
from service.config.table import leaves
from service.config.values import format_duration, parse_duration
from tests.configuration import DATABASE, DSN, faults, settings

# The shape of a file that an installation of the reference has.
REFERENCE_FILE = """
instance_id = "ins_worker1"
region = "us-east-1"
default_domain = "example.app"
dashboard_url = "https://dashboard.example.com/"
build_platform = "/linux/arm64"
sentinel_image = "registry.example.com/sentinel:v3"
cname_domain = "cname.example.com."

[database]
primary = "${DB_USER}:$DB_PASSWORD@tcp(mysql:3306)/unkey?parseTime=true&interpolateParams=true"
readonly_replica = ""

[vault]
url = "http://vault:8060"
token = "s3cr3t-vault"

[acme]
enabled = true
email_domain = "example.com"
[acme.route53]
enabled = true
access_key_id = ""                # kept from this process
secret_access_key = "$AWS_SECRET"
region = "eu-central-1"

[restate]
admin_url = "http://restate:9070"
api_key = "s3cr3t-restate"
http_port = 0
register_as = "http://worker:9080"

[depot]
api_url = "https://api.depot.dev"
project_region = ""

[registry]
url = "registry.depot.dev"
username = "x-token"
password = "$DEPOT_TOKEN"

[clickhouse]
url = "clickhouse://default:s3cr3t-clickhouse@clickhouse:9000?secure=false"
admin_url = "clickhouse://admin:s3cr3t-clickhouse@clickhouse:9000"

[github]
app_id = 123456
private_key_pem = '''$GITHUB_KEY'''
allow_unauthenticated_deployments = true

[heartbeat]
cert_renewal_url = "https://heartbeat.example.com/s3cr3t-path"

[slack]
quota_check_webhook_url = "https://hooks.example.com/s3cr3t-path"

[observability.tracing]
sample_rate = 0
[observability.logging]
sample_rate = 0.5
slow_threshold = "2s"
[observability.metrics]
prometheus_port = 9100

[a_part_of_next_year]
key = "value"
"""
REFERENCE_ENVIRONMENT = {
    "DB_USER": "unkey",
    "DB_PASSWORD": "s3cr3t:with@signs/",
    "DEPOT_TOKEN": "s3cr3t-depot",
    "GITHUB_KEY": "-----BEGIN s3cr3t-----\nlines\n-----END-----\n",
}


def test_a_file_of_the_reference_is_accepted_as_it_is() -> None:
    read = parse(REFERENCE_FILE, REFERENCE_ENVIRONMENT)

    primary = read.database.primary.get_secret_value()
    assert primary.startswith("unkey:s3cr3t:with@signs/@tcp(mysql:3306)/unkey?")
    assert read.default_domain == "example.app"
    assert read.dashboard_url == "https://dashboard.example.com"
    assert read.build_platform == "linux/arm64"
    assert read.restate.register_as == "http://worker:9080"
    assert read.registry.password.get_secret_value() == "s3cr3t-depot"
    assert read.github is not None
    assert read.github.app_id == 123456
    assert read.github.private_key_pem.get_secret_value() == REFERENCE_ENVIRONMENT["GITHUB_KEY"]
    assert read.observability.metrics is not None
    assert read.ignored_keys == ("a_part_of_next_year",)


def test_zero_values_of_the_reference_are_replaced_by_defaults() -> None:
    read = parse(REFERENCE_FILE, REFERENCE_ENVIRONMENT)

    assert read.restate.http_port == 9080
    assert read.depot.project_region == "us-east-1"
    assert read.observability.tracing is not None
    assert read.observability.tracing.sample_rate == 0.25


def test_the_smallest_file_names_the_database_and_nothing_else() -> None:
    read = parse('[database]\nprimary = "sqlite:///hydra.db"', {})

    assert read.instance_id.startswith("ins_")
    assert read.instance_id != parse('[database]\nprimary = "sqlite:///hydra.db"', {}).instance_id
    assert read.github is None
    assert read.deploy.health_timeout == timedelta(minutes=15)
    assert read.ignored_keys == ()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        settings().grpc.listen = "0.0.0.0:1"


# ---------------------------------------------------------------------------------------------------- faults


NO_URL = "must be an address such as http://host:port"
NO_PLATFORM = "must be linux/<architecture>, such as linux/amd64"
NO_LISTEN = "must be host:port, such as 127.0.0.1:9090 or [::]:9090"
NO_PAUSE = "must be a duration in quotes, such as"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("restate.http_port", "70000", "must be less than or equal to 65535 (got 70000)"),
        ("restate.http_port", '"9080"', "must be a valid integer (got '9080')"),
        ("restate.http_port", "true", "must be a valid integer (got True)"),
        ("restate.admin_url", '"restate:9070"', NO_URL),
        ("restate.admin_url", '"http://host:0"', NO_URL),
        ("restate.admin_url", '"http://host:70000"', NO_URL),
        ("restate.ingress_url", '""', NO_URL),
        ("restate.http_host", '""', "must have at least 1 character (got '')"),
        ("restate.inactivity_timeout", '"-1s"', "must lie between 0s and 1h (got -1s)"),
        ("restate.inactivity_timeout", '"61m"', "must lie between 0s and 1h (got 1h1m)"),
        ("restate.inactivity_timeout", '""', "is not a duration such as"),
        ("region", "5", "must be a valid string (got 5)"),
        ("region", "[]", "must be a valid string"),
        ("build_platform", '"windows/amd64"', NO_PLATFORM),
        ("build_platform", '"linux/arm/v7"', NO_PLATFORM),
        ("default_domain", '"https://example.com"', "must be a domain such as example.com"),
        ("default_domain", '"-.example.com"', "must be a domain such as example.com"),
        ("sentinel_image", f'"{"x" * 256}"', "must have at most 255 characters"),
        ("github", "true", "must be a table"),
        ("github.app_id", "-1", "must be greater than or equal to 0"),
        ("grpc.listen", '"9090"', f"{NO_LISTEN} (got '9090')"),
        ("grpc.listen", '"localhost:70000"', NO_LISTEN),
        ("grpc.listen", '"::1:9090"', "needs brackets round an IPv6 address"),
        ("grpc.max_message_bytes", "0", "must be greater than or equal to 1024 (got 0)"),
        ("grpc.drain_timeout", '"0s"', "must lie between 1ms and 1h (got 0s)"),
        ("grpc.drain_timeout", '"-1s"', "must lie between 1ms and 1h (got -1s)"),
        ("grpc.drain_timeout", '"90000h"', "must lie between 1ms and 1h (got 90000h)"),
        ("grpc.drain_timeout", '"30"', "is not a duration such as"),
        ("grpc.drain_timeout", "30", f'{NO_PAUSE} "30s" (got 30)'),
        ("grpc.listn", '"x"', "is unknown; did you mean listen?"),
        ("grpc.zzz", '"x"', "is unknown; known are listen, insecure, tls_cert_file, "),
        ("grpc.tls_cert", '"x"', "is unknown"),
        ("grcp.listen", '"x"', "is unknown; did you mean grpc?"),
        ("restate.ingres_url", '"http://restate:8080"', "is unknown; did you mean ingress_url?"),
        ("build.tries", "0", "must be greater than or equal to 1 (got 0)"),
        ("build.timeout", '"0s"', "must lie between 1s and 24h (got 0s)"),
        ("deploy.health_poll", '"soon"', "is not a duration such as"),
        ("services.routing", '"yes"', "must be a valid boolean (got 'yes')"),
        ("log.level", '"loud"', "must be 'debug', 'info', 'warning' or 'error' (got 'loud')"),
        ("log.format", '""', "must be 'json' or 'text' (got '')"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(key: str, value: str, words: str) -> None:
    found = faults(f"{key} = {value}\n{DATABASE}")

    named = "grcp" if key.startswith("grcp") else key
    assert found.keys() == {named}
    assert found[named].startswith(words)


@pytest.mark.parametrize("key", ["health_poll", "health_steady"])
def test_looking_takes_less_time_than_waiting(key: str) -> None:
    assert faults(f'{DATABASE}[deploy]\nhealth_timeout = "50ms"').keys() == {
        "deploy.health_poll",
        "deploy.health_steady",
    }
    found = faults(f'{DATABASE}[deploy]\nhealth_timeout = "5s"\n{key} = "5s"')

    assert found == {f"deploy.{key}": "must be shorter than deploy.health_timeout"}


@pytest.mark.parametrize("text", ["", "[database]", 'database.primary = ""', 'database.primary = "$NOT_SET"'])
def test_the_database_is_required(text: str) -> None:
    assert faults(text) == {"database.primary": "is required"}


@pytest.mark.parametrize("missing", ["depot.api_url", "registry.url", "registry.username"])
def test_a_registry_password_requires_what_it_is_for(missing: str) -> None:
    keys = {"depot.api_url": "https://api.depot.dev", "registry.url": "registry", "registry.username": "user"}
    keys |= {missing: "", "registry.password": "s3cr3t"}
    text = "".join(f'{key} = "{value}"\n' for key, value in keys.items())

    assert faults(text + DATABASE) == {missing: "is required because registry.password is set"}


SOCKET = "unix:///run/buildkit.sock"
BUILDER = {"build.address": SOCKET, "registry.url": "registry"}
TLS = {"build.tls_ca_file": "ca.pem", "build.tls_cert_file": "cert.pem", "build.tls_key_file": "key.pem"}


@pytest.mark.parametrize(
    ("changed", "key", "words"),
    [
        ({"build.address": "/run/buildkit.sock"}, "build.address", "must be unix:///path, tcp://host:port or docker"),
        ({"build.address": "tcp://host"}, "build.address", "must be unix:///path, tcp://host:port or docker"),
        ({"registry.url": ""}, "registry.url", "is required because build.address is set"),
        ({"build.fork_address": SOCKET}, "build.fork_address", "must be another BuildKit than build.address"),
        (TLS, "build.address", "must be tcp://host:port where build.tls_* is set"),
        (TLS | {"build.address": "tcp://h:1", "build.tls_key_file": ""}, "build.tls_key_file", "is required because"),
    ],
)
def test_a_builder_of_ones_own_has_all_that_it_needs(changed: dict[str, str], key: str, words: str) -> None:
    text = "".join(f'{name} = "{value}"\n' for name, value in (BUILDER | changed).items())
    found = faults(text + DATABASE)

    assert found.keys() == {key}
    assert found[key].startswith(words)


def test_a_fork_builder_alone_is_of_no_use() -> None:
    assert faults(f'build.fork_address = "{SOCKET}"\n{DATABASE}') == {
        "build.fork_address": "is of no use without build.address"
    }


def test_with_a_builder_of_ones_own_the_registrys_password_is_not_depots() -> None:
    keys = BUILDER | {"registry.username": "user", "registry.password": "s3cr3t"}
    read = parse("".join(f'{name} = "{value}"\n' for name, value in keys.items()) + DATABASE, {})

    assert read.build.address == SOCKET


def test_the_replica_is_the_same_kind_of_database() -> None:
    found = faults(f'{DATABASE}readonly_replica = "sqlite:///replica.db"')

    assert found == {"database.readonly_replica": "must be the same kind of database as database.primary"}
    assert settings(f'readonly_replica = "{DSN}"').database.readonly_replica.get_secret_value() == DSN


def test_a_part_that_we_do_not_have_requires_nothing() -> None:
    settings("[acme]\nenabled = true\n[acme.route53]\nenabled = true\n")


def test_unknown_keys_of_the_reference_are_ignored_and_listed() -> None:
    read = settings('[vault]\nurl = "http://vault"\nfuture = 1\n[database_of_tomorrow]\nprimary = "x"\n')

    assert read.ignored_keys == ("database_of_tomorrow", "vault.future")


def test_all_faults_are_reported_together() -> None:
    text = """
        default_domain = "not a domain"
        [database]
        primary = "user:s3cr3t@tcp(host)/name"
        [restate]
        http_port = 99999
        [registry]
        password = "s3cr3t"
        [grpc]
        listen = "nowhere"
        port = 1
        [deploy]
        health_poll = "soon"
        [observability.metrics]
        prometheus_port = "many"
    """

    found = faults(text, {"HYDRA_LOG__LEVEL": "loud", "HYDRA_GRPC__LISTN": "x"})

    assert found.keys() == {
        "default_domain",
        "database.primary",
        "restate.http_port",
        "depot.api_url",
        "registry.url",
        "registry.username",
        "grpc.listen",
        "grpc.port",
        "deploy.health_poll",
        "observability.metrics.prometheus_port",
        "HYDRA_LOG__LEVEL",
        "HYDRA_GRPC__LISTN",
    }


# --------------------------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize(
    "dsn",
    [
        "user:s3cr3t@tcp(host:3306)/name",
        "user:s3cr3t@tcp(host:3306)name?parseTime=true",
        "user:s3cr3t@host:port/name?parseTime=true",
        "user:s3cr3t@tcp(host:no-port)/name?parseTime=true",
        "user:s3cr3t@tcp(host/na%ZZme?parseTime=true",
        "mysql://user:s3cr3t@host/name?parseTime=true",
        "postgres://user:s3cr3t@host/name",
        "sqlite://user:s3cr3t@host/name",
    ],
)
@pytest.mark.parametrize("key", ["primary", "readonly_replica"])
def test_a_wrong_dsn_is_a_fault_that_does_not_show_it(dsn: str, key: str) -> None:
    keys = {"primary": DSN} | {key: dsn}
    found = faults("[database]\n" + "".join(f'{name} = "{value}"\n' for name, value in keys.items()))

    assert found.keys() == {f"database.{key}"}
    assert "s3cr3t" not in str(found)


@pytest.mark.parametrize(
    "text",
    [
        '[database]\nprimary = ["s3cr3t"]',
        'database = "s3cr3t"',
        'registry = "s3cr3t"\n' + DATABASE,
        DATABASE + '[registry]\npassword = { is = "s3cr3t" }',
        DATABASE + '[restate]\nadmin_url = "http://user:s3cr3t@host"',
        DATABASE + '[restate]\nadmin_url = "http://host?token=s3cr3t"',
        DATABASE + '[restate]\nadmin_url = "s3cr3t"',
        DATABASE + '[grpc]\npassword = "s3cr3t"',
        DATABASE + '[github]\nprivate_key_pem = "s3cr3t\n',
        DATABASE + "[github]\nprivate_key_pem = s3cr3t",
    ],
)
def test_no_fault_shows_a_secret(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, {"HYDRA_LOG__PASSWORD": "s3cr3t"})

    assert "s3cr3t" not in f"{caught.value!s} {caught.value!r} {caught.value.faults}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_no_secret_shows_when_settings_are_printed() -> None:
    read = parse(REFERENCE_FILE, REFERENCE_ENVIRONMENT)

    assert "s3cr3t" not in f"{read!s} {read!r} {read.model_dump()} {read.model_dump_json()}"


def test_every_key_that_sounds_like_a_secret_is_one() -> None:
    telling = ("password", "token", "secret", "api_key", "pem", "primary", "replica", "webhook", "clickhouse")
    found = {
        ".".join(path)
        for path, field in leaves(Settings)
        if any(word in ".".join(path) for word in telling)
        and not path[-1].endswith("_file")
        and field.annotation is not SecretStr
        and field.repr
    }

    assert found == {"grpc.tokens.name", "grpc.tokens.role", "grpc.tokens.expires"}


# ----------------------------------------------------------------------------------------------- environment


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$NAME", "value"),
        ("${NAME}s", "values"),
        ("$NAME$NAME", "valuevalue"),
        ("$NAMES", ""),
        ("${NOT_SET}", ""),
        ("a $ b", "a $ b"),
        ("$/x", "$/x"),
        ("a$1b$$c", "abc"),
        ("${}", ""),
        ("${NAME", "NAME"),
        ("$EMPTY", ""),
    ],
)
def test_variables_expand_as_in_go(text: str, expanded: str) -> None:
    assert expand(text, {"NAME": "value", "EMPTY": ""}) == expanded


def test_the_environment_overrides_the_file() -> None:
    read = settings(
        '[grpc]\nlisten = "127.0.0.1:1"\n[deploy]\nquota_surge = true\n',
        {
            "HYDRA_DATABASE__PRIMARY": "sqlite:///other.db",
            "HYDRA_GRPC__LISTEN": "127.0.0.1:2",
            "HYDRA_DEFAULT_DOMAIN": "example.org",
            "HYDRA_RESTATE__HTTP_PORT": "9999",
            "HYDRA_DEPLOY__QUOTA_SURGE": "false",
            "HYDRA_DEPLOY__HEALTH_TIMEOUT": "1m30s",
            "HYDRA_OBSERVABILITY__TRACING__SAMPLE_RATE": "0.5",
            "HYDRA_GITHUB__APP_ID": "7",
            "HYDRA_REGION": "$NOT_EXPANDED",
        },
    )

    assert read.database.primary.get_secret_value() == "sqlite:///other.db"
    assert read.grpc.listen == "127.0.0.1:2"
    assert read.default_domain == "example.org"
    assert read.restate.http_port == 9999
    assert read.deploy.quota_surge is False
    assert read.deploy.health_timeout == timedelta(seconds=90)
    assert read.observability.tracing is not None
    assert read.observability.tracing.sample_rate == 0.5
    assert read.github is not None
    assert read.github.app_id == 7
    assert read.region == "$NOT_EXPANDED"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("HYDRA_GRPC__LISTEN", "nowhere", "must be host:port"),
        ("HYDRA_RESTATE__HTTP_PORT", "many", "must be a valid integer (got 'many')"),
        ("HYDRA_SERVICES__DEPLOY", "maybe", "must be a valid boolean (got 'maybe')"),
        ("HYDRA_DATABASE__PRIMARY", "", "is required"),
        ("HYDRA_DATABASE__PRIMARI", "x", "is unknown; did you mean primary?"),
        ("HYDRA_DATABAS__PRIMARY", "x", "is unknown; did you mean database?"),
        ("HYDRA_GRPC__LISTEN__PORT", "1", "is unknown"),
        ("HYDRA_DATABASE", "x", "names a table; its keys are primary, primary_file, "),
        ("HYDRA_DEFAULT_DOMAIM", "x", "is unknown; did you mean default_domain?"),
    ],
)
def test_a_fault_of_a_variable_has_its_name(variable: str, value: str, words: str) -> None:
    found = faults(DATABASE, {variable: value})

    assert found.keys() == {variable}
    assert found[variable].startswith(words)


def test_variables_of_others_are_left_alone() -> None:
    others = ("HYDRA", "HYDRA_RESTATE_SERVER", "HYDRA_PORT_9090_TCP", "HYDRA_SERVICE_HOST")

    assert settings("", dict.fromkeys(others, "x")).ignored_keys == ()


def test_an_override_below_a_plain_value_leaves_the_fault_of_the_file() -> None:
    assert faults('database = "x"', {"HYDRA_DATABASE__PRIMARY": DSN}) == {"database": "must be a table"}


# ----------------------------------------------------------------------------------------------------- files


def test_the_file_is_given_or_named_by_the_environment_or_unkey_toml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("given", "named", "unkey"):
        (tmp_path / f"{name}.toml").write_text(f'region = "{name}"\n{DATABASE}')
    monkeypatch.chdir(tmp_path)

    assert load(Path("given.toml"), {"UNKEY_CONFIG": "named.toml"}).region == "given"
    assert load(None, {"UNKEY_CONFIG": "named.toml"}).region == "named"
    assert load(None, {}).region == "unkey"


def test_settings_know_the_file_that_they_are_from(tmp_path: Path) -> None:
    file = tmp_path / "hydra.toml"
    file.write_text(DATABASE)

    assert load(file, {}).source == file
    assert load(None, {"UNKEY_CONFIG": str(file)}).source == file
    assert settings().source is None


def test_a_file_that_cannot_be_used_is_a_fault_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "broken.toml").write_text("region = \n")

    for name, words in (
        ("hydra.yaml", "its name must end in .toml"),
        ("missing.toml", "cannot be read: No such file or directory"),
        ("binary.toml", "is not UTF-8"),
        ("broken.toml", "is not TOML: Invalid value (at line 1, column 10)"),
    ):
        file = str(tmp_path / name)
        with pytest.raises(ConfigError) as caught:
            load(tmp_path / name, {})
        assert caught.value.faults == ((file, words),)


# ------------------------------------------------------------------------------------------------- durations


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("0", 0),
        ("1h30m", 5_400_000_000),
        ("1.5s", 1_500_000),
        (".5s", 500_000),
        ("1.s", 1_000_000),
        ("+2ms", 2_000),
        ("-2ms", -2_000),
        ("3us", 3),
        ("3µs", 3),
        ("3μs", 3),
        ("1600ns", 2),
        ("1m1m", 120_000_000),
    ],
)
def test_durations_are_gos(text: str, microseconds: int) -> None:
    assert parse_duration(text) == timedelta(microseconds=microseconds)


@pytest.mark.parametrize(
    "text", ["", "1", "s", ".s", "1 s", "1d", "1h 3m", "--1s", "1s!", "1,5s", "٣s", "9" * 400 + "h"]
)
def test_what_go_refuses_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=3650)))
def test_a_written_duration_reads_back(value: timedelta) -> None:
    assert parse_duration(format_duration(value)) == value
