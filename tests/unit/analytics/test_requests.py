import pytest

from service.analytics.dsn import parse
from service.analytics.requests import ClickHouseRequests, NullRequests, RequestLog, Routed
from service.errors import FailedPrecondition

ASKED = [Routed("ws_1", "proj_1", "env_1", "d_1")]


@pytest.mark.parametrize("deployments", [ASKED, []])
async def test_without_clickhouse_nobody_is_called_idle(deployments: list[Routed]) -> None:
    log: RequestLog = NullRequests()
    with pytest.raises(FailedPrecondition, match=r"set clickhouse\.url") as refused:
        await log.active(deployments, 0)
    assert refused.value.reason == "CLICKHOUSE_NOT_CONFIGURED"
    await log.close()


async def test_about_no_deployment_nobody_is_asked() -> None:
    log: RequestLog = ClickHouseRequests(parse("http://127.0.0.1:1"))  # where nobody listens
    assert await log.active([], 0) == set()
    await log.close()
