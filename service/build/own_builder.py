"""Building on a BuildKit of the operator's own, pushing to the configured registry."""

import uuid
from dataclasses import dataclass, field
from datetime import timedelta

from service.build.builder import BuildContext, Built, Order
from service.build.buildkit import Address, Tls, connect
from service.build.buildkit.address import Scheme
from service.build.frontend import Site, docker_attrs, frontend_attrs, kept_by_docker, pushed_as, shared_builder_attrs
from service.build.pushed import find_pushed, image_of
from service.build.recording import BuildRecorder
from service.build.registry import Registry, RegistryAccess
from service.build.solve import Solve, ready, solve
from service.errors import FailedPrecondition

_READY_WITHIN = timedelta(seconds=30)


@dataclass(frozen=True)
class OwnBuildKit:
    """Where a daemon is. A `docker` address keeps images in that engine: it cannot push them."""

    address: Address
    tls: Tls | None = field(default=None, repr=False)
    ready_within: timedelta = _READY_WITHIN


@dataclass(frozen=True)
class Daemons:
    """Who builds what. Forks have a daemon, and so a cache, of their own, or are not built at all (04 · 2.6)."""

    trusted: OwnBuildKit
    forks: OwnBuildKit | None = None

    def of(self, order: Order) -> OwnBuildKit:
        """Choose the daemon of an order. Raises FailedPrecondition for a fork's without one."""
        if order.trusted:
            return self.trusted
        if self.forks is None:
            raise FailedPrecondition(
                "this service builds no pull requests: its builder has private code in its cache; set "
                "build.fork_address to another BuildKit",
                reason="FORKS_NOT_BUILT",
            )
        return self.forks


class OwnBuilder:
    """Builds one order per call, each over a connection of its own."""

    def __init__(self, daemons: Daemons, site: Site, registry: RegistryAccess, recorder: BuildRecorder) -> None:
        self._daemons = daemons
        self._site = site
        self._registry = registry
        self._recorder = recorder
        self._pushed = Registry(registry)

    async def close(self) -> None:
        await self._pushed.close()

    async def project(self, project_id: str, *, trusted: bool) -> str:  # noqa: ARG002 - the protocol's
        """Return nothing: the builds of all projects share the daemon."""
        return ""

    async def find(self, order: Order, build_id: str) -> Built | None:
        """Look in the registry; a Docker engine keeps no image of a build that nobody waited for."""
        if self._daemons.of(order).address.scheme is Scheme.DOCKER:
            return None
        return await find_pushed(self._pushed, order, build_id)

    async def build(self, order: Order, context: BuildContext) -> Built:
        """Wait for the daemon and build."""
        at = self._daemons.of(order)
        async with connect(at.address, at.tls) as daemon:
            await ready(daemon, f"the builder at {at.address}", at.ready_within)
            build_id = uuid.uuid4().hex
            await context.named(build_id)
            return await solve(daemon, self._solve(order, build_id), context, self._recorder)

    def _solve(self, order: Order, build_id: str) -> Solve:
        image = image_of(order, self._registry)
        attrs = frontend_attrs(order, self._site) | shared_builder_attrs(order)
        exporter = pushed_as(image, insecure=self._registry.insecure)
        if self._daemons.of(order).address.scheme is Scheme.DOCKER:
            attrs, exporter = docker_attrs(order, attrs), kept_by_docker(image)
        return Solve(order, build_id, image, attrs, exporter, self._site.clone_url, self._registry)
