"""A simulated regional agent: it brings up and takes down what is ordered, and reports what runs (03 · 7)."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Self

import structlog

from service import background
from service.clock import now_ms
from service.database.engine import Database
from service.dev import cluster_service
from service.dev.cluster import Cluster, News
from service.dev.cluster_service import InstanceReport, Region, SentinelReport
from service.dev.workload import AgentBehaviour
from service.domain.identifiers import Prefix, new_id
from service.errors import Transient

_REPORTS_PER_TRANSACTION = 50

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class AgentTiming:
    """How often an agent does what. The real one polls deployments each second too: that is slow to watch.

    It polls less often when it has had nothing to do for a while: several stacks of which one is at work share a
    machine.
    """

    poll: timedelta = timedelta(milliseconds=50)
    poll_at_rest: timedelta = timedelta(milliseconds=250)
    rest_after: timedelta = timedelta(seconds=3)
    poll_others: timedelta = timedelta(seconds=1)
    resync: timedelta = timedelta(minutes=1)
    heartbeat: timedelta = timedelta(seconds=30)
    reconnect: timedelta = timedelta(seconds=1)


class _Alarm:
    """Goes off every so often, and at the first look."""

    def __init__(self, every: timedelta) -> None:
        self._every_s = every.total_seconds()
        self._next_s = float("-inf")

    def due(self, now_s: float) -> bool:
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._every_s
        return True


class RegionAgent:
    """The agent of one region. What runs outlives it: a new agent of the region takes it over from `instances`.

    Use `async with`, or `run` in a task of your own.
    """

    def __init__(
        self,
        database: Database,
        region: Region,
        behaviour: AgentBehaviour | None = None,
        timing: AgentTiming | None = None,
    ) -> None:
        self.region = region
        self.policies: dict[str, Any] = {}  # applied so far, name → document; nothing ever removes one
        self._database = database
        self._behaviour = behaviour or AgentBehaviour()
        self._exceptions: dict[str, AgentBehaviour] = {}
        self._timing = timing or AgentTiming()
        self._random = random.SystemRandom()
        self._cluster_id = new_id(Prefix.CLUSTER, self._random)
        self._cluster: Cluster | None = None
        self._worked_at_s = float("-inf")  # when there was last something to do
        self._deployments_cursor = self._sentinels_cursor = self._policies_cursor = 0
        self._others_due = _Alarm(self._timing.poll_others).due
        self._resync_due = _Alarm(self._timing.resync).due
        self._heartbeat_due = _Alarm(self._timing.heartbeat).due
        self._task: asyncio.Task[None] | None = None

    def behave(self, behaviour: AgentBehaviour, deployment_id: str | None = None) -> None:
        """Change how the region behaves from now on: to one deployment, or to all without a word of their own."""
        if deployment_id is None:
            self._behaviour = behaviour
        else:
            self._exceptions[deployment_id] = behaviour
        if self._cluster is not None:
            changed = self._cluster.deployment_ids if deployment_id is None else {deployment_id}
            self._cluster.disturb(changed)

    async def run(self) -> None:
        """Be the agent until cancelled; trouble with the database is waited out."""
        while True:
            pause = self._pause()
            try:
                if not self._behaviour.dead and await self._round():
                    continue
            except Transient as trouble:
                _log.warning("agent.reconnect", region=self.region.name, trouble=trouble.message)
                pause = self._timing.reconnect
            await asyncio.sleep(pause.total_seconds())

    async def __aenter__(self) -> Self:
        self._task = background.once(f"agent {self.region.name}", self.run)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                self._task.result()  # raises what ended it

    def _pause(self) -> timedelta:
        idle_s = asyncio.get_running_loop().time() - self._worked_at_s
        return self._timing.poll if idle_s < self._timing.rest_after.total_seconds() else self._timing.poll_at_rest

    async def _round(self) -> bool:
        """Take orders, do what is due, report what changed; tell whether there may be more orders waiting."""
        now_s = asyncio.get_running_loop().time()
        if self._cluster is None:
            self._cluster = await self._take_over()
        if self._heartbeat_due(now_s):
            beat = partial(cluster_service.heartbeat, region=self.region, cluster_id=self._cluster_id, now_ms=now_ms())
            await self._database.transact(beat)
        busy = await self._follow_deployments(self._cluster, now_s)
        if self._others_due(now_s):
            await self._follow_sentinels()
            await self._follow_policies()
        if self._resync_due(now_s):
            await self._resync(self._cluster, now_s)
        if await self._report(self._cluster, now_s) or busy:
            self._worked_at_s = now_s
        return busy

    async def _take_over(self) -> Cluster:
        """Find the pods that an earlier agent of the region left running."""
        cluster = Cluster(self._random)
        read = partial(cluster_service.known_instances, region_id=self.region.id)
        for deployment_id, pods in (await self._database.read(read)).items():
            cluster.find(deployment_id, pods)
        return cluster

    async def _follow_deployments(self, cluster: Cluster, now_s: float) -> bool:
        cursor = self._deployments_cursor
        watch = partial(cluster_service.watch_deployments, region_id=self.region.id, cursor=cursor)
        orders = await self._database.read(watch)
        for order in orders:
            if order.run:
                cluster.apply(order.placed, now_s)
            else:
                cluster.remove(order.placed.deployment_id, now_s)
            self._deployments_cursor = order.version
        return bool(orders)

    async def _follow_sentinels(self) -> None:
        """Bring sentinels up and down, at once: nobody waits for their health."""
        cursor = self._sentinels_cursor
        watch = partial(cluster_service.watch_sentinels, region_id=self.region.id, cursor=cursor)
        orders = await self._database.read(watch)
        if not orders:
            return
        reports = [SentinelReport(it.k8s_name, it.replicas, available=it.replicas if it.run else 0) for it in orders]
        report = partial(cluster_service.report_sentinels, reports=reports, now_ms=now_ms())
        await self._database.transact(report)
        self._sentinels_cursor = orders[-1].version

    async def _follow_policies(self) -> None:
        cursor = self._policies_cursor
        watch = partial(cluster_service.watch_policies, region_id=self.region.id, cursor=cursor)
        for version, name, document in await self._database.read(watch):
            self.policies[name] = document
            self._policies_cursor = version

    async def _resync(self, cluster: Cluster, now_s: float) -> None:
        """Ask for each deployment that is here whether it is still wanted: a row that was deleted is in no stream."""
        here = cluster.deployment_ids
        ask = partial(cluster_service.desired_deployments, region_id=self.region.id, deployment_ids=here)
        desired = await self._database.read(ask) if here else {}
        for deployment_id in here:
            if deployment_id in desired:
                cluster.apply(desired[deployment_id], now_s)
            else:
                cluster.remove(deployment_id, now_s)

    async def _report(self, cluster: Cluster, now_s: float) -> bool:
        """Report what changed; tell whether anything did."""
        news = cluster.news(lambda id_: self._exceptions.get(id_, self._behaviour), now_s)
        for first in range(0, len(news), _REPORTS_PER_TRANSACTION):
            some = news[first : first + _REPORTS_PER_TRANSACTION]
            reports = [report for item in some for report in self._reports(item)]
            about = {item.deployment_id for item in some}
            write = partial(cluster_service.report_deployments, region_id=self.region.id, about=about, reports=reports)
            await self._database.transact(write)
            cluster.reported(some)
        return bool(news)

    def _reports(self, news: News) -> Iterable[InstanceReport]:
        for pod, status in news.pods:
            if news.placed is not None:
                yield InstanceReport(new_id(Prefix.INSTANCE, self._random), news.placed, pod, status)


@asynccontextmanager
async def region_agents(
    database: Database,
    regions: Iterable[Region],
    behaviour: AgentBehaviour | None = None,
    timing: AgentTiming | None = None,
) -> AsyncIterator[dict[str, RegionAgent]]:
    """Run one agent per region while the block lasts; they come by the name of their region."""
    async with AsyncExitStack() as stack:
        agents = {region.name: RegionAgent(database, region, behaviour, timing) for region in regions}
        for agent in agents.values():
            await stack.enter_async_context(agent)
        yield agents
