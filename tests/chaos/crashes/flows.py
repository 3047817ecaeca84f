"""The flows that are crashed: what there is before one begins, and how it is begun."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from hydra.v1 import deploy_pb2, deployment_pb2

from service.clock import now_ms
from service.database import tables
from service.dev.agent import region_agents
from service.dev.workload import AgentBehaviour
from service.dev.world import PREVIEW, Connection, connect_repository
from service.domain.deployment import PRODUCTION
from service.durable.payload import encode
from tests.chaos.crashes.runs import Names, Run, over
from tests.chaos.crashes.site import ENCRYPTED, CrashSite
from tests.installation import IMAGE, deploy_request
from tests.previews import LONG_AGO_MS, keep_log_alive
from tests.servers.github_repository import Head
from tests.waiting import until

DEPLOY = "hydra.v1.DeployService"
_DEPLOYMENT = "hydra.v1.DeploymentService"
_SHA = "5eed" * 10
_BRANCH = "feature"
_QUICKLY = timedelta(milliseconds=20)
_SOON_MS = 200
_DOOMED = "registry.example.com/acme/doomed:1.0"
_SENT_TO_REST = f"""
    CREATE TRIGGER IF NOT EXISTS sent_to_rest AFTER INSERT ON frontline_routes FOR EACH ROW
    UPDATE deployments SET desired_state = 'standby' WHERE id = NEW.deployment_id AND image = '{_DOOMED}'
"""


@dataclass(frozen=True)
class Flow:
    """A flow by its name; `begin` returns the id of its root invocation."""

    name: str
    prepare: Callable[["Scene"], Awaitable[None]]
    begin: Callable[["Scene"], Awaitable[str]]
    environment: str = PRODUCTION
    connected: bool = True


@dataclass
class Scene:
    """The run of a flow, and what it can do."""

    site: CrashSite
    run: Run
    environment: str
    request: deploy_pb2.DeployRequest = field(default_factory=deploy_pb2.DeployRequest)

    async def create(self) -> str:
        """Create a deployment, with variables that nobody may read."""
        installation, run = self.site.installation, self.run
        deployment_id = await installation.deployment(
            run.world, self.environment, git_commit_sha=_SHA, git_branch=_BRANCH
        )
        await installation.set(tables.deployments, {"id": deployment_id}, encrypted_environment_variables=ENCRYPTED)
        row = await installation.row(tables.deployments, id=deployment_id)
        letter = "ABCDEF"[len(run.deployments)]
        run.names.add(deployment_id, letter)
        run.names.add(row["k8s_name"], f"k8s name of {letter}")
        run.deployments.append(deployment_id)
        return deployment_id

    async def ask(self, rpc: str, request: Message, key: str = "") -> str:
        """Send a request to DeployService and return the invocation's id."""
        body = json_format.MessageToDict(request)
        return await self.site.send(DEPLOY, key or self.run.deployments[-1], rpc, body)

    async def done(self, rpc: str, request: Message) -> None:
        """Send a request and wait for the end of all that comes of it."""
        self.run.root = await self.ask(rpc, request)
        (root, *_) = await over(self.site, self.run)
        assert root.result == "success", root

    async def deploy(self, *, image: str = IMAGE) -> deploy_pb2.DeployRequest:
        """Create a deployment and make the request that deploys it; without an image it is built from git."""
        deployment_id = await self.create()
        if image:
            return deploy_request(deployment_id, image)
        source = deploy_pb2.GitSource(
            installation_id=self.run.installation_id,
            repository=self.run.repository.full_name,
            commit_sha=_SHA,
            branch=_BRANCH,
        )
        return deploy_pb2.DeployRequest(deployment_id=deployment_id, git=source)

    async def rest(self, deployment_id: str, state: Any, delay_ms: int = 0) -> str:
        """Schedule a change of what a deployment is to do, from inside Restate; returns the invocation's id."""
        request = deployment_pb2.ScheduleDesiredStateChangeRequest(delay_millis=delay_ms, state=state)
        change = {"service": _DEPLOYMENT, "rpc": "ScheduleDesiredStateChange", "key": deployment_id}
        wanted = {**change, "request": encode(request).decode()}
        return await self.site.send("tests.InsideCaller", secrets.token_hex(8), "Call", wanted)

    def rollback(self) -> deploy_pb2.RollbackRequest:
        """Ask for the way back, from the second deployment to the first."""
        first, second = self.run.deployments
        return deploy_pb2.RollbackRequest(source_deployment_id=second, target_deployment_id=first)

    def promote(self, number: int) -> deploy_pb2.PromoteRequest:
        return deploy_pb2.PromoteRequest(target_deployment_id=self.run.deployments[number])


async def _first_image(scene: Scene) -> None:
    scene.request = await scene.deploy()


async def _one_live(scene: Scene) -> None:
    await scene.done("Deploy", await scene.deploy())


async def _git_beside_live(scene: Scene) -> None:
    await _one_live(scene)
    scene.request = await scene.deploy(image="")


async def _doomed_beside_live(scene: Scene) -> None:
    """Have the deployment sent to rest, by somebody, as soon as it has its names: then its switch is refused."""
    await scene.site.installation.database.transact(lambda conn: conn.exec_driver_sql(_SENT_TO_REST))
    await _one_live(scene)
    scene.request = await scene.deploy(image=_DOOMED)


async def _two_deployed(scene: Scene) -> None:
    await _one_live(scene)
    await scene.done("Deploy", await scene.deploy())


async def _first_rests(scene: Scene) -> None:
    await _two_deployed(scene)
    standby = deployment_pb2.DEPLOYMENT_DESIRED_STATE_STANDBY
    scene.run.root = await scene.rest(scene.run.deployments[0], standby)
    await over(scene.site, scene.run)

    async def gone() -> bool:
        return not await scene.site.installation.rows(tables.instances, deployment_id=scene.run.deployments[0])

    await until(gone)


async def _rolled_back(scene: Scene) -> None:
    await _two_deployed(scene)
    await scene.done("Rollback", scene.rollback())


async def _idle_preview(scene: Scene) -> None:
    """Have an old preview, after a sweep that has counted all regions: those are not of this world alone."""
    await _one_live(scene)
    await keep_log_alive(scene.site.installation.stack.options.environ["HYDRA_CLICKHOUSE__URL"])
    await scene.done("ScaleDownIdlePreviewDeployments", deploy_pb2.ScaleDownIdlePreviewDeploymentsRequest())
    long_ago = now_ms() - LONG_AGO_MS
    of_world = {"app_id": scene.run.world.app.id}
    await scene.site.installation.set(tables.deployments, of_world, created_at=long_ago, updated_at=long_ago)


async def _deploy(scene: Scene) -> str:
    return await scene.ask("Deploy", scene.request)


async def _roll_back(scene: Scene) -> str:
    return await scene.ask("Rollback", scene.rollback())


async def _promote_first(scene: Scene) -> str:
    return await scene.ask("Promote", scene.promote(0))


async def _sweep(scene: Scene) -> str:
    return await scene.ask("ScaleDownIdlePreviewDeployments", deploy_pb2.ScaleDownIdlePreviewDeploymentsRequest())


async def _schedule(scene: Scene) -> str:
    standby = deployment_pb2.DEPLOYMENT_DESIRED_STATE_STANDBY
    return await scene.rest(scene.run.deployments[0], standby, _SOON_MS)


FLOWS = (
    Flow("deploy image", _first_image, _deploy, connected=False),
    Flow("deploy git", _git_beside_live, _deploy),
    Flow("deploy that is undone", _doomed_beside_live, _deploy, connected=False),
    Flow("rollback", _two_deployed, _roll_back),
    Flow("rollback to standby", _first_rests, _roll_back, connected=False),
    Flow("promote", _two_deployed, _promote_first, connected=False),
    Flow("promote after rollback", _rolled_back, _promote_first, connected=False),
    Flow("sweep", _idle_preview, _sweep, environment=PREVIEW, connected=False),
    Flow("scheduled change", _two_deployed, _schedule, connected=False),
)


@asynccontextmanager
async def scene_of(site: CrashSite, flow: Flow) -> AsyncIterator[Scene]:
    """Make a world of its own for a run, with regions and agents of its own, and prepare it for the flow."""
    unique = secrets.token_hex(4)
    names = Names()
    regions = (f"east-{unique}", f"west-{unique}")
    world = await site.installation.world(workspace=f"w{unique}", regions=regions)
    for drawn, alias in _drawn(world):
        names.add(drawn, alias)
    owner = f"acme-{unique}"
    repository = site.github.add_repository(f"{owner}/shop", branches={"main": Head(_SHA), _BRANCH: Head(_SHA)})
    installation_id = site.github.install(owner)
    names.add(owner, "owner")
    pull_request = repository.open_pull_request(_BRANCH)
    if flow.connected:
        connection = Connection(installation_id, repository.full_name)
        await connect_repository(site.installation.database, world.project_id, world.app.id, connection)
    run = Run(unique, world, list(world.regions.values()), repository, installation_id, pull_request, names)
    scene = Scene(site, run, flow.environment)
    behaviour = AgentBehaviour(start_delay=_QUICKLY)
    async with region_agents(site.installation.database, run.regions, behaviour):
        await flow.prepare(scene)
        yield scene


def _drawn(world: Any) -> list[tuple[str, str]]:
    return [
        (world.workspace_id, "workspace"),
        (world.workspace_slug, "workspace slug"),
        (world.project_id, "project"),
        (world.app.id, "app"),
        *((one, f"environment {slug}") for slug, one in world.app.environments.items()),
        *((region.id, f"region {name.partition('-')[0]}") for name, region in world.regions.items()),
        *((name, f"{name.partition('-')[0]}") for name in world.regions),
    ]
