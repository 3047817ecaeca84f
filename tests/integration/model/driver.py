"""Doing to a real installation what the model does to itself, and looking at what came of it."""

import asyncio
import os
import signal
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from hydra.v1 import deploy_pb2, deployment_pb2
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import tables
from service.dev.workload import AgentBehaviour
from service.dev.world import World
from service.errors import FailedPrecondition
from service.rpc.failure import error_info
from tests.inside_caller import InsideCaller
from tests.installation import HEARS_IN_A_STEP, deploy_request
from tests.integration.model.expected import PREVIEW, PRODUCTION, REGIONS, Expected, Seen
from tests.integration.reconciling.rounds import go_round
from tests.integration.test_repeated_operations import changes, written
from tests.invariants import holds
from tests.outage import Cut
from tests.previews import keep_log_alive
from tests.waiting import appears, until

SERVICE = "hydra.v1.DeploymentService"
HOUR_MS = 3_600_000
LONG_AGO_MS = 10 * HOUR_MS
WITHIN_S = 30
PAUSE_S = 1.5
STANDBY = deployment_pb2.DEPLOYMENT_DESIRED_STATE_STANDBY
_REFUSALS = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.CANCELLED)


@dataclass
class Call:
    """A call that was made: under a key of its own, so that it can be made again. `accepted` is None while it runs.

    Of what is `thwarted` any error is to be expected.
    """

    name: str
    request: Any
    key: str
    operation_id: str = ""
    accepted: bool | None = None
    thwarted: bool = False


class Driver:
    """One app, in a workspace of its own; deployments go by their number in the order of creation."""

    def __init__(self, cut: Cut, inside: InsideCaller, world: World) -> None:
        self.installation = cut.installation
        self.world = world
        self.calls: list[Call] = []
        self._cut = cut
        self._inside = inside
        self._ids: list[str] = []
        self._waiting: dict[int, tuple[Call, asyncio.Task[bool]]] = {}
        self._dead: dict[str, Call] = {}  # by operation, until a round has settled it

    # ---------------------------------------------------------------------------------------------------- operations

    async def begin(self, environment: str) -> bool:
        """Begin a deploy, and wait until it waits for its instances, which do not come."""
        created = now_ms() - LONG_AGO_MS + 1000 * len(self._ids)
        self._ids.append(await self.installation.deployment(self.world, environment, created_at_ms=created))
        return await self.again(len(self._ids) - 1)

    async def again(self, number: int) -> bool:
        self._behave(number, AgentBehaviour(dead=True))
        call = self._call("Deploy", deploy_request(self._ids[number]))
        self._waiting[number] = call, asyncio.ensure_future(self._make(call))

        async def waits() -> bool:
            rows = await self.installation.rows(tables.hydra_operations, id=call.operation_id)
            return any("regions" in (row["detail"] or {}) for row in rows)

        await asyncio.wait_for(until(waits), WITHIN_S)
        return True

    async def finish(self, number: int) -> bool:
        self._behave(number, AgentBehaviour())
        return await self._end(number)

    async def fail(self, number: int) -> bool:
        """Make the deploy fail at its switch: somebody has put the deployment to standby meanwhile."""
        await self.installation.set(tables.deployments, {"id": self._ids[number]}, desired_state="standby")
        return await self.finish(number)

    async def cancel(self, number: int) -> bool:
        await self.installation.cancel(self._waiting[number][0].operation_id)
        if not HEARS_IN_A_STEP:
            self._behave(number, AgentBehaviour())
        return await self._end(number)

    async def rollback(self, source: int, target: int) -> bool:
        request = deploy_pb2.RollbackRequest(
            source_deployment_id=self._ids[source], target_deployment_id=self._ids[target]
        )
        return await self._make(self._call("Rollback", request))

    async def promote(self, target: int) -> bool:
        return await self._make(
            self._call("Promote", deploy_pb2.PromoteRequest(target_deployment_id=self._ids[target]))
        )

    async def start(self, number: int) -> bool:
        return await self._make(self._call("Deploy", deploy_request(self._ids[number])))

    async def rest(self, due: int) -> bool:
        """Deliver the scheduled stop before its time."""
        pending = (await self._inside.state(SERVICE, self._ids[due])).get("transition")
        if pending is not None:
            change = deployment_pb2.ChangeDesiredStateRequest(nonce=pending["Nonce"], state=STANDBY)
            with suppress(FailedPrecondition):  # what may not rest goes on running
                await self._inside.call(SERVICE, "ChangeDesiredState", self._ids[due], change)
        return True

    async def hours(self) -> bool:
        """Deliver all messages before their time, and make all that has happened look old."""
        for due in await self._pending():
            await self.rest(due)
        late = await self.installation.admin_query(
            "select id from sys_invocation where target_handler_name = 'ChangeDesiredState' and status = 'scheduled' "
            f"and target_service_key in ({self._keys()})"
        )
        for row in late:
            await self.installation.kill(row["id"])
        await self.installation.database.transact(self._age)
        return True

    async def sweep(self) -> bool:
        """Make all previews of this app look old, and sweep; it is others that were called."""
        environment_id = self.world.app.environments[PREVIEW]
        await self.installation.set(
            tables.deployments,
            {"environment_id": environment_id, "status": "ready"},
            updated_at=now_ms() - LONG_AGO_MS,
        )
        await keep_log_alive(self.installation.stack.options.environ["HYDRA_CLICKHOUSE__URL"])
        request = deploy_pb2.ScaleDownIdlePreviewDeploymentsRequest()
        return await self._make(self._call("ScaleDownIdlePreviewDeployments", request))

    async def drain(self, region: str) -> bool:
        await self.installation.set(tables.regions, {"id": self.world.regions[region].id}, can_schedule=False)
        return True

    async def undrain(self, region: str) -> bool:
        await self.installation.set(tables.regions, {"id": self.world.regions[region].id}, can_schedule=True)
        return True

    # --------------------------------------------------------------------------------------------------- misfortunes

    async def repeated(self, number: int) -> None:
        """Make a call again that Restate has forgotten: it is answered as before, and nothing is done."""
        earlier = self.calls[number]
        await self.installation.forget(earlier.operation_id)
        before = await written(self.installation, self.world)
        again = Call(earlier.name, earlier.request, earlier.key, thwarted=True)
        answer = await self._ask(again)
        assert answer == ("" if earlier.accepted else "OPERATION_ENDED"), answer
        assert again.operation_id == earlier.operation_id
        assert await changes(self.installation, self.world, before) == []

    async def kill(self, number: int) -> bool:
        """Kill the operation of a deploy that waits, and make Restate forget it."""
        await self._kill(self._waiting[number][0])
        return await self._end(number)

    async def kill_takeover(self, name: str, *arguments: int) -> bool:
        """Kill a rollback or a promotion once it has set its target running."""
        async with self.installation.held("wake deployment.after") as reached:
            calling = asyncio.ensure_future(getattr(self, name)(*arguments))
            call = await self._newest()
            await appears(reached)
            await self._kill(call)
            return bool(await calling)

    async def cut_short(self, name: str, *arguments: int) -> bool:
        """Kill an operation once it has made its switch."""
        async with self.installation.held("switch traffic.after") as reached:
            calling = asyncio.ensure_future(getattr(self, name)(*arguments))
            call = self._waiting[arguments[0]][0] if name == "finish" else await self._newest()
            await appears(reached)
            await self._kill(call)
            await calling
        del self._dead[call.operation_id]
        call.accepted = True
        return True

    async def round(self, *, thorough: bool = True) -> frozenset[int]:
        """Have a round gone: it finds what is dead, and nothing else but stops that were lost, which it returns."""
        subjects = await self._subjects()
        found = {
            (each["kind"], each["subject"])
            for each in await go_round(self.installation, thorough=thorough)
            if each["kind"] == "NOT_LOOKED_AT" or each["subject"] in subjects
        }
        lost = {("STANDBY_LOST", each) for each in self._ids} & found
        assert found - lost == {("OPERATION_GONE", each) for each in self._dead}, found
        for call in self._dead.values():
            call.accepted = False
        self._dead.clear()
        return frozenset(self._ids.index(subject) for _, subject in lost)

    async def undone(self, how: str, point: str, name: str, *arguments: int) -> bool:
        """Begin an operation, and end it badly when it is before or after its switch.

        It is cancelled; or killed, and settled by a round before the killed step goes on; or cancelled while the
        database is away; or it gives up, because the database is away for too long.
        """
        async with self.installation.held(f"switch traffic.{point}") as reached:
            calling = asyncio.ensure_future(getattr(self, name)(*arguments))
            call = self._waiting[arguments[0]][0] if name == "finish" else await self._newest()
            call.thwarted = True
            await appears(reached)
            match how:
                case "cancelled":
                    await self.installation.cancel(call.operation_id)
                    if HEARS_IN_A_STEP:
                        await asyncio.wait([calling])
                case "killed":
                    await self._kill(call)
                    await self.round(thorough=False)
                case "cut off":
                    async with self._cut.away():
                        await self.installation.cancel(call.operation_id)
                        await asyncio.sleep(self._cut.seconds)
                case "given up":
                    async with self._cut.away():
                        reached.with_suffix(".hold").unlink()
                        await asyncio.sleep(self._cut.seconds)
        return bool(await calling)

    async def interrupted(self, how: str, point: str, name: str, *arguments: int) -> bool:
        """Do an operation, and let the worker vanish at its switch: for ever, or for a while."""
        worker = self.installation.stack.worker
        if how == "dies":
            self.installation.kill_at(f"switch traffic.{point}")
            calling = asyncio.ensure_future(getattr(self, name)(*arguments))
            await until(lambda: asyncio.to_thread(lambda: worker.exit_code is not None))
            await self.installation.stack.start_worker()
            return bool(await calling)
        async with self.installation.held(f"switch traffic.{point}") as reached:
            calling = asyncio.ensure_future(getattr(self, name)(*arguments))
            await appears(reached)
            os.kill(worker.pid, signal.SIGSTOP)
            await asyncio.sleep(PAUSE_S)
            os.kill(worker.pid, signal.SIGCONT)
        return bool(await calling)

    # ---------------------------------------------------------------------------------------------------------- looks

    async def seen(self) -> Seen:
        """Look at everything that the model speaks of."""
        app = await self.installation.row(tables.apps, id=self.world.app.id)
        rows = {row["id"]: row for row in await self.installation.rows(tables.deployments, app_id=self.world.app.id)}
        runs = await self._regions(tables.deployment_topology, desired_status="running")
        shows = await self._regions(tables.instances, status="running")
        return Seen(
            self._number(app["current_deployment_id"]),
            bool(app["is_rolled_back"]),
            await self._routed(),
            tuple(
                (
                    rows[one]["status"],
                    rows[one]["desired_state"],
                    runs.get(one, frozenset()),
                    shows.get(one, frozenset()),
                )
                for one in self._ids
            ),
            await self._pending(),
        )

    async def agrees(self, *expected: Expected) -> Expected | None:
        """Wait until what is seen is one of the expected states, and return it; messages may still be on their way."""
        deadline = asyncio.get_running_loop().time() + WITHIN_S
        while asyncio.get_running_loop().time() < deadline:
            seen = await self.seen()
            for one in expected:
                if one.seen() == seen:
                    return one
            await asyncio.sleep(0.02)
        return None

    async def in_order(self) -> None:
        await holds(self.installation, self.world, instances=True, dead=self._dead)

    def ended(self) -> list[int]:
        """Return the calls whose end Restate may have forgotten by now."""
        return [number for number, call in enumerate(self.calls) if call.accepted is not None]

    async def close(self) -> None:
        """Cancel the deploys that still wait, and let every region take what comes."""
        for number in list(self._waiting):
            await self.cancel(number)
        for region in REGIONS:
            await self.undrain(region)

    # --------------------------------------------------------------------------------------------------------- pieces

    def _call(self, name: str, request: Any) -> Call:
        self.calls.append(Call(name, request, key=f"{name}-{uuid.uuid4()}"))
        return self.calls[-1]

    async def _newest(self) -> Call:
        """Return the call that has just been made, once it is accepted."""
        calls = len(self.calls)

        async def accepted() -> bool:
            return len(self.calls) > calls and bool(self.calls[-1].operation_id)

        await until(accepted)
        return self.calls[-1]

    async def _make(self, call: Call) -> bool:
        """Make a call, and tell whether it went well."""
        accepted = await self._ask(call) == ""
        if call.operation_id not in self._dead:
            call.accepted = accepted
        return accepted

    async def _ask(self, call: Call) -> str:
        """Make a call, again if the worker has vanished; returns why it was refused, nothing where it went well.

        It is submitted first, which tells its operation: what waits for its end knows it only then.
        """
        method = getattr(self.installation.stub, call.name)
        key = ("idempotency-key", call.key)
        while True:
            try:
                submitted = method(call.request, wait_for_ready=True, metadata=[key, ("x-hydra-mode", "submit")])
                await submitted
                call.operation_id = dict(await submitted.initial_metadata())["x-restate-invocation-id"]
                await method(call.request, timeout=600, metadata=[key])
            except grpc.aio.AioRpcError as error:
                info = error_info(error)
                if info is None and error.code() is grpc.StatusCode.UNAVAILABLE:
                    continue
                if error.code() not in _REFUSALS and not call.thwarted:
                    raise
                return info.reason if info else str(error.code())
            return ""

    async def _end(self, number: int) -> bool:
        _, task = self._waiting.pop(number)
        return await task

    async def _kill(self, call: Call) -> None:
        call.thwarted = True
        self._dead[call.operation_id] = call
        await self.installation.kill(call.operation_id)
        await self.installation.forget(call.operation_id)

    async def _age(self, conn: AsyncConnection) -> None:
        """Move into the past when traffic was switched, and when deployments were started."""
        for column in (tables.hydra_traffic_switches.c.switched_at, tables.hydra_operations.c.ended_at):
            of_app = column.table.c.app_id == self.world.app.id
            await conn.execute(update(column.table).where(of_app).values({column: column - LONG_AGO_MS}))

    async def _subjects(self) -> set[str]:
        """Return all ids of this app that a round may speak of."""
        ids = {*self._ids, *self._dead}
        for table in (tables.hydra_operations, tables.frontline_routes):
            ids |= {row["id"] for row in await self.installation.rows(table, app_id=self.world.app.id)}
        return ids

    async def _routed(self) -> dict[str, int | None]:
        routes = await self.installation.routes(self.world)
        slug = self.world.workspace_slug
        assert routes.get(f"shop-{slug}") == routes.get(f"shop-production-{slug}")
        return {name: self._number(routes.get(f"shop-{name}-{slug}")) for name in (PRODUCTION, PREVIEW)}

    async def _regions(self, table: Any, **where: str) -> dict[str, frozenset[str]]:
        """Find where this app's deployments have rows."""
        names = {region.id: region.name for region in self.world.regions.values()}
        found: dict[str, frozenset[str]] = {}
        for row in await self.installation.rows(table, workspace_id=self.world.workspace_id, **where):
            one = row["deployment_id"]
            found[one] = found.get(one, frozenset()) | {names[row["region_id"]]}
        return found

    async def _pending(self) -> frozenset[int]:
        rows = await self.installation.admin_query(
            f"select service_key from state where service_name = '{SERVICE}' and key = 'transition' "
            f"and service_key in ({self._keys()})"
        )
        return frozenset(self._ids.index(row["service_key"]) for row in rows)

    def _keys(self) -> str:
        return ", ".join(f"'{one}'" for one in ("", *self._ids))

    def _number(self, deployment_id: str | None) -> int | None:
        return None if deployment_id is None else self._ids.index(deployment_id)

    def _behave(self, number: int, behaviour: AgentBehaviour) -> None:
        for region in REGIONS:
            self.installation.agents[region].behave(behaviour, self._ids[number])
