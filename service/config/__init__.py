"""The settings of the service: one TOML file, with the environment over it, as one frozen tree.

`load` is the only way from a file and the environment to the rest of the service. docs/configuration.md
lists the keys.
"""

from service.config.faults import ConfigError
from service.config.load import load, parse, read_file
from service.config.own import (
    BuildSettings,
    ClientSettings,
    DeploySettings,
    GrpcSettings,
    LogSettings,
    ReconcileSettings,
    ServicesSettings,
    TokenSettings,
)
from service.config.reference import (
    ClickhouseSettings,
    DatabaseSettings,
    DepotSettings,
    GithubSettings,
    RegistrySettings,
    RestateSettings,
)
from service.config.settings import Settings

__all__ = [
    "BuildSettings",
    "ClickhouseSettings",
    "ClientSettings",
    "ConfigError",
    "DatabaseSettings",
    "DeploySettings",
    "DepotSettings",
    "GithubSettings",
    "GrpcSettings",
    "LogSettings",
    "ReconcileSettings",
    "RegistrySettings",
    "RestateSettings",
    "ServicesSettings",
    "Settings",
    "TokenSettings",
    "load",
    "parse",
    "read_file",
]
