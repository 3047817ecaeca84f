"""One execution of a deploy's build: under a lease, within its time, and tried again where that may help (06 · B1, B5).

It runs inside a journaled step, perhaps more than once: after a crash it finds what the one before pushed, or builds
anew.
"""

import asyncio
from dataclasses import dataclass

import structlog

from service.build.builder import BUILD_FAILED, BuildContext, Built, Order
from service.build.failure import GIT_AUTH_FAILED
from service.build.lease import LEASE_LOST, under_lease
from service.clock import now_ms
from service.database import builds, projects
from service.database.builds import Execution
from service.errors import BuildFailed, FailedPrecondition, HydraError, Internal, NotFound, Transient
from service.workflow.runtime import Runtime

log = structlog.get_logger(__name__)

_MINUTES_FROM_S = 120


@dataclass(frozen=True)
class Assignment:
    """What is to be built, and when it has to be over (Unix milliseconds)."""

    order: Order
    deadline_ms: int


async def execute(runtime: Runtime, assignment: Assignment) -> Built:
    """Build the image, or take the one that an earlier execution made.

    Raises BuildFailed, also when time is up; Transient where a new execution may help; Internal when there were
    enough of those.
    """
    order = assignment.order
    lease_ms = int(runtime.options.build_lease.total_seconds() * 1000)
    execution = await runtime.database.transact(
        lambda conn: builds.begin(conn, order.operation_id, order.deployment_id, now_ms(), lease_ms)
    )
    if execution.digest:
        return Built(execution.image or "", execution.digest, execution.build_id or "", execution.commit_sha or "")
    return await _Execution(runtime, assignment, execution).run()


class _Execution:
    """What happens while this process holds the lease."""

    def __init__(self, runtime: Runtime, assignment: Assignment, execution: Execution) -> None:
        self._runtime = runtime
        self._database = runtime.database
        self._assignment = assignment
        self._execution = execution
        self._token = ""
        self._begun = False

    async def run(self) -> Built:
        try:
            built = await under_lease(self._in_time, self._renew, self._runtime.options.build_lease)
        except asyncio.CancelledError:
            await asyncio.shield(self._release())
            raise
        except Transient as error:
            raise await self._after_transient(error) from None
        except HydraError:
            await self._database.transact(lambda conn: builds.fail(conn, self._execution, now_ms()))
            raise
        made = {name: value for name, value in vars(built).items() if value}
        await self._database.transact(lambda conn: builds.succeed(conn, self._execution, now_ms(), **made))
        return built

    async def _renew(self) -> bool:
        until = now_ms() + int(self._runtime.options.build_lease.total_seconds() * 1000)
        return await self._database.transact(lambda conn: builds.renew(conn, self._execution, until))

    async def _release(self) -> None:
        """Give the lease back where that works; otherwise it runs out by itself."""
        try:
            await self._database.transact(lambda conn: builds.release(conn, self._execution))
        except HydraError as error:
            log.warning("a build's lease was not given back", operation=self._operation_id, reason=error.reason)

    async def _after_transient(self, error: Transient) -> HydraError:
        """Choose what to raise after trouble that is nobody's fault: it is final when there was enough of it.

        What came before the build itself, such as a builder that is away, costs no try: the build's time bounds it.
        """
        failures = 0
        if self._begun and error.reason != LEASE_LOST:
            failures = await self._database.transact(lambda conn: builds.count_failure(conn, self._execution))
        if failures < self._runtime.options.build_tries and now_ms() < self._assignment.deadline_ms:
            await self._release()
            return error
        await self._database.transact(lambda conn: builds.fail(conn, self._execution, now_ms()))
        return _unavailable(f"in {failures} tries" if failures else "in time", error.message, last=error.reason)

    async def _in_time(self) -> Built:
        bound = asyncio.timeout((self._assignment.deadline_ms - now_ms()) / 1000)
        try:
            async with bound:
                return await self._found() or await self._build()
        except TimeoutError:
            if not bound.expired():
                raise
            if not self._begun:
                raise _unavailable("in time", "no builder was ready for it") from None
            limit_s = self._runtime.options.build_timeout.total_seconds()
            limit = f"{limit_s:g} seconds" if limit_s < _MINUTES_FROM_S else f"{limit_s / 60:g} minutes"
            raise BuildFailed(
                f"the build did not end within {limit}: look for the step that takes so long, and make the "
                "build smaller or faster",
                reason=BUILD_FAILED,
                cause="TIMEOUT",
            ) from None

    async def _found(self) -> Built | None:
        """Find what the execution before this one pushed, if there was one."""
        if self._execution.number == 1:
            return None
        found = await self._runtime.builder.find(self._assignment.order, self._execution.build_id or "")
        if found is not None:
            log.info("took the image of an earlier execution", operation=self._operation_id, digest=found.digest)
        return found

    async def _build(self) -> Built:
        builder, order = self._runtime.builder, self._assignment.order
        context = BuildContext(self._clone_token, self._named)
        try:
            return await builder.build(order, context)
        except NotFound as error:
            # Deleted at the builder behind our back: the next deploy is to make another.
            await self._database.transact(lambda conn: projects.forget_builder_project(conn, order.builder_project))
            raise FailedPrecondition(
                "the project that builds this one is gone from the builder: deploy again, and another is made",
                reason="BUILDER_PROJECT_GONE",
            ) from error
        except BuildFailed as error:
            if error.facts.get("cause") != GIT_AUTH_FAILED or not self._token:
                raise
            # The token may have ended, or lost its repository, since it was cached.
            self._runtime.github.forget(self._token)
            return await builder.build(order, context)

    async def _clone_token(self) -> str:
        """Get the token that the builder clones with, which is the last thing before it begins."""
        order = self._assignment.order
        if order.trusted:
            self._token = await self._runtime.github.clone_token(order.source.installation_id, order.source.repository)
        self._begun = True
        return self._token

    async def _named(self, build_id: str) -> None:
        await self._database.transact(lambda conn: builds.name_remote(conn, self._execution, build_id))

    @property
    def _operation_id(self) -> str:
        return self._assignment.order.operation_id


def _unavailable(tried: str, why: str, **facts: str) -> Internal:
    return Internal(
        f"the image could not be built {tried}: {why}; deploy again later", reason="BUILD_UNAVAILABLE", **facts
    )
