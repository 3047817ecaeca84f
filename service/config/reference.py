"""The tables that the reference's configuration file has, key by key (03 · 6).

A table or key marked "not used" belongs to a part that this release does not have. It is accepted, so that
one file serves every program of an installation, and nothing is required of it: its secrets need not be
known here.
"""

from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import Field, SecretStr

from service.config.credentials import IdentityKeys
from service.config.table import ReferenceTable
from service.config.values import ClickhouseUrl, DatabaseDsn, HttpUrl, duration

_EMPTY = SecretStr("")


class DatabaseSettings(ReferenceTable):
    """Where the rows are: a Go MySQL DSN or `sqlite:///path`."""

    ours: ClassVar[frozenset[str]] = frozenset({"primary_file", "readonly_replica_file"})

    primary: DatabaseDsn
    primary_file: str = ""
    readonly_replica: DatabaseDsn = _EMPTY
    readonly_replica_file: str = ""


class VaultSettings(ReferenceTable):
    """Not used."""

    url: str = ""
    token: SecretStr = _EMPTY


class Route53Settings(ReferenceTable):
    """Not used."""

    enabled: bool = False
    access_key_id: str = ""
    secret_access_key: SecretStr = _EMPTY
    region: str = "us-east-1"
    hosted_zone_id: str = ""


class AcmeSettings(ReferenceTable):
    """Not used."""

    enabled: bool = False
    email_domain: str = "unkey.com"
    route53: Route53Settings = Route53Settings()


class RestateSettings(ReferenceTable):
    """How to reach the Restate server and how it reaches this worker."""

    ours: ClassVar[frozenset[str]] = frozenset(
        {"api_key_file", "ingress_url", "http_host", "identity_keys", "inactivity_timeout"}
    )

    admin_url: HttpUrl = "http://restate:9070"
    api_key: SecretStr = _EMPTY
    api_key_file: str = ""
    http_port: int = Field(default=9080, ge=1, le=65535)
    register_as: HttpUrl = ""
    ingress_url: HttpUrl = "http://restate:8080"
    http_host: str = Field(default="0.0.0.0", min_length=1)  # noqa: S104 - the Restate server calls from another host
    identity_keys: IdentityKeys = ()
    inactivity_timeout: Annotated[timedelta, duration(timedelta(), timedelta(hours=1))] = timedelta(minutes=5)


class DepotSettings(ReferenceTable):
    """The remote builder. Its token is `registry.password`."""

    api_url: HttpUrl = ""
    project_region: str = "us-east-1"


class RegistrySettings(ReferenceTable):
    """The image registry that builds are pushed to."""

    ours: ClassVar[frozenset[str]] = frozenset({"password_file"})

    url: str = ""
    username: str = ""
    password: SecretStr = _EMPTY
    password_file: str = ""


class ClickhouseSettings(ReferenceTable):
    """Analytics. A URL holds a password, so it is a secret as a whole. `admin_url` is not used."""

    ours: ClassVar[frozenset[str]] = frozenset({"url_file"})

    url: ClickhouseUrl = _EMPTY
    url_file: str = ""
    admin_url: SecretStr = _EMPTY


class GithubSettings(ReferenceTable):
    """The GitHub App, and where GitHub is: the addresses differ for GitHub Enterprise."""

    ours: ClassVar[frozenset[str]] = frozenset({"private_key_pem_file", "api_url", "clone_url"})

    app_id: int = Field(default=0, ge=0, lt=2**63)
    private_key_pem: SecretStr = _EMPTY
    private_key_pem_file: str = ""
    allow_unauthenticated_deployments: bool = False
    api_url: HttpUrl = "https://api.github.com"
    clone_url: HttpUrl = "https://github.com"


class HeartbeatSettings(ReferenceTable):
    """Not used. Such URLs hold a token in their path."""

    cert_renewal_url: SecretStr = _EMPTY
    quota_check_url: SecretStr = _EMPTY
    key_refill_url: SecretStr = _EMPTY
    key_last_used_sync_url: SecretStr = _EMPTY


class SlackSettings(ReferenceTable):
    """Not used. A webhook's URL is its secret."""

    quota_check_webhook_url: SecretStr = _EMPTY


class TracingSettings(ReferenceTable):
    """Not used."""

    sample_rate: float = 0.25


class LoggingSettings(ReferenceTable):
    """Not used: see `[log]`."""

    sample_rate: float = 1.0
    slow_threshold: str = "1s"


class MetricsSettings(ReferenceTable):
    """Not used."""

    prometheus_port: int = 0


class ObservabilitySettings(ReferenceTable):
    """Not used."""

    tracing: TracingSettings | None = None
    logging: LoggingSettings | None = None
    metrics: MetricsSettings | None = None
