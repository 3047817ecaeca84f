"""What is kept in ClickHouse, as the settings name it: requests, and what builds write."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from service.analytics.build_history import BuildHistory
from service.analytics.builds import BuildRecorder, ClickHouseBuilds, NullBuilds
from service.analytics.dsn import parse as parse_clickhouse
from service.analytics.requests import ClickHouseRequests, NullRequests, RequestLog
from service.config import Settings
from service.errors import FailedPrecondition

_LAST_ROWS_WITHIN = timedelta(seconds=5)


@asynccontextmanager
async def open_request_log(settings: Settings) -> AsyncIterator[RequestLog]:
    """Open the log of requests that the configuration names; without one, one that cannot tell."""
    url = settings.clickhouse.url.get_secret_value()
    max_age = settings.deploy.request_log_max_age
    log_of_requests: RequestLog = ClickHouseRequests(parse_clickhouse(url), max_age) if url else NullRequests()
    try:
        yield log_of_requests
    finally:
        await log_of_requests.close()


@asynccontextmanager
async def open_build_recorder(settings: Settings) -> AsyncIterator[BuildRecorder]:
    """Open what keeps the steps and lines of builds; what is left at the end is written, if that is quick."""
    url = settings.clickhouse.url.get_secret_value()
    recorder: BuildRecorder = ClickHouseBuilds(parse_clickhouse(url)) if url else NullBuilds()
    try:
        yield recorder
    finally:
        await recorder.close(_LAST_ROWS_WITHIN)


@asynccontextmanager
async def open_build_history(settings: Settings) -> AsyncIterator[BuildHistory]:
    """Open what builds have left behind. Raises FailedPrecondition where nobody keeps it."""
    url = settings.clickhouse.url.get_secret_value()
    if not url:
        raise FailedPrecondition(
            "without ClickHouse nobody keeps what builds write: set clickhouse.url", reason="CLICKHOUSE_NOT_CONFIGURED"
        )
    history = BuildHistory(parse_clickhouse(url))
    try:
        yield history
    finally:
        await history.close()
