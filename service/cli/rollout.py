"""Deploying one deployment over gRPC and watching it, as `deploy` and `demo` do."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from hydra.v1 import deploy_pb2
from rich.console import Console

from service.cli.phases import View, phases
from service.cli.source import Source
from service.clock import now_ms
from service.database import overview
from service.database.engine import Database
from service.database.overview import Overview
from service.domain.deployment import Status
from service.errors import Transient
from service.rpc.client import DeployClient

_LOOK_SECONDS = 0.1
CALLER = "hydra-deploy"


@dataclass
class Rollout:
    """One deploy; `accepted` once it goes on whatever becomes of us."""

    database: Database
    client: DeployClient
    deployment_id: str
    source: Source
    accepted: bool = False

    @property
    def request(self) -> deploy_pb2.DeployRequest:
        return self.source.request(self.deployment_id)

    async def run(self, console: Console) -> None:
        """Deploy and show the phases until the end. Raises CallFailed."""
        with phases(console) as view:
            call = asyncio.create_task(self.client.deploy(self.request, accepted=self._accept))
            try:
                while not call.done():
                    await self._look(view)
                    await asyncio.wait({call}, timeout=_LOOK_SECONDS)
                await self._look(view)
                call.result()
            finally:
                call.cancel()

    async def overview(self) -> Overview:
        """Read how it stands now."""
        return await self.database.read(partial(overview.overview, deployment_id=self.deployment_id))

    def _accept(self, _: str) -> None:
        self.accepted = True

    async def _look(self, view: View) -> None:
        with suppress(Transient):  # the call tells how it ends; a look that failed is made again
            seen = await self.database.read(partial(overview.progress, deployment_id=self.deployment_id))
            self.accepted = self.accepted or seen.status != Status.PENDING
            view.show(seen, now_ms())
