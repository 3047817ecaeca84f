"""Asking for rounds of the reconciler, as long as a worker runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import structlog

from service import background
from service.clock import now_ms
from service.config import ReconcileSettings, Settings
from service.durable.admin import Admin
from service.errors import HydraError
from service.rpc.ingress import Ingress
from service.rpc.reconciler import ask_for_round

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_admin(settings: Settings) -> AsyncIterator[Admin]:
    """Open Restate's admin API, and what the ingress alone can tell."""
    restate = settings.restate
    async with Admin(restate.admin_url, restate.api_key.get_secret_value(), restate.ingress_url) as admin:
        yield admin


@asynccontextmanager
async def reconciling(settings: Settings) -> AsyncIterator[None]:
    """Ask for a round in every interval; all workers of an installation together get one."""
    if not (settings.reconcile.interval and settings.services.reconcile):
        log.info("the reconciler is off: what is stuck is found by `hydra-deploy reconcile` alone")
        yield
        return
    ingress = Ingress(settings.restate.ingress_url)
    asking = background.forever("reconciling", partial(_ask_for_rounds, ingress, settings.reconcile))
    try:
        yield
    finally:
        await background.end(asking)
        await ingress.close()


async def _ask_for_rounds(ingress: Ingress, settings: ReconcileSettings) -> None:
    """Ask in every interval of the clock, which is the same for all workers; one that is late joins the others."""
    every = [_Rounds(ingress, settings.interval, thorough=False)]
    if settings.thorough_interval:
        every.append(_Rounds(ingress, settings.thorough_interval, thorough=True))
    while True:
        for rounds in every:
            try:
                await rounds.ask()
            except HydraError as error:
                log.warning("no round of the reconciler could be asked for", reason=error.reason)
            except Exception:
                log.exception("no round of the reconciler could be asked for")
        await asyncio.sleep((_ms(settings.interval) - now_ms() % _ms(settings.interval)) / 1000)


class _Rounds:
    """The rounds of one kind, one in each interval."""

    def __init__(self, ingress: Ingress, interval: timedelta, *, thorough: bool) -> None:
        self._ingress = ingress
        self._interval = interval
        self._thorough = thorough
        self._asked = ""
        self._last = ""

    async def ask(self) -> None:
        """Ask for this interval's round, once, and not while the last is still gone: they would queue up."""
        name = f"{self._interval}/{now_ms() // _ms(self._interval)}"
        if name == self._asked or (self._last and not await self._ingress.has_ended(self._last)):
            return
        self._last = await ask_for_round(self._ingress, name, thorough=self._thorough)
        self._asked = name


def _ms(interval: timedelta) -> int:
    return int(interval.total_seconds() * 1000)
