"""A build's heartbeat: Depot takes back the machine of a build that it hears nothing from."""

import asyncio

import structlog

from service.build.depot.api import BuildTicket, DepotApi
from service.build.depot.faults import DepotFault
from service.build.depot.timing import Timing

log = structlog.get_logger(__name__)


async def beat(api: DepotApi, build: BuildTicket, platform: str, timing: Timing) -> None:
    """Report health at once and again and again, until cancelled. Trouble is logged once per kind."""
    known: set[str] = set()
    cancels_at = ""
    while True:
        try:
            said = await api.report_health(build, platform)
        except DepotFault as fault:
            if fault.cause not in known:
                log.warning("Depot did not take a heartbeat", build=build.build_id, **fault.details)
            known.add(fault.cause)
        else:
            if said != cancels_at:
                log.info("Depot will cancel the build if it has not ended by then", build=build.build_id, at=said)
            cancels_at = said
        await asyncio.sleep(timing.heartbeat_pause.total_seconds())
