"""Builds at Depot, from the project to the report of how it ended."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog

from service import background, errors
from service.build.depot.api import BuildTicket, DepotApi, Outcome
from service.build.depot.ending import CANCELED, SUCCESS, abandon, finish, to_its_end
from service.build.depot.faults import DepotFault, ours, retried
from service.build.depot.heartbeat import beat
from service.build.depot.machine import Machine
from service.build.depot.timing import Timing

log = structlog.get_logger(__name__)


def name_of(error: Exception) -> str:
    """Say no more than the kind of an error: its text may hold what Depot need not know."""
    return type(error).__name__


class DepotBuild:
    """A build that runs. Depot hears of its health until it ends."""

    def __init__(self, api: DepotApi, ticket: BuildTicket, platform: str, timing: Timing) -> None:
        self.build_id = ticket.build_id
        self._api = api
        self._ticket = ticket
        self._platform = platform
        self._timing = timing

    async def machine(self) -> Machine:
        """Wait for the machine. Raises what `Depot.build` raises."""
        within_s = self._timing.machine.total_seconds()
        try:
            async with asyncio.timeout(within_s):
                found = await self._poll()
        except TimeoutError:
            late = DepotFault("GetBuildKitConnection", "deadline_exceeded", f"no machine within {within_s:g} s")
            raise ours(late) from None
        except DepotFault as fault:
            raise ours(fault) from None
        if found.certificates is None:
            log.warning("Depot gave no certificate: its machine is spoken to in plain text", build=self.build_id)
        return found

    async def _poll(self) -> Machine:
        while True:
            found = await retried(lambda: self._api.connection(self._ticket, self._platform), self._timing.retry_pause)
            if isinstance(found, Machine):
                return found
            await asyncio.sleep(max(found.wait, self._timing.poll_floor).total_seconds())


class Depot:
    """An organization at Depot; `token` is the organization's."""

    def __init__(self, base_url: str, token: str, timing: Timing | None = None) -> None:
        self._timing = timing or Timing()
        self._api = DepotApi(base_url, token, self._timing)

    async def close(self) -> None:
        await self._api.close()

    async def project(self, name: str, region: str) -> str:
        """Return the id of the project of that name, made in `region` where there is none. Raises as `build` does."""
        within_s = self._timing.project.total_seconds()
        try:
            async with asyncio.timeout(within_s):
                return await self._found(name) or await self._made(name, region)
        except TimeoutError:
            late = DepotFault("ListProjects", "deadline_exceeded", f"no project within {within_s:g} s")
            raise ours(late) from None
        except DepotFault as fault:
            raise ours(fault) from None

    async def log_in(self) -> None:
        """See that Depot takes the token: ask for projects, once. Raises as `build` does."""
        try:
            await self._api.projects("")
        except DepotFault as fault:
            raise ours(fault) from None

    @asynccontextmanager
    async def build(
        self, project_id: str, platform: str, describe: Callable[[Exception], str] = name_of
    ) -> AsyncIterator[DepotBuild]:
        """Run a build for a platform such as `linux/amd64`; leaving the block tells Depot how it ended.

        `describe` words an error of the block for Depot, without secrets. Raises Transient (DEPOT_UNAVAILABLE,
        DEPOT_RATE_LIMITED), FailedPrecondition (DEPOT_AUTH_FAILED), Internal (DEPOT_REFUSED), and NotFound
        (DEPOT_PROJECT_GONE) where the project was deleted at Depot.
        """
        ticket = await self._created(project_id)
        beating = partial(beat, self._api, ticket, platform, self._timing)
        heartbeat = background.forever("depot heartbeat", beating, self._timing.heartbeat_pause)
        outcome = CANCELED
        try:
            yield DepotBuild(self._api, ticket, platform, self._timing)
            outcome = SUCCESS
        except errors.Cancelled:
            raise
        except Exception as error:
            outcome = Outcome("error", describe(error))
            raise
        finally:
            await to_its_end(self._end(ticket, heartbeat, outcome))

    async def _found(self, name: str) -> str:
        page = await self._api.projects("")
        while name not in page.ids_by_name and page.next_token:
            page = await self._api.projects(page.next_token)
        return page.ids_by_name.get(name, "")

    async def _made(self, name: str, region: str) -> str:
        try:
            return await self._api.create_project(name, region)
        except DepotFault as fault:  # somebody else was quicker
            found = await self._found(name) if fault.code == "already_exists" else ""
            if not found:
                raise
            return found

    async def _created(self, project_id: str) -> BuildTicket:
        creating = asyncio.create_task(self._api.create_build(project_id))
        try:
            await asyncio.wait([creating])
        except asyncio.CancelledError:
            await to_its_end(abandon(self._api, creating, self._timing))
            raise
        try:
            return creating.result()
        except DepotFault as fault:
            raise ours(fault) from None

    async def _end(self, ticket: BuildTicket, heartbeat: asyncio.Task[None], outcome: Outcome) -> None:
        await background.end(heartbeat)
        await finish(self._api, ticket, outcome, self._timing)
