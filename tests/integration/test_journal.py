"""The journal: the names of its steps, which in-flight invocations compare, its size, and what it must not hold."""

import json

from tests.installation import IMAGE, Installation

GOLDEN = [
    "claim deployment",
    "start deployment",
    "save image",
    "provision regions",
    "await healthy regions",
    "reserve names",
]
CALLS = [
    "hydra.v1.DeploymentService/ClearScheduledStateChanges",
    "hydra.v1.RoutingService/SwitchTraffic",
    "hydra.v1.DeploymentService/ScheduleDesiredStateChange",
    "hydra.v1.OpenapiService/ScrapeSpec",
]
MOST_BYTES = 8_192


async def journal(installation: Installation, invocation_id: str) -> list[dict[str, object]]:
    return await installation.admin_query(
        "select index, entry_type, name, entry_lite_json, raw_length, raw from sys_journal "
        f"where id = '{invocation_id}' order by index"
    )


def target(entry: dict[str, object]) -> str:
    (command,) = json.loads(str(entry["entry_lite_json"]))["Command"].values()
    (called,) = command["invocation_target"].values()
    return f"{called['name']}/{called['handler']}"


async def test_the_steps_of_a_deploy_are_these_in_this_order(installation: Installation) -> None:
    world = await installation.world()
    await installation.deployed(world)
    deployment_id = await installation.deployed(world)
    entries = await journal(installation, await installation.operation(deployment_id))

    steps = [entry["name"] for entry in entries if entry["entry_type"] == "Command: Run"]
    called = [target(entry) for entry in entries if entry["entry_type"] in ("Command: Call", "Command: OneWayCall")]
    assert steps == GOLDEN
    assert called == CALLS


async def test_a_deploys_journal_is_small(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployed(world)
    entries = await journal(installation, await installation.operation(deployment_id))

    assert sum(int(str(entry["raw_length"])) for entry in entries) < MOST_BYTES
    assert len(entries) < 40


async def test_a_failure_is_journaled_without_what_a_driver_says(installation: Installation) -> None:
    world = await installation.world(regions=())
    deployment_id = await installation.deployment(world)
    answer = await installation.ingress(
        f"/hydra.v1.DeployService/{deployment_id}/Deploy",
        {"deploymentId": deployment_id, "dockerImage": {"image": IMAGE}},
    )
    assert answer.status == 400

    entries = await journal(installation, await installation.operation(deployment_id))
    steps = [entry["name"] for entry in entries if entry["entry_type"] == "Command: Run"]
    assert steps == [*GOLDEN[:4], "undo deploy"]
    text = " ".join(str(bytes.fromhex(str(entry["raw"]))) + str(entry) for entry in entries)
    assert "add one in its regional settings" in text  # the error that is meant for the caller is there
    for planted in (installation.stack.dsn, "SELECT", "sqlalchemy", "Traceback"):
        assert planted not in text
