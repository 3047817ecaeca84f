"""What the health paths answer."""

from functools import partial

from service.database.engine import Database
from service.durable.endpoint import Probe
from service.errors import Transient


class Probes:
    """What the health paths answer: every part that starts adds what it needs."""

    def __init__(self, database: Database) -> None:
        self._needs: list[Probe] = [partial(_reachable, database)]
        self.registered = True

    def need(self, probe: Probe) -> None:
        self._needs.append(probe)

    async def live(self) -> bool:
        """Tell whether the process turns over at all."""
        return True

    async def ready(self) -> bool:
        """Tell whether it can do its work now."""
        return self.registered and all([await probe() for probe in self._needs])

    async def startup(self) -> bool:
        """Tell whether it has started: Restate knows it."""
        return self.registered

    def by_name(self) -> dict[str, Probe]:
        return {"live": self.live, "ready": self.ready, "startup": self.startup}


async def _reachable(database: Database) -> bool:
    try:
        await database.ping()
    except Transient:
        return False
    return True
