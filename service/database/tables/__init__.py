"""Every table that the service knows: those of the reference, whose shape is a contract, and ours (`hydra_*`)."""

from service.database.tables.cluster import (
    cilium_network_policies,
    clusters,
    deployment_topology,
    instances,
    regions,
    sentinels,
)
from service.database.tables.deployments import deployment_steps, deployments
from service.database.tables.github import github_app_installations, github_repo_connections
from service.database.tables.hydra import (
    hydra_builds,
    hydra_deployment_attempts,
    hydra_operations,
    hydra_region_versions,
    hydra_route_moves,
    hydra_schema,
    hydra_traffic_switches,
)
from service.database.tables.openapi import openapi_specs
from service.database.tables.routes import custom_domains, frontline_routes
from service.database.tables.schema import ours, reference
from service.database.tables.settings import (
    app_build_settings,
    app_environment_variables,
    app_regional_settings,
    app_runtime_settings,
    horizontal_autoscaling_policies,
)
from service.database.tables.tenancy import apps, environments, projects, quota, workspaces

__all__ = [
    "app_build_settings",
    "app_environment_variables",
    "app_regional_settings",
    "app_runtime_settings",
    "apps",
    "cilium_network_policies",
    "clusters",
    "custom_domains",
    "deployment_steps",
    "deployment_topology",
    "deployments",
    "environments",
    "frontline_routes",
    "github_app_installations",
    "github_repo_connections",
    "horizontal_autoscaling_policies",
    "hydra_builds",
    "hydra_deployment_attempts",
    "hydra_operations",
    "hydra_region_versions",
    "hydra_route_moves",
    "hydra_schema",
    "hydra_traffic_switches",
    "instances",
    "openapi_specs",
    "ours",
    "projects",
    "quota",
    "reference",
    "regions",
    "sentinels",
    "workspaces",
]
