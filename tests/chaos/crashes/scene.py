"""The world that a flow is run in, and what can be done there."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from hydra.v1 import deploy_pb2, deployment_pb2

from service.database import tables
from service.dev.agent import RegionAgent, region_agents
from service.dev.workload import AgentBehaviour
from service.dev.world import Connection, connect_repository
from service.domain.deployment import PRODUCTION
from service.durable.payload import encode
from tests.chaos.crashes.runs import Names, Run, over
from tests.chaos.crashes.site import ENCRYPTED, CrashSite
from tests.installation import IMAGE, deploy_request
from tests.servers.github_repository import Head
from tests.waiting import until

_DEPLOY = "hydra.v1.DeployService"
_DEPLOYMENT = "hydra.v1.DeploymentService"
_SHA = "5eed" * 10
_BRANCH = "feature"
_QUICKLY = timedelta(milliseconds=20)


@dataclass(frozen=True)
class Flow:
    """A flow by its name; `begin` returns the id of its root invocation.

    `repeats`: it asks under an idempotency key, and is asked for again once it has been forgotten. `settings` are the
    worker's, by the environment variables that make them.
    """

    name: str
    prepare: Callable[["Scene"], Awaitable[None]]
    begin: Callable[["Scene"], Awaitable[str]]
    environment: str = PRODUCTION
    connected: bool = False
    repeats: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Scene:
    """The run of a flow, and what it can do. `agents` are those of its regions."""

    site: CrashSite
    run: Run
    environment: str
    agents: list[RegionAgent]
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

    async def ask(self, rpc: str, request: Message, idempotency_key: str = "") -> str:
        """Send a request to DeployService and return the invocation's id."""
        # The object's key is as good as any other. It names the steps in the matrix.
        key = request.deployment_id if isinstance(request, deploy_pb2.DeployRequest) else self.run.deployments[-1]
        return await self.site.send(_DEPLOY, key, rpc, json_format.MessageToDict(request), idempotency_key)

    async def ask_once(self, rpc: str, request: Message) -> str:
        """Send a request under a key of its own: while it is remembered, asking again is the same request."""
        return await self.ask(rpc, request, f"{self.run.id}-{rpc}")

    async def done(self, rpc: str, request: Message, result: str = "success") -> None:
        """Send a request and wait for the end of all that comes of it."""
        self.run.root = await self.ask(rpc, request)
        (root, *_) = await over(self.site, self.run)
        assert root.result == result, root

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

    async def rest(self, deployment_id: str, delay_ms: int = 0) -> str:
        """Send a deployment to rest, from inside Restate; returns the invocation's id."""
        standby = deployment_pb2.DEPLOYMENT_DESIRED_STATE_STANDBY
        request = deployment_pb2.ScheduleDesiredStateChangeRequest(delay_millis=delay_ms, state=standby)
        change = {"service": _DEPLOYMENT, "rpc": "ScheduleDesiredStateChange", "key": deployment_id}
        wanted = {**change, "request": encode(request).decode()}
        return await self.site.send("tests.InsideCaller", secrets.token_hex(8), "Call", wanted)

    async def gone(self, deployment_id: str) -> None:
        """Wait until nothing of a deployment runs any more."""

        async def is_gone() -> bool:
            return not await self.site.installation.rows(tables.instances, deployment_id=deployment_id)

        await until(is_gone)

    def behave(self, behaviour: AgentBehaviour, deployment_id: str) -> None:
        """Have all regions behave so to a deployment."""
        for agent in self.agents:
            agent.behave(behaviour, deployment_id)

    def rollback(self) -> deploy_pb2.RollbackRequest:
        """Ask for the way back, from the second deployment to the first."""
        first, second = self.run.deployments
        return deploy_pb2.RollbackRequest(source_deployment_id=second, target_deployment_id=first)

    def promote(self, number: int) -> deploy_pb2.PromoteRequest:
        return deploy_pb2.PromoteRequest(target_deployment_id=self.run.deployments[number])


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
    behaviour = AgentBehaviour(start_delay=_QUICKLY)
    async with region_agents(site.installation.database, run.regions, behaviour) as agents:
        scene = Scene(site, run, flow.environment, list(agents.values()))
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
