"""The registry: whether it answers, and takes the password."""

from service.app.building import registry_access
from service.app.doctor.checks import Examination, Part
from service.build.registry import Registry
from service.config import Settings
from service.errors import HydraError, Transient

PART = Part("registry")


async def examine(settings: Settings) -> Examination:
    """Log in. Whether the account may push is seen at the first push: asking would leave something behind."""
    access = registry_access(settings)
    if not access.url:
        yield PART.off("log-in", "registry.url is empty: nothing is built, images are deployed")
        return
    registry = Registry(access)
    try:
        await registry.log_in()
        who = f"user {access.username!r}" if access.username else "nobody in particular"
        yield PART.ok("log-in", f"{access.host} takes {who}")
    except Transient as error:
        advice = "start it, or correct registry.url and build.registry_insecure; builds fail until then"
        yield PART.fault("log-in", f"{error.message}, at {access.host}", advice)
    except HydraError as error:
        yield PART.fault("log-in", f"{error.message}, at {access.host}", "correct registry.username and the password")
    finally:
        await registry.close()
