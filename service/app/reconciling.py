"""Asking for rounds of the reconciler, as long as a worker runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog

from service.clock import now_ms
from service.config import ReconcileSettings, Settings
from service.durable.admin import Admin
from service.errors import HydraError
from service.rpc.ingress import Ingress
from service.rpc.reconciler import ask_for_round

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_admin(settings: Settings) -> AsyncIterator[Admin]:
    """Open Restate's admin API."""
    async with Admin(settings.restate.admin_url, settings.restate.api_key.get_secret_value()) as admin:
        yield admin


@asynccontextmanager
async def reconciling(settings: Settings) -> AsyncIterator[None]:
    """Ask for a round in every interval; all workers of an installation together get one."""
    if not (settings.reconcile.interval and settings.services.reconcile):
        log.info("the reconciler is off: what is stuck is found by `hydra-deploy reconcile` alone")
        yield
        return
    ingress = Ingress(settings.restate.ingress_url)
    asking = asyncio.create_task(_ask_for_rounds(ingress, settings.reconcile), name="reconciling")
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.wait([asking])
        await ingress.close()


async def _ask_for_rounds(ingress: Ingress, settings: ReconcileSettings) -> None:
    """Ask in every interval of the clock, which is the same for all workers; one that is late joins the others."""
    every = {False: settings.interval, True: settings.thorough_interval}
    asked: dict[bool, str] = {}
    while True:
        for thorough, interval in every.items():
            name = f"{interval}/{now_ms() // _ms(interval)}" if interval else ""
            if not name or asked.get(thorough) == name:
                continue
            try:
                await ask_for_round(ingress, name, thorough=thorough)
            except HydraError as error:
                log.warning("no round of the reconciler could be asked for", reason=error.reason)
            else:
                asked[thorough] = name
        await asyncio.sleep((_ms(settings.interval) - now_ms() % _ms(settings.interval)) / 1000)


def _ms(interval: timedelta) -> int:
    return int(interval.total_seconds() * 1000)
