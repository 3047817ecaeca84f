"""Taking up what changes in files while the process runs."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from service.errors import HydraError

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 2.0


class Refresh:
    """One thing that is read again: `read` takes up what changed, and tells whether anything did.

    It may block, and raise HydraError; then it has kept what there was.
    """

    def __init__(self, what: str, read: Callable[[], bool]) -> None:
        self._what = what
        self._read = read
        self._fault = ""

    async def once(self) -> None:
        fault, changed = "", False
        try:
            changed = await asyncio.to_thread(self._read)
        except HydraError as error:
            fault = error.message
        except Exception as error:  # noqa: BLE001 - whatever it is, looking goes on: a token may have to go
            fault = f"it cannot be read: {type(error).__name__}"
        if fault and fault != self._fault:  # once, not every two seconds
            log.error("a change was not taken up", of=self._what, error=fault)
        self._fault = fault
        if changed:
            log.info("a change was taken up", of=self._what)


async def keep_fresh(refreshes: Sequence[Refresh]) -> None:
    """Look again and again, for as long as it is not cancelled."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        for refresh in refreshes:
            await refresh.once()
