"""The ClickHouse of the local stack: clickhouse-connect speaks to it as to a server."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from clickhouse_connect import get_async_client
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.external import ExternalData

from service.analytics.dsn import parse
from service.dev.clickhouse import ClickHouseServer, require_engine
from service.dev.process import ProcessFailed
from service.errors import FailedPrecondition


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClickHouseServer]:
    async with ClickHouseServer(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture
async def client(server: ClickHouseServer) -> AsyncIterator[AsyncClient]:
    client = await get_async_client(dsn=server.url, autogenerate_session_id=False)
    yield client
    await client.close()


async def test_parameters_settings_and_types(client: AsyncClient) -> None:
    found = await client.query(
        "SELECT {text:String} AS text, {list:Array(String)} AS list, {number:Int64} AS number, map('a', [1]) AS map,"
        " toLowCardinality('x') AS packed, NULL AS nothing, getSetting('max_threads') AS threads",
        parameters={"text": "it's\ta \\ {x} 'q'\n", "list": ["'", "é"], "number": -(2**63)},
        settings={"max_threads": 3},
    )
    expected = ("it's\ta \\ {x} 'q'\n", ["'", "é"], -(2**63), {"a": [1]}, "x", None, 3)
    assert found.result_rows == [expected]
    assert await client.command("SELECT getSetting('max_block_size') = {x:UInt64}", parameters={"x": 1}) == 0


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
async def test_inserts(server: ClickHouseServer, compress: str | bool) -> None:
    client = await get_async_client(dsn=server.url, autogenerate_session_id=False, compress=compress)
    await client.command(
        "CREATE OR REPLACE TABLE t (a UInt64, b String, c Array(String)) ENGINE = MergeTree ORDER BY a"
    )
    rows = [[number, f"row {number}\n'", ["x"] * (number % 3)] for number in range(1000)]

    summary = await client.insert("t", rows, column_names=["a", "b", "c"], settings={"async_insert": 1})
    assert summary.written_rows == 1000
    assert [list(row) for row in (await client.query("SELECT * FROM t ORDER BY a")).result_rows] == rows
    await client.raw_insert("t", ["a", "b"], b"1000,x\n", fmt="CSV")
    await client.command("INSERT INTO t VALUES (1001, 'FORMAT', [])")
    assert await client.command("SELECT count() FROM t") == 1002
    await client.close()


async def test_a_table_sent_with_a_query_is_gone_after_it(client: AsyncClient) -> None:
    asked = ExternalData(file_name="asked", data=b"1\tx\n2\ty\n", structure=["a UInt8", "b String"], fmt="TabSeparated")
    asked.add_file(file_name="more.csv", data=b"2\n3\n", types="UInt8", fmt="CSV")
    found = await client.query(
        "SELECT b FROM asked WHERE a IN more AND a > {low:UInt8}", parameters={"low": 0}, external_data=asked
    )
    assert found.result_rows == [("y",)]
    with pytest.raises(DatabaseError) as refused:
        await client.query("SELECT * FROM asked")
    assert refused.value.code == 60


@pytest.mark.parametrize(
    ("statement", "code"),
    [("SELECT 1 FROM nowhere", 60), ("SELECT nothing", 47), ("SELECT (", 62), ("SELECT throwIf(1)", 395)],
)
async def test_an_error_has_the_engine_s_number_and_words(client: AsyncClient, statement: str, code: int) -> None:
    with pytest.raises(DatabaseError, match=f"Code: {code}") as refused:
        await client.query(statement)
    assert refused.value.code == code


async def test_settings_that_are_none_are_refused(server: ClickHouseServer) -> None:
    async with aiohttp.ClientSession() as session:
        for setting in ("no_such_setting", "max_threads=1, max_block_size"):
            root = server.url.removesuffix("default")
            async with session.post(root, params={setting: "1"}, data="SELECT 1") as answer:
                assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (500, "115")


async def test_only_who_knows_the_password_is_answered(server: ClickHouseServer) -> None:
    nobody = server.url.replace("default:", "default:x", 1)
    with pytest.raises(DatabaseError) as refused:
        await get_async_client(dsn=nobody)
    assert refused.value.code == 516


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_password_is_for_nobody_to_see(server: ClickHouseServer) -> None:
    password = parse(server.url).password
    assert password
    arguments = Path(f"/proc/{server.pid}/cmdline").read_text()
    assert str(server.port) in arguments
    assert password not in arguments + server.log.read_text()


async def test_its_health_shows_while_questions_are_under_way(server: ClickHouseServer, client: AsyncClient) -> None:
    slow = asyncio.create_task(client.command("SELECT sleep(1)"))
    other = asyncio.create_task(client.command("SELECT 2"))
    await asyncio.sleep(0.2)
    assert await server.healthy()
    assert not slow.done()
    assert await slow == 0
    assert await other == 2


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_it_comes_back_on_its_port_with_its_data(tmp_path: Path, end: str) -> None:
    server = ClickHouseServer(tmp_path)
    await server.start()
    with pytest.raises(FailedPrecondition, match="runs already"):
        await server.start()
    url, client = server.url, await get_async_client(dsn=server.url)
    await client.command("CREATE TABLE kept (a UInt8) ENGINE = MergeTree ORDER BY a")
    await client.insert("kept", [[7]])

    await (server.stop() if end == "stop" else server.kill())
    assert server.pid is None
    assert not await server.healthy()
    await server.start()

    assert server.url == url
    assert await client.command("SELECT a FROM kept") == 7
    await client.close()
    await server.stop()
    await server.stop()


async def test_two_do_not_share_a_folder(server: ClickHouseServer) -> None:
    with pytest.raises(ProcessFailed, match="the ClickHouse server ended with exit code"):
        await ClickHouseServer(server.folder).start()
    assert await server.healthy()


def test_without_the_engine_it_says_what_to_install() -> None:
    require_engine()
    with pytest.raises(FailedPrecondition, match=r"pip install 'hydra-deploy\[embedded\]'"):
        require_engine("no_such_engine")
