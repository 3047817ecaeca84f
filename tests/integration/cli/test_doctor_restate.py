"""What `hydra-deploy doctor` finds at a real Restate server, with workers that only register and fail."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from service.app.doctor import restate as part
from service.app.doctor.checks import Finding, Level
from service.app.doctor.examine import examine
from service.app.services import KEYS, is_public, names_served
from service.config import parse
from service.dev.restate import RestateOptions, RestateServer
from service.release import release_id
from tests.integration.door.admin_gate import AdminGate
from tests.servers.restate_worker import FakeService, FakeWorker, can_be_asked
from tests.waiting import until

LOSING_PATIENCE = {
    "retryPolicyInitialInterval": 1,
    "retryPolicyExponentiationFactor": 1.0,
    "retryPolicyMaxInterval": 2,
    "retryPolicyMaxAttempts": 1000,
}
GIVING_UP = LOSING_PATIENCE | {"retryPolicyMaxAttempts": 2, "retryPolicyOnMaxAttempts": "PAUSE"}


@pytest.fixture
async def restate(tmp_path: Path) -> AsyncIterator[RestateServer]:
    async with RestateServer(tmp_path, options=RestateOptions(partitions=1, fsync=False)) as server:
        await can_be_asked(server.admin_url)
        yield server


async def look(restate: RestateServer, toml: str = "", admin_url: str = "", more: str = "") -> list[Finding]:
    """Look at Restate alone; `toml` is of `[restate]`, `more` comes after that."""
    settings = parse(
        f'[database]\nprimary = "sqlite:///nowhere.db"\n[restate]\nadmin_url = "{admin_url or restate.admin_url}"\n'
        f'ingress_url = "{restate.ingress_url}"\n{toml}\n{more}',
        {},
    )
    return await examine(settings, [(part.PART, part.examine)])


def of(found: Collection[Finding], level: Level) -> dict[str, str]:
    return {finding.check: finding.found for finding in found if finding.level is level}


def services(**changed: Mapping[str, object]) -> list[FakeService]:
    """Make all services, some of them changed, by the last part of their names."""
    private = {name: {"ingressPrivate": not is_public(name)} for name in KEYS}
    return [FakeService(name, {**private[name], **changed.get(name.rpartition(".")[2], {})}) for name in KEYS]


@asynccontextmanager
async def registered(restate: RestateServer, *workers: FakeWorker) -> AsyncIterator[None]:
    """Run workers, registered in this order."""
    async with AsyncExitStack() as running:
        for worker in workers:
            await running.enter_async_context(worker)
            await worker.register(restate.admin_url)
        yield


def ours(**changed: Mapping[str, object]) -> FakeWorker:
    """Make a worker of this very release."""
    settings = parse('[database]\nprimary = "sqlite:///nowhere.db"\n', {})
    return FakeWorker(services(**changed), f"/r/{release_id(names_served(settings.services))}")


async def invoke(restate: RestateServer, service: str) -> None:
    url = f"{restate.ingress_url}/{service}/key/Do/send"
    async with aiohttp.ClientSession() as http, http.post(url, json={}) as answer:
        assert answer.ok, await answer.text()


async def test_a_server_that_is_away_is_told_of_by_each_of_its_sides(restate: RestateServer) -> None:
    await restate.stop()
    faults = of(await look(restate), Level.FAULT)
    assert faults.keys() == {"ingress", "admin"}
    assert restate.admin_url in faults["admin"]


async def test_a_wrong_api_key_is_told(restate: RestateServer) -> None:
    async with AdminGate(restate.admin_url, "the key") as gate, registered(restate, ours()):
        refused = await look(restate, 'api_key = "another key"', gate.url)
        odd = await look(restate, 'api_key = "schlüssel"', gate.url)
        taken = await look(restate, 'api_key = "the key"', gate.url)
    assert of(refused, Level.FAULT) == {"admin": "Restate's admin API does not know us: check restate.api_key"}
    assert of(odd, Level.FAULT).keys() == {"admin"}  # no header can hold it
    assert of(taken, Level.FAULT) == {}
    assert "another key" not in str(refused)


async def test_what_is_no_restate_is_told(restate: RestateServer) -> None:
    async with FakeWorker([]) as stranger:
        found = await look(restate, admin_url=stranger.uri)
    assert "is restate.admin_url that of a Restate server" in of(found, Level.FAULT)["admin"]


async def test_services_that_nobody_serves_are_faults(restate: RestateServer) -> None:
    found = await look(restate, more="[services]\nopenapi = false\nreconcile = false")
    faults = [finding for finding in found if finding.level is Level.FAULT]
    named = {finding.found.split()[0] for finding in faults if finding.check == "services"}
    assert named == {name for name, key in KEYS.items() if key != "reconcile"}
    assert "services" in of(found, Level.OFF)  # nobody finds what is stuck
    left_out = next(finding for finding in faults if "is left out" in finding.found)
    assert left_out.found.startswith("hydra.v1.OpenapiService is left out (services.openapi = false)")
    assert of(found, Level.FAULT)["release"].startswith("no release of this service is registered")


async def test_what_only_this_service_can_serve_is_not_left_to_others(restate: RestateServer) -> None:
    stranger = FakeWorker([each for each in services() if "Routing" in each.name or "Openapi" in each.name])
    async with registered(restate, ours(), stranger):
        found = await look(restate)
        assert of(found, Level.FAULT) == {
            "services": f"hydra.v1.RoutingService is served by {stranger.uri}/, which is not of this service"
        }


async def test_a_newer_release_is_told(restate: RestateServer) -> None:
    newer = FakeWorker(services(), "/r/00000000000a")
    async with registered(restate, ours(), newer):
        assert of(await look(restate), Level.FAULT) == {}
        assert newer.uri in of(await look(restate), Level.WARNING)["release"]
        await newer.stop()
        assert of(await look(restate), Level.FAULT).keys() == {"endpoint"}


async def test_how_restate_treats_services_is_compared(restate: RestateServer) -> None:
    worker = ours(
        VersioningService={"retryPolicyMaxAttempts": 3, "abortTimeout": 1000},
        RoutingService={"ingressPrivate": False},
        DeployService={"ingressPrivate": True, "idempotencyRetention": 1000},
    )
    async with registered(restate, worker):
        found = await look(restate)
    said = {finding.found for finding in found if finding.level is Level.WARNING}
    versioning = next(text for text in said if text.startswith("hydra.v1.VersioningService: "))
    assert "abort timeout 1s where this release asks for 15m" in versioning
    assert "attempts 3 where this release asks for 17300" in versioning
    # What Restate itself says of a worker that cannot hold a connection.
    assert "RT0021" in versioning
    assert "Restate keeps the results of deploys for 1s" in said
    assert "hydra.v1.RoutingService is open to callers of the ingress" in said
    assert of(found, Level.FAULT) == {"privacy": "hydra.v1.DeployService is closed to callers of the ingress"}


async def test_what_is_paused_or_fails_again_and_again_is_told(restate: RestateServer) -> None:
    worker = ours(DeployService=LOSING_PATIENCE, ReconcileService={**GIVING_UP, "ingressPrivate": False})
    async with registered(restate, worker):
        await invoke(restate, "hydra.v1.DeployService")
        await invoke(restate, "hydra.v1.ReconcileService")

        async def told() -> bool:
            found = await look(restate)
            return "invocations" in of(found, Level.FAULT) and "invocations" in of(found, Level.WARNING)

        await until(told)
        found = await look(restate)
    assert "1 is paused: ReconcileService/Do inv_" in of(found, Level.FAULT)["invocations"]
    warned = of(found, Level.WARNING)["invocations"]
    assert "1 is tried 10 times and more: DeployService/Do inv_" in warned
    assert "500" in warned
