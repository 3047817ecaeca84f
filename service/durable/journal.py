"""Journaled steps: named, bounded, repeatable pieces of work on the outside world.

A step's action may run more than once (05 · 7), so it must end in the same state each time. It
ends in one of three ways: a value, an error of ours (journaled as a value and raised where the
step is awaited), or trouble that a retry may cure (raised again inside the attempt, up to the
step's budget). The text of foreign exceptions never reaches the journal: it may hold a secret.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Generic, Protocol, TypeVar, cast

import structlog
from pydantic import TypeAdapter
from restate import ObjectSharedContext, RestateDurableFuture, RunOptions, TerminalError
from restate.serde import Serde

from service import errors
from service.durable.terminal import from_terminal
from service.errors import HydraError, Transient

log = structlog.get_logger(__name__)

T = TypeVar("T")


class StepHook(Protocol):
    """What a process may do around every action; the crash harness kills itself here."""

    async def before(self, step: str, /) -> None: ...

    async def after(self, step: str, /) -> None: ...


class NullHook:
    async def before(self, _: str) -> None:
        return

    async def after(self, _: str) -> None:
        return


@dataclass(frozen=True)
class Budget:
    """How long a failing step is retried before the workflow fails in order."""

    max_duration: timedelta = timedelta(minutes=10)
    initial_interval: timedelta = timedelta(milliseconds=100)
    max_interval: timedelta = timedelta(seconds=5)
    max_attempts: int | None = None


# An undo is worth a day's patience: giving up leaves something running that nobody wants.
UNDO_BUDGET = Budget(max_duration=timedelta(hours=24))


class StepFailed(Exception):
    """A failure whose text is safe to journal."""

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Ended(Generic[T]):
    """What the journal keeps of a step: a value, or an error of ours flattened to strings."""

    value: T | None = None
    message: str = ""
    error: dict[str, str] | None = None


class _EndedSerde(Serde[Ended[T]]):
    def __init__(self, value_type: Any) -> None:
        self._adapter: TypeAdapter[Ended[T]] = TypeAdapter(Ended[value_type])

    def serialize(self, obj: Ended[T] | None) -> bytes:
        return self._adapter.dump_json(obj, exclude_defaults=True) if obj is not None else b""

    def deserialize(self, buf: bytes) -> Ended[T] | None:
        return self._adapter.validate_json(buf) if buf else None


@cache
def _serde(value_type: Any) -> _EndedSerde[Any]:
    return _EndedSerde(value_type)


class Journal:
    """The steps of one invocation."""

    def __init__(self, ctx: ObjectSharedContext, hook: StepHook, budget: Budget) -> None:
        self.ctx = ctx
        self.operation_id = ctx.request().id
        self._hook = hook
        self._budget = budget
        self._live: set[asyncio.Task[Any]] = set()

    async def step(
        self, name: str, result: type[T], action: Callable[[], Awaitable[T]], budget: Budget | None = None
    ) -> T:
        """Run `action` once per journal and return its value, of type `result`.

        Raises the action's HydraError, Cancelled when an operator cancels meanwhile, and Internal when the
        budget is used up.
        """
        try:
            ended = await self._start(name, result, action, budget or self._budget)
        except TerminalError as error:
            raise from_terminal(error) from None
        if ended.error is not None:
            raise errors.load(ended.message, ended.error) or errors.Internal(ended.message)
        return ended.value  # type: ignore[return-value] # None only where T allows it

    def _start(
        self, name: str, result: type[T], action: Callable[[], Awaitable[T]], budget: Budget
    ) -> RestateDurableFuture[Ended[T]]:
        options: RunOptions[Ended[T]] = RunOptions(
            serde=_serde(cast("Any", result)),
            max_attempts=budget.max_attempts,
            max_duration=budget.max_duration,
            initial_retry_interval=budget.initial_interval,
            max_retry_interval=budget.max_interval,
            retry_interval_factor=2.0,
        )

        async def attempt() -> Ended[T]:
            return await self._attempt(name, action)

        return self.ctx.run_typed(name, attempt, options)

    async def _attempt(self, name: str, action: Callable[[], Awaitable[T]]) -> Ended[T]:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._live.add(task)
        try:
            await self._hook.before(name)
            try:
                ended = Ended(value=await action())
            except Transient as error:
                log.warning("step will be retried", step=name, operation=self.operation_id, reason=error.reason)
                raise StepFailed(f"{name}: {error.message}") from None
            except HydraError as error:
                ended = Ended(message=error.message, error=errors.dump(error))
            except Exception as error:
                log.exception("step failed unexpectedly", step=name, operation=self.operation_id)
                raise StepFailed(f"{name}: {type(error).__name__}") from None
            await self._hook.after(name)
            return ended
        finally:
            self._live.discard(task)

    async def sleep(self, duration: timedelta) -> None:
        """Wait without holding anything of this process. Raises Cancelled when an operator cancels meanwhile."""
        try:
            await self.ctx.sleep(duration)
        except TerminalError as error:
            raise from_terminal(error) from None

    async def quiesce(self) -> None:
        """Stop actions that still run: a cancellation is raised while one is in flight (05 · 2).

        Without this an undo could run before the thing it undoes.
        """
        for task in self._live:
            task.cancel()
        if self._live:
            await asyncio.wait(set(self._live))
