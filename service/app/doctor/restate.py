"""Restate: whether both of its sides answer, what is registered there, and what stands still."""

import re

from service.app.doctor import invocations, registration
from service.app.doctor.checks import Examination, Finding, Part, reading_of
from service.app.reconciling import open_admin
from service.clock import now_ms
from service.config import Settings
from service.durable.admin import Admin
from service.durable.registered import services
from service.durable.releases import releases
from service.errors import HydraError, Transient
from service.rpc.ingress import Ingress

PART = Part("restate")

_OLDEST = (1, 7)  # what this service was made with and tested on (docs/compatibility.md)


async def examine(settings: Settings) -> Examination:
    """Look at the server, then at what it knows of our services."""
    yield await _ingress(settings.restate.ingress_url)
    async with open_admin(settings) as admin:
        asked_ms = now_ms()
        try:
            about = await admin.about()
        except Transient as error:
            yield PART.fault(
                "admin", f"{error.message}, at {settings.restate.admin_url}", "start it, or correct restate.admin_url"
            )
            return
        except HydraError as error:
            yield PART.fault(
                "admin", error.message, "correct restate.admin_url, restate.api_key or what stands before it"
            )
            return
        yield _version(about.version, settings.restate.admin_url)
        yield PART.clock(reading_of(about.date, asked_ms))
        async for finding in _known(settings, admin):
            yield finding


async def _ingress(url: str) -> Finding:
    ingress = Ingress(url)
    try:
        if await ingress.is_up():
            return PART.ok("ingress", f"it answers at {url}")
        return PART.fault("ingress", f"it does not answer at {url}", "start it, or correct restate.ingress_url")
    finally:
        await ingress.close()


def _version(version: str, url: str) -> Finding:
    found = re.match(r"(\d+)\.(\d+)", version)
    if found and (int(found[1]), int(found[2])) >= _OLDEST:
        return PART.ok("admin", f"Restate {version} at {url}")
    oldest = ".".join(map(str, _OLDEST))
    return PART.fault("admin", f"Restate {version or 'of no version'} at {url}", f"upgrade it to {oldest} or newer")


async def _known(settings: Settings, admin: Admin) -> Examination:
    found, served = await releases(admin), await services(admin)
    for finding in (
        *registration.findings(settings, found, served),
        *registration.treatment(settings, found, served),
        *registration.retention(settings, served),
        *invocations.of_releases(found),
    ):
        yield finding
    async for finding in invocations.findings(admin):
        yield finding
