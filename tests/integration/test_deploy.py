"""A deploy that goes well, on every number of regions: the rows that it leaves."""

import asyncio
from typing import Any

import pytest

from service.database import tables
from service.dev.workload import AgentBehaviour
from service.domain.deployment import PRODUCTION
from tests.installation import IMAGE, Installation

REGIONS = ("ap-southeast-1", "eu-central-1", "us-east-1")


@pytest.mark.parametrize("regions", [1, 2, 3])
async def test_a_deploy_ends_ready_in_every_region(installation: Installation, regions: int) -> None:
    world = await installation.world(regions=REGIONS[:regions], replicas=2)
    deployment_id = await installation.deployed(world)

    deployment = await installation.row(tables.deployments, id=deployment_id)
    assert (deployment["status"], deployment["desired_state"], deployment["image"]) == ("ready", "running", IMAGE)
    topologies = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    assert {row["region_id"] for row in topologies} == {region.id for region in world.regions.values()}
    assert {(row["desired_replicas"], row["desired_status"]) for row in topologies} == {(2, "running")}
    assert await installation.live(world) == deployment_id


async def test_every_phase_has_a_step_that_ended(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    await queue(installation, deployment_id)
    await installation.deploy(deployment_id)

    steps = await installation.steps(deployment_id)
    assert list(steps) == ["queued", "starting", "building", "deploying", "network", "finalizing"]
    assert all(step["ended_at"] >= step["started_at"] and step["error"] is None for step in steps.values())


async def queue(installation: Installation, deployment_id: str) -> None:
    """Insert the row that the push webhook inserts with a deployment."""
    row = await installation.row(tables.deployments, id=deployment_id)
    names = ("workspace_id", "project_id", "environment_id", "app_id")
    values = {name: row[name] for name in names} | {"deployment_id": deployment_id, "step": "queued", "started_at": 1}
    await installation.database.transact(lambda conn: conn.execute(tables.deployment_steps.insert().values(values)))


async def test_sentinels_are_made_once_per_environment_and_region(installation: Installation) -> None:
    world = await installation.world()
    for _ in range(2):
        await installation.deployed(world)
    await installation.deployed(world, "preview")

    for environment, replicas in ((PRODUCTION, 3), ("preview", 1)):
        environment_id = world.app.environments[environment]
        sentinels = await installation.rows(tables.sentinels, environment_id=environment_id)
        assert {row["region_id"] for row in sentinels} == {region.id for region in world.regions.values()}
        assert len(sentinels) == 3
        assert {row["desired_replicas"] for row in sentinels} == {replicas}
        assert all(row["k8s_address"] == f"{row['k8s_name']}.sentinel.svc.cluster.local:8040" for row in sentinels)


async def test_policies_are_the_documents_of_the_contract(installation: Installation) -> None:
    world = await installation.world(regions=REGIONS[:1])
    deployment_id = await installation.deployed(world)

    deployment = await installation.row(tables.deployments, id=deployment_id)
    workspace = await installation.row(tables.workspaces, id=world.workspace_id)
    rows = await installation.rows(tables.cilium_network_policies, deployment_id=deployment_id)
    ingress, egress = sorted(rows, key=lambda row: str(row["k8s_name"]), reverse=True)
    facts = {
        "K": deployment["k8s_name"],
        "D": deployment_id,
        "E": deployment["environment_id"],
        "W": world.workspace_id,
        "N": workspace["k8s_namespace"],
    }
    assert (ingress["k8s_namespace"], egress["k8s_namespace"]) == (facts["N"], "sentinel")
    assert ingress["policy"] == ingress_document(facts, ingress["id"])
    assert egress["policy"] == egress_document(facts, egress["id"])


def labels(component: str, facts: dict[str, str], policy_id: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "krane",
        "unkey.com/deployment.id": facts["D"],
        "unkey.com/environment.id": facts["E"],
        "unkey.com/networkpolicy.id": policy_id,
        "unkey.com/workspace.id": facts["W"],
    }


PORTS = [{"ports": [{"port": "8080", "protocol": "TCP"}]}]


def ingress_document(facts: dict[str, str], policy_id: str) -> dict[str, Any]:
    deployment = {
        "app.kubernetes.io/component": "deployment",
        "app.kubernetes.io/managed-by": "krane",
        "unkey.com/deployment.id": facts["D"],
    }
    sentinel = {
        "io.kubernetes.pod.namespace": "sentinel",
        "unkey.com/environment.id": facts["E"],
        "unkey.com/workspace.id": facts["W"],
    }
    return {
        "kind": "CiliumNetworkPolicy",
        "apiVersion": "cilium.io/v2",
        "metadata": {
            "name": f"sentinel-ingress-to-{facts['K']}",
            "namespace": facts["N"],
            "labels": labels("deployment", facts, policy_id),
        },
        "spec": {
            "endpointSelector": {"matchLabels": deployment},
            "ingress": [{"fromEndpoints": [{"matchLabels": sentinel}], "toPorts": PORTS}],
            "description": f"Allow ingress from sentinel for workspace {facts['W']} deployment {facts['D']}",
        },
        "status": {},
    }


def egress_document(facts: dict[str, str], policy_id: str) -> dict[str, Any]:
    sentinel = {
        "app.kubernetes.io/component": "sentinel",
        "unkey.com/environment.id": facts["E"],
        "unkey.com/workspace.id": facts["W"],
    }
    deployment = {
        "app.kubernetes.io/component": "deployment",
        "app.kubernetes.io/managed-by": "krane",
        "io.kubernetes.pod.namespace": facts["N"],
        "unkey.com/deployment.id": facts["D"],
    }
    return {
        "kind": "CiliumNetworkPolicy",
        "apiVersion": "cilium.io/v2",
        "metadata": {
            "name": f"sentinel-egress-to-{facts['K']}",
            "namespace": "sentinel",
            "labels": labels("sentinel", facts, policy_id),
        },
        "spec": {
            "endpointSelector": {"matchLabels": sentinel},
            "egress": [{"toEndpoints": [{"matchLabels": deployment}], "toPorts": PORTS}],
            "description": f"Allow sentinel egress to deployment {facts['D']} for workspace {facts['W']}",
        },
        "status": {},
    }


async def test_versions_of_a_region_are_taken_without_a_gap(installation: Installation) -> None:
    world = await installation.world(regions=REGIONS[:1])
    (region,) = world.regions.values()
    before = await installation.rows(tables.hydra_region_versions, region_id=region.id)
    await installation.deployed(world)

    first = (before[0]["version"] if before else 0) + 1
    rows = [
        row
        for table in (tables.deployment_topology, tables.sentinels, tables.cilium_network_policies)
        for row in await installation.rows(table, region_id=region.id)
        if row["version"] >= first
    ]
    written = sorted(row["version"] for row in rows)
    assert written == list(range(first, first + len(written)))
    # A deployment of another test may have come to rest meanwhile.
    assert len([row for row in rows if row["workspace_id"] == world.workspace_id]) == 4


async def test_two_deploys_of_one_workspace_agree_on_its_namespace(installation: Installation) -> None:
    world = await installation.world(apps=("default", "api"))
    await asyncio.gather(
        installation.deployed(world),
        installation.deploy(await installation.deployment(world, app="api")),
    )

    namespace = (await installation.row(tables.workspaces, id=world.workspace_id))["k8s_namespace"]
    policies = await installation.rows(tables.cilium_network_policies, workspace_id=world.workspace_id)
    assert namespace
    assert {row["k8s_namespace"] for row in policies} == {namespace, "sentinel"}


async def test_the_replaced_deployment_is_put_to_standby(installation: Installation) -> None:
    world = await installation.world()
    old = await installation.deployed(world)
    new = await installation.deployed(world)

    assert await installation.live(world) == new
    await eventually(installation, tables.deployments, {"id": old}, desired_state="standby")
    topologies = await installation.rows(tables.deployment_topology, deployment_id=old)
    assert {row["desired_status"] for row in topologies} == {"stopped"}
    assert (await installation.row(tables.deployments, id=new))["desired_state"] == "running"


async def test_the_first_deployment_replaces_nobody(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployed(world)
    sent = await installation.admin_query(
        f"select id from sys_invocation where target_service_key = '{deployment_id}' "
        "and target_handler_name = 'ScheduleDesiredStateChange'"
    )
    assert sent == []


async def test_one_dead_region_of_three_is_gone_on_without_and_named(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    installation.agents["eu-central-1"].behave(AgentBehaviour(dead=True), deployment_id)
    await installation.deploy(deployment_id)

    operation = await installation.row(tables.hydra_operations, deployment_id=deployment_id)
    assert operation["state"] == "succeeded"
    assert operation["detail"]["unhealthy_regions"] == {"eu-central-1": "no instances"}
    assert sorted(operation["detail"]["regions"]) == sorted(REGIONS)


async def test_a_preview_takes_its_environment_route_but_not_the_live_pointer(installation: Installation) -> None:
    world = await installation.world()
    production = await installation.deployed(world)
    preview = await installation.deployed(world, "preview")
    newer = await installation.deployed(world, "preview")

    routes = await installation.routes(world)
    assert routes[f"shop-preview-{world.workspace_slug}"] == newer
    assert routes[f"shop-{world.workspace_slug}"] == production
    assert routes[f"shop-dep-{preview.replace('_', '-')}-{world.workspace_slug}"] == preview
    assert await installation.live(world) == production


async def eventually(installation: Installation, table: Any, where: dict[str, Any], **expected: Any) -> None:
    """Wait until a row has the expected values; the test's own time-out bounds the wait."""
    while True:
        row = await installation.row(table, **where)
        if all(row[name] == value for name, value in expected.items()):
            return
        await asyncio.sleep(0.02)
