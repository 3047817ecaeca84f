"""What an earlier worker is in the middle of, and what it has done: the subject of a move."""

from dataclasses import dataclass
from typing import Any

from hydra.v1 import deployment_pb2

from service.database import tables
from tests.earlier_worker import EarlierWorker
from tests.inside_caller import InsideCaller
from tests.installation import IMAGE, Installation
from tests.old_installation import OldInstallation
from tests.reporting_site import Connected
from tests.servers.github_records import Comment, Deployment

STATUSES = tables.deployments.c.status.type.words  # type: ignore[attr-defined] # a Choice
HOUR_MS = 3_600_000
DEPLOYMENT = "hydra.v1.DeploymentService"
VERSIONING = "hydra.v1.VersioningService"

_STANDBY = deployment_pb2.DEPLOYMENT_DESIRED_STATE_STANDBY


@dataclass(frozen=True)
class Begun:
    """A deploy that the earlier worker has begun, and what it has told GitHub of it."""

    of: Connected
    replaced_id: str
    deployment_id: str
    invocation_id: str
    awakeable: str
    on_github: Deployment
    comment: Comment


@dataclass(frozen=True)
class Replaced:
    """Production deployments of one app: one at rest, one that is to rest soon, and the live one."""

    of: Connected
    asleep_id: str
    leaving_id: str
    live_id: str


@dataclass(frozen=True)
class OldWorld:
    """What the earlier worker leaves."""

    by_status: dict[str, str]
    in_flight: Begun
    queued_id: str
    killed: Begun
    to_rest: Replaced
    to_return: Replaced
    rolled_back: Replaced


async def begin(old: OldInstallation, earlier: EarlierWorker) -> Begun:
    """Have the earlier worker begin a deploy, as a push to a pull request's branch does, and come to its middle."""
    of = await old.site.connected()
    number = of.repository.open_pull_request(of.branch)
    replaced_id = await old.deployment(of)
    routes = await old.make_live(of, replaced_id)
    deployment_id = await old.deployment(of, "building", image=None)
    stamps, bot = of.repository.stamps, old.site.github.bot()
    on_github = Deployment(stamps.next_id(), of.sha, of.sha, bot, stamps.now())
    of.repository.deployments.append(on_github)
    comment = of.repository.add_comment(number, "<!-- unkey-deploy -->\n| Name | Status |\n| :-- | :-- |", bot)
    report = {
        "installationId": of.installation_id,
        "repo": of.repository.full_name,
        "commitSha": of.sha,
        "branch": of.branch,
        "isProduction": True,
        "projectSlug": "shop",
        "appSlug": "default",
        "envSlug": "production",
        "prNumber": number,
        "existingGithubDeploymentId": on_github.deployment_id,
    }
    facts = {
        "regions": [region.id for region in of.world.regions.values()],
        "app_id": of.world.app.id,
        "routes": routes,
        "replaces": replaced_id,
        "delay_ms": 1,
        "hold": True,
        "report": report,
        "pr_comment_id": comment.comment_id,
    }
    earlier.plan(deployment_id, facts)
    answer = await send_deploy(old.site.installation, of.world.workspace_id, deployment_id)
    (waits,) = await earlier.noted("waits", "DeployService/Deploy", deployment_id)
    invocation_id, awakeable = answer["invocationId"], waits.message["awakeable"]
    return Begun(of, replaced_id, deployment_id, invocation_id, awakeable, on_github, comment)


async def send_deploy(installation: Installation, key: str, deployment_id: str) -> dict[str, Any]:
    """Send a Deploy as an existing caller does, with a key of its choice and its own idempotency key."""
    request = {"deploymentId": deployment_id, "dockerImage": {"image": IMAGE}}
    once = {"idempotency-key": f"push:{deployment_id}"}
    return (await installation.ingress(f"/hydra.v1.DeployService/{key}/Deploy/send", request, headers=once)).body


async def replaced(old: OldInstallation) -> Replaced:
    of = await old.site.connected()
    asleep = await old.deployment(of, desired_state="standby")
    leaving, live = [await old.deployment(of) for _ in range(2)]
    await old.make_live(of, live)
    return Replaced(of, asleep, leaving, live)


async def old_world(old: OldInstallation, earlier: EarlierWorker) -> OldWorld:
    of = await old.site.connected()
    by_status = {status: await old.deployment(of, status) for status in STATUSES}
    in_flight, killed = [await begin(old, earlier) for _ in range(2)]
    installation = old.site.installation
    queued_id = await installation.deployment(await installation.world())
    await send_deploy(installation, in_flight.of.world.workspace_id, queued_id)  # the same key: it has to wait
    await installation.kill(killed.invocation_id)
    to_rest, to_return, rolled_back = [await replaced(old) for _ in range(3)]
    await schedule_stop(old.inside, to_return.leaving_id, HOUR_MS)
    app = {"id": rolled_back.of.world.app.id}
    await installation.set(tables.apps, app, current_deployment_id=rolled_back.leaving_id, is_rolled_back=True)
    await old.furnish()
    for region_id in list(await counted(installation)) * 5:
        await old.next_version(region_id)  # and no row that has it: the counters are above the rows
    await old.settle()
    return OldWorld(by_status, in_flight, queued_id, killed, to_rest, to_return, rolled_back)


async def schedule_stop(inside: InsideCaller, deployment_id: str, delay_ms: int) -> None:
    request = deployment_pb2.ScheduleDesiredStateChangeRequest(delay_millis=delay_ms, state=_STANDBY)
    await inside.call(DEPLOYMENT, "ScheduleDesiredStateChange", deployment_id, request)


async def counted(installation: Installation) -> dict[str, int]:
    """Read the earlier worker's counters, by region id."""
    query = f"select service_key, value_utf8 from state where service_name = '{VERSIONING}' and key = 'version'"
    return {row["service_key"]: int(row["value_utf8"]) for row in await installation.admin_query(query)}
