"""Tasks that run beside what began them, for long: none of them ends unseen.

asyncio keeps a task's exception for whoever awaits the task. Nobody awaits one that lasts as long as the process: it
would only be missed for what it no longer does. Cancelling is how such a task ends.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from datetime import timedelta
from typing import Any

import structlog

log = structlog.get_logger(__name__)

PAUSE = timedelta(seconds=5)

Work = Callable[[], Coroutine[Any, Any, None]]


def forever(name: str, work: Work, pause: timedelta = PAUSE) -> asyncio.Task[None]:
    """Run work that has no end. Whatever ends it all the same is logged, and it begins again after `pause`."""
    return _begin(name, _again(name, work, pause, endless=True))


def until_done(name: str, work: Work, pause: timedelta = PAUSE, context: Context | None = None) -> asyncio.Task[None]:
    """Run work until it is done. Where it fails, that is logged, and it begins again after `pause`."""
    return _begin(name, _again(name, work, pause, endless=False), context)


def once(name: str, work: Work) -> asyncio.Task[None]:
    """Run work that cannot begin again. Where it fails, that is logged, and is the task's result as well."""
    task = _begin(name, _once(name, work))
    task.add_done_callback(_look_at)
    return task


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task, and wait until it has ended. Never raises what it ended with."""
    task.cancel()
    await asyncio.wait([task])


def _begin(name: str, work: Coroutine[Any, Any, None], context: Context | None = None) -> asyncio.Task[None]:
    return asyncio.create_task(work, name=name, context=context)


async def _again(name: str, work: Work, pause: timedelta, *, endless: bool) -> None:
    while True:
        is_done = await _attempt(name, work)
        if _is_cancelled():  # what it was doing has made something else of it, or nothing at all
            raise asyncio.CancelledError
        if is_done and not endless:
            return
        if is_done:
            log.error("a background task that has no end has ended", task=name)
        await asyncio.sleep(pause.total_seconds())


async def _attempt(name: str, work: Work) -> bool:
    """Tell whether the work came to its end."""
    try:
        await work()
    except asyncio.CancelledError:
        if _is_cancelled():
            raise
        log.error("a background task was cancelled from within", task=name)  # noqa: TRY400 - there is nothing to trace
    except Exception:
        log.exception("a background task failed", task=name)
    else:
        return True
    return False


async def _once(name: str, work: Work) -> None:
    try:
        await work()
    except Exception:
        log.exception("a background task failed", task=name)
        raise


def _is_cancelled() -> bool:
    """Tell whether somebody asked this very task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _look_at(task: asyncio.Task[None]) -> None:
    """Take note of the error, which was logged: asyncio would log it again as one that nobody has seen."""
    if not task.cancelled():
        task.exception()
