"""What builds images: a BuildKit of the operator's own, or Depot."""

from service.app.building import own_daemon
from service.app.doctor.checks import Examination, Finding, Part
from service.build.buildkit import Unreachable, connect
from service.build.depot import Depot
from service.config import Settings
from service.errors import HydraError, Transient

PART = Part("builder")


async def examine(settings: Settings) -> Examination:
    """Ask each daemon what it builds for, or Depot for projects. No build is made."""
    token = settings.registry.password.get_secret_value()
    if settings.build.address:
        yield await _daemon(settings, "build.address", settings.build.address)
        if settings.build.fork_address:
            yield await _daemon(settings, "build.fork_address", settings.build.fork_address)
        else:
            yield PART.off("build.fork_address", "it is empty: pull requests of forks are not built")
    elif token and settings.depot.api_url:
        yield await _depot(settings.depot.api_url, token)
    else:
        yield PART.off("builder", "neither build.address nor depot.api_url is set: images are deployed, none is built")


async def _daemon(settings: Settings, key: str, address: str) -> Finding:
    at = own_daemon(settings, address)
    wanted = settings.build_platform
    async with connect(at.address, at.tls) as daemon:
        try:
            platforms = await daemon.platforms()
        except Unreachable:
            advice = f"start it, or correct {key} and build.tls_*; builds fail until then"
            return PART.fault(key, f"no BuildKit answers at {address}", advice)
    if platforms and wanted not in platforms:
        advice = f"set build_platform to what it builds for, or teach it {wanted} (docs/building.md)"
        return PART.fault(key, f"{address} builds for {', '.join(platforms)}, not for {wanted}", advice)
    return PART.ok(key, f"{address} builds for {wanted}" if platforms else f"{address} answers")


async def _depot(url: str, token: str) -> Finding:
    depot = Depot(url, token)
    try:
        await depot.log_in()
    except Transient as error:
        return PART.fault("depot", error.message, "look at Depot's status page, and at depot.api_url; builds wait")
    except HydraError as error:
        return PART.fault("depot", error.message, "set registry.password to a token of Depot's organization")
    finally:
        await depot.close()
    return PART.ok("depot", f"{url} takes the token")
