"""The one tree of settings, as the rest of the service reads it."""

import random
from pathlib import Path
from typing import ClassVar

from pydantic import Field, PrivateAttr

from service.config import own, reference
from service.config.table import ReferenceTable
from service.config.values import Domain, HttpUrl, Platform
from service.domain.identifiers import Prefix, new_id

_IMAGE_COLUMN = 255  # sentinels.image, 03 · 1.14


def _instance_id() -> str:
    return new_id(Prefix.INSTANCE, random.SystemRandom())


class Settings(ReferenceTable):
    """Everything an operator can set. Frozen; secrets show as `**********` wherever it is printed."""

    ours: ClassVar[frozenset[str]] = frozenset(
        {"grpc", "client", "deploy", "build", "openapi", "reconcile", "services", "log"}
    )

    instance_id: str = Field(default_factory=_instance_id)
    region: str = ""
    default_domain: Domain = "unkey.app"
    dashboard_url: HttpUrl = "https://app.unkey.com"
    build_platform: Platform = "linux/amd64"
    sentinel_image: str = Field(default="ghcr.io/unkeyed/unkey:local", max_length=_IMAGE_COLUMN)
    cname_domain: str = ""  # not used

    database: reference.DatabaseSettings
    restate: reference.RestateSettings = reference.RestateSettings()
    registry: reference.RegistrySettings = reference.RegistrySettings()
    depot: reference.DepotSettings = reference.DepotSettings()
    github: reference.GithubSettings | None = None
    clickhouse: reference.ClickhouseSettings = reference.ClickhouseSettings()
    vault: reference.VaultSettings = reference.VaultSettings()
    acme: reference.AcmeSettings = reference.AcmeSettings()
    heartbeat: reference.HeartbeatSettings = reference.HeartbeatSettings()
    slack: reference.SlackSettings = reference.SlackSettings()
    observability: reference.ObservabilitySettings = reference.ObservabilitySettings()

    grpc: own.GrpcSettings = own.GrpcSettings()
    client: own.ClientSettings = own.ClientSettings()
    deploy: own.DeploySettings = own.DeploySettings()
    build: own.BuildSettings = own.BuildSettings()
    openapi: own.OpenapiSettings = own.OpenapiSettings()
    reconcile: own.ReconcileSettings = own.ReconcileSettings()
    services: own.ServicesSettings = own.ServicesSettings()
    log: own.LogSettings = own.LogSettings()

    _source: Path | None = PrivateAttr(default=None)
    _ignored_keys: tuple[str, ...] = PrivateAttr(default=())

    @property
    def source(self) -> Path | None:
        """The file that these were read from, to be read again; None for those of a text."""
        return self._source

    @property
    def ignored_keys(self) -> tuple[str, ...]:
        """Dotted keys of the file that nothing here knows, sorted: worth a line in the log at start."""
        return self._ignored_keys
