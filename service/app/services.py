"""Which Restate services a worker serves, and how Restate treats each."""

from collections.abc import Mapping
from datetime import timedelta

import structlog
from hydra.v1 import (
    deploy_pb2,
    deployment_pb2,
    github_status_pb2,
    openapi_pb2,
    pull_request_comment_pb2,
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
from service.workflow.rollback import rollback_handler
from service.workflow.runtime import Options, Runtime
from service.workflow.scale_down import scale_down_handler
from service.workflow.versioning import versioning_handlers

log = structlog.get_logger(__name__)

_TO_WIND_UP = timedelta(minutes=15)

_DEPLOY = deploy_pb2.DESCRIPTOR.services_by_name["DeployService"].full_name
_DEPLOYMENT = deployment_pb2.DESCRIPTOR.services_by_name["DeploymentService"].full_name
_ROUTING = routing_pb2.DESCRIPTOR.services_by_name["RoutingService"].full_name
_VERSIONING = versioning_pb2.DESCRIPTOR.services_by_name["VersioningService"].full_name
_GITHUB_STATUS = github_status_pb2.DESCRIPTOR.services_by_name["GitHubStatusService"].full_name
_COMMENT = pull_request_comment_pb2.DESCRIPTOR.services_by_name["PullRequestCommentService"].full_name
_OPENAPI = openapi_pb2.DESCRIPTOR.services_by_name["OpenapiService"].full_name

# As the reference has it (03 · 2.0).
_LEISURELY = InvocationRetryPolicy(
    initial_interval=timedelta(minutes=1),
    exponentiation_factor=2.0,
    max_interval=timedelta(minutes=10),
    max_attempts=10,
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
    offered = {
        _DEPLOY: (settings.services.deploy, deploy_service),
        _DEPLOYMENT: (settings.services.deployment, deployment_handlers(runtime)),
        _ROUTING: (settings.services.routing, routing_handlers(runtime.database, runtime.journal)),
        _VERSIONING: (settings.services.versioning, versioning_handlers(runtime)),
        _GITHUB_STATUS: (settings.services.github_status, github_status_handlers(runtime)),
        _COMMENT: (settings.services.github_status, pull_request_comment_handlers(runtime)),
        _OPENAPI: (settings.services.openapi, openapi_handlers(runtime)),
    }
    return {name: rpcs for name, (served, rpcs) in offered.items() if served}


def say_what_is_left_out(services: ServicesSettings) -> None:
    """Warn of services that a Go worker cannot serve beside ours (docs/migration.md)."""
    if services.deploy and not services.routing:
        log.warning("services.routing is false: another worker of this release has to serve it, or deploys hang")
    if (services.deploy or services.deployment) and not services.versioning:
        log.warning("services.versioning is false: another worker of this release has to serve it, or versions repeat")


def objects_of(settings: Settings, handlers: Mapping[str, Mapping[str, Handler]]) -> list[Served]:
    """Make the Restate services; only DeployService is for callers from outside (01 · 2)."""
    options = {_DEPLOY: _deploy_options(settings), _OPENAPI: HandlerOptions(retries=_LEISURELY)}
    return [
        service(name, rpcs, options.get(name, HandlerOptions()), public=name == _DEPLOY)
        for name, rpcs in handlers.items()
    ]


def _deploy_options(settings: Settings) -> HandlerOptions:
    """Let a build be silent for as long as it may last: an attempt that is aborted begins it again (05 · 7)."""
    return HandlerOptions(abort_timeout=settings.build.timeout + _TO_WIND_UP)


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
        idle_time=settings.deploy.idle_time,
        build_timeout=settings.build.timeout,
        build_tries=settings.build.tries,
        build_lease=settings.build.lease,
    )
