"""Which Restate services a worker serves, and how Restate treats each."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import structlog
from hydra.v1 import (
    deploy_pb2,
    deployment_pb2,
    github_status_pb2,
    openapi_pb2,
    pull_request_comment_pb2,
    reconcile_pb2,
    routing_pb2,
    versioning_pb2,
)
from restate import InvocationRetryPolicy

from service.app.building import github_url
from service.config import ServicesSettings, Settings
from service.durable.binding import Handler, HandlerOptions, Served, service
from service.routing.handlers import routing_handlers
from service.workflow.deploy import deploy_handler
from service.workflow.desired_state import deployment_handlers
from service.workflow.github_status import github_status_handlers
from service.workflow.openapi import openapi_handlers
from service.workflow.promote import promote_handler
from service.workflow.pull_request_comment import pull_request_comment_handlers
from service.workflow.reconcile import reconcile_handlers
from service.workflow.rollback import rollback_handler
from service.workflow.runtime import Options, Runtime
from service.workflow.scale_down import scale_down_handler
from service.workflow.versioning import versioning_handlers

log = structlog.get_logger(__name__)

_TO_WIND_UP = timedelta(minutes=15)
_ROUNDS_KEPT = timedelta(hours=2)  # a round that several workers ask for is one

_DEPLOY = deploy_pb2.DESCRIPTOR.services_by_name["DeployService"].full_name
_DEPLOYMENT = deployment_pb2.DESCRIPTOR.services_by_name["DeploymentService"].full_name
_ROUTING = routing_pb2.DESCRIPTOR.services_by_name["RoutingService"].full_name
_VERSIONING = versioning_pb2.DESCRIPTOR.services_by_name["VersioningService"].full_name
_GITHUB_STATUS = github_status_pb2.DESCRIPTOR.services_by_name["GitHubStatusService"].full_name
_COMMENT = pull_request_comment_pb2.DESCRIPTOR.services_by_name["PullRequestCommentService"].full_name
_OPENAPI = openapi_pb2.DESCRIPTOR.services_by_name["OpenapiService"].full_name
_RECONCILE = reconcile_pb2.DESCRIPTOR.services_by_name["ReconcileService"].full_name

# All there are, each with the key of `[services]` that says whether it is served here.
KEYS = {
    _DEPLOY: "deploy",
    _DEPLOYMENT: "deployment",
    _ROUTING: "routing",
    _VERSIONING: "versioning",
    _GITHUB_STATUS: "github_status",
    _COMMENT: "github_status",
    _OPENAPI: "openapi",
    _RECONCILE: "reconcile",
}

# What a worker that is not of this service cannot serve while we do the rest (docs/migration.md).
OURS_ALONE = frozenset({_ROUTING, _VERSIONING})

# As the reference has it (03 · 2.0).
_LEISURELY = InvocationRetryPolicy(
    initial_interval=timedelta(minutes=1),
    exponentiation_factor=2.0,
    max_interval=timedelta(minutes=10),
    max_attempts=10,
    on_max_attempts="kill",
)
# The next round begins soon enough; one that cannot end must not keep it from beginning.
_BRIEFLY = InvocationRetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    exponentiation_factor=2.0,
    max_interval=timedelta(seconds=10),
    max_attempts=12,
    on_max_attempts="kill",
)


def handlers_of(settings: Settings, runtime: Runtime) -> dict[str, Mapping[str, Handler]]:
    """Gather the services that this worker is set to serve, by name (01 · 2)."""
    deploy_service = {
        "Deploy": deploy_handler(runtime),
        "Rollback": rollback_handler(runtime),
        "Promote": promote_handler(runtime),
        "ScaleDownIdlePreviewDeployments": scale_down_handler(runtime),
    }
    offered: dict[str, Mapping[str, Handler]] = {
        _DEPLOY: deploy_service,
        _DEPLOYMENT: deployment_handlers(runtime),
        _ROUTING: routing_handlers(runtime.database, runtime.journal),
        _VERSIONING: versioning_handlers(runtime),
        _GITHUB_STATUS: github_status_handlers(runtime),
        _COMMENT: pull_request_comment_handlers(runtime),
        _OPENAPI: openapi_handlers(runtime),
        _RECONCILE: reconcile_handlers(runtime),
    }
    return {name: offered[name] for name in names_served(settings.services)}


def names_served(services: ServicesSettings) -> list[str]:
    """Name the services that a worker with these settings serves."""
    return [name for name, key in KEYS.items() if getattr(services, key)]


def say_what_is_left_out(services: ServicesSettings) -> None:
    """Warn of services that a Go worker cannot serve beside ours (docs/migration.md)."""
    if services.deploy and not services.routing:
        log.warning("services.routing is false: another worker of this release has to serve it, or deploys hang")
    if (services.deploy or services.deployment) and not services.versioning:
        log.warning("services.versioning is false: another worker of this release has to serve it, or versions repeat")


def is_public(name: str) -> bool:
    """Tell whether callers from outside may call a service: DeployService (01 · 2), and operators the reconciler."""
    return name in (_DEPLOY, _RECONCILE)


def objects_of(settings: Settings, handlers: Mapping[str, Mapping[str, Handler]]) -> list[Served]:
    """Make the Restate services."""
    return [service(name, rpcs, handling_of(settings, name), public=is_public(name)) for name, rpcs in handlers.items()]


def handling_of(settings: Settings, name: str) -> HandlerOptions:
    """Say how Restate is asked to treat a service."""
    usual = HandlerOptions(inactivity_timeout=settings.restate.inactivity_timeout)
    options = {
        _DEPLOY: _deploy_options(settings),
        _OPENAPI: replace(usual, retries=_LEISURELY),
        _RECONCILE: replace(usual, retries=_BRIEFLY, retention=_ROUNDS_KEPT),
    }
    return options.get(name, usual)


def _deploy_options(settings: Settings) -> HandlerOptions:
    """Let a build be silent for as long as it may last.

    An attempt that was asked to suspend hears of no cancellation before the step it is in has ended, and one that is
    aborted begins it again (05 · 7). Zero, to suspend at every wait, is taken at its word.
    """
    silent = settings.build.timeout + _TO_WIND_UP
    inactivity_timeout = settings.restate.inactivity_timeout
    return HandlerOptions(max(inactivity_timeout, silent) if inactivity_timeout else timedelta(), abort_timeout=silent)


def options_of(settings: Settings) -> Options:
    return Options(
        default_domain=settings.default_domain,
        dashboard_url=settings.dashboard_url,
        github_url=github_url(settings),
        sentinel_image=settings.sentinel_image,
        health_timeout=settings.deploy.health_timeout,
        standby_delay=settings.deploy.standby_delay,
        step_timeout=settings.deploy.step_timeout,
        quota_surge=settings.deploy.quota_surge,
        idle_time=settings.deploy.idle_window,
        build_timeout=settings.build.timeout,
        build_tries=settings.build.tries,
        build_lease=settings.build.lease,
        reconcile_grace=settings.reconcile.grace,
    )
