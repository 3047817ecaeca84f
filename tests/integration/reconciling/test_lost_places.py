"""Stops that were lost of deployments that got no place, or lost one that is not the live one: 06 · T4, T9."""

import pytest

from service.database import tables
from tests.installation import Installation
from tests.integration.reconciling.rounds import found_of
from tests.integration.reconciling.test_lost import topologies
from tests.integration.test_without_place import ENVIRONMENTS, overtaken, promote, rolled_back
from tests.reporting_site import ReportingSite
from tests.waiting import comes

WITHIN_S = 10
_SERVICE = "hydra.v1.DeploymentService"


async def forget_stop(installation: Installation, deployment_id: str) -> None:
    """End the messages that are to stop a deployment, which there have to be."""
    coming = (
        f"select id from sys_invocation where target_service_name = '{_SERVICE}' "
        f"and target_service_key = '{deployment_id}' and status <> 'completed'"
    )

    async def is_scheduled() -> bool:
        return bool(await installation.admin_query(coming + " and status = 'scheduled'"))

    assert await comes(is_scheduled, WITHIN_S), f"nothing is scheduled to stop {deployment_id}"
    for row in await installation.admin_query(coming):
        await installation.kill(row["id"])


async def assert_found_and_stopped(installation: Installation, deployment_id: str) -> None:
    """Go rounds until its time has come: then it is found, and comes to rest."""
    found: list[tuple[str, str]] = []

    async def is_found() -> bool:
        found.extend(await found_of(installation, deployment_id))
        return bool(found)

    assert await comes(is_found, 3 * WITHIN_S)
    assert found == [("STANDBY_LOST", "SETTLED")]

    async def rests() -> bool:
        row = await installation.row(tables.deployments, id=deployment_id)
        return bool(row["desired_state"] == "standby") and not await topologies(installation, deployment_id)

    assert await comes(rests, WITHIN_S)
    assert await found_of(installation, deployment_id) == []


@pytest.mark.parametrize("environment", ["production", "staging"])
async def test_an_older_deploy_that_finished_last(reconciled: ReportingSite, environment: str) -> None:
    installation = reconciled.installation
    world = await installation.world(environments=ENVIRONMENTS)
    older, newer = await overtaken(installation, world, environment)
    await forget_stop(installation, older)

    await assert_found_and_stopped(installation, older)

    assert await topologies(installation, newer)
    assert await found_of(installation, newer) == []


async def test_a_deploy_while_rolled_back(reconciled: ReportingSite) -> None:
    """As long as the rollback is open it has a reason to run."""
    installation = reconciled.installation
    _, old, _, unrouted = await rolled_back(installation)
    assert await found_of(installation, unrouted) == []
    await promote(installation, old)
    await forget_stop(installation, unrouted)

    await assert_found_and_stopped(installation, unrouted)

    assert await topologies(installation, old)


async def test_a_replaced_deployment_of_a_custom_environment(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    world = await installation.world(environments=ENVIRONMENTS)
    first, second = [await installation.deployed(world, "staging") for _ in range(2)]
    await forget_stop(installation, first)

    await assert_found_and_stopped(installation, first)

    assert await topologies(installation, second)
    assert await found_of(installation, second) == []


async def test_what_a_branch_leads_to_in_a_custom_environment_runs_on(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    world = await installation.world(environments=ENVIRONMENTS)
    one, two = [await installation.deployed(world, "staging", git_branch=branch) for branch in ("one", "two")]

    async def is_found() -> bool:
        return bool(await found_of(installation, one))

    assert not await comes(is_found, 4)  # longer than the standby delay
    assert await topologies(installation, one)
    assert await topologies(installation, two)
