"""What reporting adds to a deploy: messages that nothing waits for, and no step."""

import json

from tests.reporting_site import ReportingSite

STEPS = [
    "claim deployment",
    "start deployment",
    "save image",
    "provision regions",
    "await healthy regions",
    "reserve names",
]
MESSAGES = [
    "GitHubStatusService/Init",
    "GitHubStatusService/ReportStatus",
    "DeploymentService/ScheduleDesiredStateChange",
    "GitHubStatusService/ReportStatus",
    "GitHubStatusService/ReportStatus",
    "OpenapiService/ScrapeSpec",
]


async def test_a_deploy_sends_reports_and_waits_for_none(reporting: ReportingSite) -> None:
    installation = reporting.installation
    connected = await reporting.connected()
    await installation.deploy(await reporting.deployment(connected))
    deployment_id = await reporting.deployment(connected)
    await installation.deploy(deployment_id)
    entries = await installation.admin_query(
        "select entry_type, name, entry_lite_json from sys_journal "
        f"where id = '{await installation.operation(deployment_id)}' order by index"
    )

    messages = [_target(entry) for entry in entries if entry["entry_type"] == "Command: OneWayCall"]
    assert [entry["name"] for entry in entries if entry["entry_type"] == "Command: Run"] == STEPS
    assert messages == [f"hydra.v1.{message}" for message in MESSAGES]


def _target(entry: dict[str, object]) -> str:
    (command,) = json.loads(str(entry["entry_lite_json"]))["Command"].values()
    (called,) = command["invocation_target"].values()
    return f"{called['name']}/{called['handler']}"
