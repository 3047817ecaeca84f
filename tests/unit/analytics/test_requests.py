from datetime import timedelta

import pytest

from service.analytics.dsn import parse
from service.analytics.requests import ClickHouseRequests, NullRequests, RequestLog, Routed
from service.errors import FailedPrecondition

ASKED = [Routed("ws_1", "proj_1", "env_1", "d_1")]
MAX_AGE = timedelta(minutes=15)


@pytest.mark.parametrize("deployments", [ASKED, []])
async def test_without_clickhouse_nobody_is_called_idle(deployments: list[Routed]) -> None:
    log: RequestLog = NullRequests()
    with pytest.raises(FailedPrecondition, match=r"set clickhouse\.url") as refused:
        await log.active(deployments, 0)
    assert refused.value.reason == "CLICKHOUSE_NOT_CONFIGURED"
    with pytest.raises(FailedPrecondition, match=r"set clickhouse\.url"):
        await log.require_alive()
    await log.close()


async def test_about_no_deployment_nobody_is_asked() -> None:
    log: RequestLog = ClickHouseRequests(parse("http://127.0.0.1:1"), MAX_AGE)  # where nobody listens
    assert await log.active([], 0) == set()
    await log.close()


async def test_a_log_that_may_stand_still_for_ever_is_not_asked_about() -> None:
    log: RequestLog = ClickHouseRequests(parse("http://127.0.0.1:1"), timedelta())
    await log.require_alive()
    await log.close()
