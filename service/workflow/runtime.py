"""What the workflow handlers work with; put together once by the composition root."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from service.analytics.requests import RequestLog
from service.build.builder import Builder
from service.database.engine import Database
from service.durable.admin import Admin
from service.durable.journal import Budget, Journal, NullHook, StepHook
from service.github.reports import Reports
from service.github.repositories import Repositories
from service.openapi.fetch import Fetcher
from service.workflow.health_gate import HealthGate


@dataclass(frozen=True)
class Options:
    """The settings that workflows need, in their own terms."""

    default_domain: str
    dashboard_url: str
    github_url: str
    sentinel_image: str
    health_timeout: timedelta
    standby_delay: timedelta
    step_timeout: timedelta
    quota_surge: bool
    idle_time: timedelta
    build_timeout: timedelta
    build_tries: int
    build_lease: timedelta
    reconcile_grace: timedelta

    @property
    def standby_delay_ms(self) -> int:
        return int(self.standby_delay.total_seconds() * 1000)

    @property
    def health_timeout_ms(self) -> int:
        return int(self.health_timeout.total_seconds() * 1000)


@dataclass(frozen=True)
class Runtime:
    database: Database
    gate: HealthGate
    requests: RequestLog
    github: Repositories
    reports: Reports
    builder: Builder
    documents: Fetcher
    restate: Admin
    options: Options
    hook: StepHook = field(default_factory=NullHook)

    def journal(self, ctx: Any) -> Journal:
        """Open the journal of the invocation that `ctx` belongs to."""
        return Journal(ctx, self.hook, Budget(max_duration=self.options.step_timeout))
