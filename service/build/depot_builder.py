"""Building at Depot: each of our projects has one there, and every build a machine of its own (04 · 0)."""

from datetime import timedelta

from service.build.builder import BuildContext, Built, Order
from service.build.buildkit import Address, Tls, connect
from service.build.depot import Depot, Machine
from service.build.frontend import Site, frontend_attrs, pushed_as
from service.build.pushed import find_pushed, image_of
from service.build.recording import BuildRecorder
from service.build.registry import Registry, RegistryAccess
from service.build.solve import Solve, ready, solve
from service.errors import HydraError

_READY_WITHIN = timedelta(minutes=2)


class DepotBuilder:
    """Builds one order per call. `region` is where new projects are made."""

    def __init__(
        self, depot: Depot, region: str, site: Site, registry: RegistryAccess, recorder: BuildRecorder
    ) -> None:
        self._depot = depot
        self._region = region
        self._site = site
        self._registry = registry
        self._recorder = recorder
        self._pushed = Registry(registry)

    async def close(self) -> None:
        await self._depot.close()
        await self._pushed.close()

    async def project(self, project_id: str, *, trusted: bool) -> str:
        """Find or make the project at Depot. Forks have another one, for a project's builds share their cache."""
        name = f"unkey-{project_id}"  # 03 · 3
        return await self._depot.project(name if trusted else f"{name}-forks", self._region)

    async def find(self, order: Order, build_id: str) -> Built | None:
        """Look in the registry."""
        return await find_pushed(self._pushed, order, build_id)

    async def build(self, order: Order, context: BuildContext) -> Built:
        """Get a machine and build on it; Depot hears how it ended, come what may."""
        async with self._depot.build(order.builder_project, self._site.platform, describe=_described) as build:
            await context.named(build.build_id)
            machine = await build.machine()
            async with connect(_address(machine), _tls(machine)) as daemon:
                await ready(daemon, "Depot's machine", _READY_WITHIN)
                return await solve(daemon, self._solve(order, build.build_id), context, self._recorder)

    def _solve(self, order: Order, build_id: str) -> Solve:
        image = image_of(order, self._registry)
        return Solve(
            order,
            build_id,
            image,
            frontend_attrs(order, self._site),
            pushed_as(image, insecure=self._registry.insecure),
            self._site.clone_url,
            self._registry,
        )


def _described(error: Exception) -> str:
    """Word an error for Depot: ours hold no secret, and of others the kind is enough."""
    return error.message if isinstance(error, HydraError) else type(error).__name__


def _address(machine: Machine) -> Address:
    return Address.parse(f"tcp://{machine.endpoint}")


def _tls(machine: Machine) -> Tls | None:
    found = machine.certificates
    return Tls(found.ca_pem, found.cert_pem, found.key_pem, found.server_name) if found else None
