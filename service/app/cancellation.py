"""Ending a deploy on an operator's word, wherever it stands: waiting at Restate, building, moving traffic (06 · L7)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import attempts, deployments, stuck
from service.database.attempts import AttemptState
from service.database.engine import Database
from service.domain.deployment import Status
from service.durable.admin import PAUSED, Admin, Invocation
from service.errors import FailedPrecondition
from service.workflow.reconciliation.settlement import cancel_unbegun
from service.workflow.underway import deploys_under_way

_LOOK_SECONDS = 0.3


@dataclass(frozen=True)
class Ended:
    """What became of the deployment: its status, and its error (empty for none)."""

    status: Status
    error: str


class Cancellation:
    """The cancellation of one deployment's deploys. Needs Restate's admin API and the database."""

    def __init__(self, database: Database, restate: Admin, deployment_id: str) -> None:
        self._database = database
        self._restate = restate
        self._deployment_id = deployment_id
        self.operation_ids: list[str] = []

    async def ask(self) -> Sequence[str]:
        """Tell every invocation that deploys it to end; returns their ids, none where nobody has asked for it.

        Each stops what it does at the moment and then undoes what it did. One that has not begun never will. Raises
        NotFound, and FailedPrecondition where the deploy has ended.
        """
        status = await self._status()
        if status.is_terminal:
            raise FailedPrecondition(
                f"the deployment {self._deployment_id!r} is {status.value}: there is nothing to cancel",
                reason="NOTHING_TO_CANCEL",
            )
        for invocation in await self._under_way():
            if invocation.status == PAUSED:
                await self._restate.cancel_paused(invocation.id)
            else:
                await self._restate.cancel(invocation.id)
            self.operation_ids.append(invocation.id)
        return self.operation_ids

    async def ended(self) -> Ended:
        """Wait until nothing works on the deployment any more, and return what became of it.

        Raises FailedPrecondition where its operation died before it was cancelled.
        """
        while under_way := await self._under_way():
            for invocation in under_way:
                # A pause that was asked for earlier may begin only now, with the end of a step, and hold it up.
                if invocation.status == PAUSED:
                    await self._restate.cancel_paused(invocation.id)
            await asyncio.sleep(_LOOK_SECONDS)
        if not (await self._status()).is_terminal and not await self._end_unbegun():
            raise FailedPrecondition(
                f"what worked on the deployment {self._deployment_id!r} has died: `hydra-deploy reconcile` undoes it",
                reason="OPERATION_DIED",
            )
        found = await self._database.read(lambda conn: stuck.ended(conn, [self._deployment_id]))
        return Ended(*found[self._deployment_id])

    async def _end_unbegun(self) -> bool:
        operation_id = self.operation_ids[0] if self.operation_ids else f"cancelled:{self._deployment_id}"
        return await self._database.transact(lambda conn: cancel_unbegun(conn, self._deployment_id, operation_id))

    async def _under_way(self) -> list[Invocation]:
        """Find what works on it or is about to: by its request, and by its claim."""
        found = {each.id: each for each in (await deploys_under_way(self._restate)).get(self._deployment_id, [])}
        attempt = await self._database.read(lambda conn: attempts.newest(conn, self._deployment_id))
        if attempt is not None and attempt.state is AttemptState.RUNNING:
            found |= await self._restate.by_id([attempt.operation_id])
        return [each for each in found.values() if not each.ended]

    async def _status(self) -> Status:
        async def work(conn: AsyncConnection) -> Status:
            status = await deployments.status(conn, self._deployment_id)
            if status is None:
                raise deployments.deployment_not_found(self._deployment_id)
            return status

        return await self._database.read(work)
