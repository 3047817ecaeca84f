"""The tables of the configuration file that only this service reads."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from service.config.credentials import BearerToken, Moment, TokenHash, TokenName, Tokens
from service.config.table import OwnTable
from service.config.values import BuilderAddress, ListenAddress, Networks, duration

_SECOND = timedelta(seconds=1)
_MILLISECOND = timedelta(milliseconds=1)
_HOUR = timedelta(hours=1)

# How long a thing that an operator or a caller waits for may last, and how often one may look.
_Wait = Annotated[timedelta, duration(_MILLISECOND, 24 * _HOUR)]
_Pause = Annotated[timedelta, duration(_MILLISECOND, 60 * _SECOND)]


Role = Literal["deploy", "operate", "read"]
# Whom the gRPC server answers: everybody, who shows a token or a certificate, or nobody.
Access = Literal["open", "authenticated", "off"]


class TokenSettings(OwnTable):
    """A token that the gRPC server takes; its SHA-256 is known here, the token itself is not."""

    name: TokenName
    role: Role
    sha256: TokenHash = Field(repr=False)
    expires: Moment | None = None


class GrpcSettings(OwnTable):
    """The gRPC server."""

    listen: ListenAddress = "127.0.0.1:9090"
    insecure: bool = False
    tls_cert_file: str = ""
    tls_key_file: str = ""
    tls_client_ca_file: str = ""
    tokens: Annotated[tuple[TokenSettings, ...], Tokens] = ()
    health: Access = "open"
    reflection: Access = "authenticated"
    max_message_bytes: int = Field(default=4 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    max_concurrent_streams: int = Field(default=1000, ge=1, le=100_000)
    max_waiting_calls: int = Field(default=1000, ge=1, le=100_000)
    keepalive_interval: Annotated[timedelta, duration(_SECOND, _HOUR)] = 60 * _SECOND
    keepalive_timeout: Annotated[timedelta, duration(_SECOND, 600 * _SECOND)] = 20 * _SECOND
    min_client_ping_interval: Annotated[timedelta, duration(100 * _MILLISECOND, _HOUR)] = 10 * _SECOND
    drain_timeout: Annotated[timedelta, duration(_MILLISECOND, _HOUR)] = 30 * _SECOND


class ClientSettings(OwnTable):
    """How this program's own commands reach the gRPC server."""

    token: BearerToken = SecretStr("")
    token_file: str = ""
    tls: bool = False
    tls_ca_file: str = ""
    tls_cert_file: str = ""
    tls_key_file: str = ""
    tls_server_name: str = ""


class DeploySettings(OwnTable):
    """How long a deploy waits for what, and what it may use."""

    health_timeout: _Wait = 15 * 60 * _SECOND
    health_poll: _Pause = 50 * _MILLISECOND
    health_steady: _Pause = 75 * _MILLISECOND
    health_flap_steady: _Pause = 2 * _SECOND
    health_stale_steady: _Pause = 10 * _SECOND
    standby_delay: Annotated[timedelta, duration(_MILLISECOND, 30 * 24 * _HOUR)] = 30 * 60 * _SECOND
    step_timeout: Annotated[timedelta, duration(_SECOND, _HOUR)] = 10 * 60 * _SECOND
    quota_surge: bool = True
    idle_time: Annotated[timedelta, duration(_SECOND, 30 * 24 * _HOUR)] = 6 * _HOUR
    request_log_lag: Annotated[timedelta, duration(timedelta(), _HOUR)] = 5 * 60 * _SECOND
    request_log_max_age: Annotated[timedelta, duration(timedelta(), 30 * 24 * _HOUR)] = 15 * 60 * _SECOND

    @property
    def idle_window(self) -> timedelta:
        """How far a sweep looks back, so that it sees all requests of `idle_time`: the latest may be on their way."""
        return self.idle_time + self.request_log_lag


class BuildSettings(OwnTable):
    """How images are built from git. The registry they go to is `[registry]`, Depot is `[depot]`."""

    address: BuilderAddress = ""
    fork_address: BuilderAddress = ""
    tls_ca_file: str = ""
    tls_cert_file: str = ""
    tls_key_file: str = ""
    tls_server_name: str = ""
    registry_insecure: bool = False
    timeout: Annotated[timedelta, duration(_SECOND, 24 * _HOUR)] = 30 * 60 * _SECOND
    tries: int = Field(default=3, ge=1, le=20)
    lease: Annotated[timedelta, duration(_SECOND, 600 * _SECOND)] = 15 * _SECOND


class ServicesSettings(OwnTable):
    """Which Restate services this worker serves; one left out is served by another worker (01 · 2)."""

    deploy: bool = True
    deployment: bool = True
    routing: bool = True
    versioning: bool = True
    github_status: bool = True
    openapi: bool = True
    reconcile: bool = True


class ReconcileSettings(OwnTable):
    """How often what is stuck is looked for; an interval of 0 is never."""

    interval: Annotated[timedelta, duration(timedelta(), _HOUR)] = 60 * _SECOND
    thorough_interval: Annotated[timedelta, duration(timedelta(), 24 * _HOUR)] = _HOUR
    grace: Annotated[timedelta, duration(_MILLISECOND, 24 * _HOUR)] = 5 * 60 * _SECOND


class OpenapiSettings(OwnTable):
    """How apps' OpenAPI documents are fetched."""

    allowed_networks: Networks = ()


class LogSettings(OwnTable):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"
