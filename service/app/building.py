"""GitHub and the builder, as the settings name them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from service.build.builder import Builder, NullBuilder
from service.build.buildkit import Address, Tls
from service.build.depot import Depot
from service.build.depot_builder import DepotBuilder
from service.build.frontend import Site
from service.build.own_builder import Daemons, OwnBuilder, OwnBuildKit
from service.build.recording import BuildRecorder
from service.build.registry import RegistryAccess
from service.config import Settings, read_file
from service.github.reporting import NullReports
from service.github.repositories import GitHub, GitHubSettings, NullGitHub
from service.github.repositories import open_github as open_repositories

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_github(settings: Settings) -> AsyncIterator[GitHub | NullGitHub]:
    """Open GitHub, as far as it is configured. Raises FailedPrecondition for a private key that is none."""
    github = open_repositories(github_settings(settings)) if settings.github else NullGitHub()
    if isinstance(github.reports, NullReports) and settings.services.github_status:
        log.info("no GitHub App is configured: nothing is reported on commits and pull requests")
    try:
        yield github
    finally:
        await github.close()


def github_settings(settings: Settings) -> GitHubSettings:
    """Return our App, and where its GitHub is; without `[github]`, none."""
    given = settings.github
    if given is None:
        return GitHubSettings()
    return GitHubSettings(
        app_id=given.app_id,
        private_key_pem=given.private_key_pem.get_secret_value(),
        api_url=given.api_url,
        allow_unauthenticated=given.allow_unauthenticated_deployments,
    )


@asynccontextmanager
async def open_builder(settings: Settings, recorder: BuildRecorder) -> AsyncIterator[Builder]:
    """Open the builder that is configured: a BuildKit of the operator's own, or Depot, or one that refuses."""
    builder = _builder(settings, recorder)
    try:
        yield builder
    finally:
        await builder.close()


def _builder(settings: Settings, recorder: BuildRecorder) -> Builder:
    site = Site(clone_url=github_url(settings), platform=settings.build_platform)
    registry = registry_access(settings)
    if settings.build.address:
        forks = own_daemon(settings, settings.build.fork_address) if settings.build.fork_address else None
        daemons = Daemons(own_daemon(settings, settings.build.address), forks)
        return OwnBuilder(daemons, site, registry, recorder)
    if registry.password and settings.depot.api_url:
        depot = Depot(settings.depot.api_url, registry.password)
        return DepotBuilder(depot, settings.depot.project_region, site, registry, recorder)
    return NullBuilder()


def registry_access(settings: Settings) -> RegistryAccess:
    """Return where images go, and as whom."""
    return RegistryAccess(
        url=settings.registry.url,
        username=settings.registry.username,
        password=settings.registry.password.get_secret_value(),
        insecure=settings.build.registry_insecure,
    )


def github_url(settings: Settings) -> str:
    """Return where repositories are, for git and for people."""
    return settings.github.clone_url if settings.github else "https://github.com"


def own_daemon(settings: Settings, address: str) -> OwnBuildKit:
    """Return a BuildKit of the operator's own. Raises ConfigError where a file of `build.tls_*` cannot be read."""
    parsed = Address.parse(address)
    build = settings.build
    if not build.tls_ca_file:
        return OwnBuildKit(parsed)
    tls = Tls(
        ca=read_file(build.tls_ca_file, "build.tls_ca_file"),
        cert=read_file(build.tls_cert_file, "build.tls_cert_file"),
        key=read_file(build.tls_key_file, "build.tls_key_file"),
        server_name=build.tls_server_name or parsed.place.rpartition(":")[0],
    )
    return OwnBuildKit(parsed, tls)
