"""As much of ClickHouse's HTTP interface as its clients use, over an engine of our own: a program, run as a module.

https://clickhouse.com/docs/interfaces/http. A request is a session of its own, and one is answered at a time.
"""

import asyncio
import hmac
import io
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import lz4.frame  # type: ignore[import-untyped] # the library carries no types
from aiohttp import web

from service.dev.clickhouse import KEY_VARIABLE
from service.dev.clickhouse_engine import Engine, Question, Refused, Table

_USER = "default"
_AUTHENTICATION_FAILED = 516
_LONGEST_BODY_BYTES = 256 * 1024 * 1024
_GRACE_S = 2.0

# What the interface minds itself; every other parameter is a setting of the query.
_MINDED = frozenset(
    {
        "buffer_size",
        "client_protocol_version",
        "close_session",
        "compress",
        "database",
        "decompress",
        "default_format",
        "password",
        "query",
        "query_id",
        "quota_key",
        "role",
        "session_check",
        "session_id",
        "session_timeout",
        "stacktrace",
        "user",
        "wait_end_of_query",
    }
)
_OF_A_TABLE = ("_format", "_structure", "_types")


class ClickHouseHttp:
    """The interface: `GET /ping` for everybody, `/` for who knows the password."""

    def __init__(self, engine: Engine, password: str) -> None:
        self._engine = engine
        self._authorization = aiohttp.encode_basic_auth(_USER, password).encode()
        self._one_at_a_time = ThreadPoolExecutor(max_workers=1)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=_LONGEST_BODY_BYTES)
        app.router.add_get("/ping", self._ping)
        app.router.add_get("/", self._query)
        app.router.add_post("/", self._query)
        app.on_cleanup.append(self._close)
        return app

    async def _ping(self, _: web.Request) -> web.Response:
        return web.Response(text="Ok.\n")

    async def _query(self, request: web.Request) -> web.Response:
        shown = request.headers.get("Authorization", "").encode(errors="replace")
        if not hmac.compare_digest(shown, self._authorization):
            return _refusal(403, _AUTHENTICATION_FAILED, "Authentication failed. (AUTHENTICATION_FAILED)")
        question = await _question(request)
        try:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._one_at_a_time, self._engine.ask, question)
        except Refused as error:
            return _refusal(500, error.code, str(error))
        summary = {"read_rows": str(answer.rows_read), "written_rows": str(answer.rows_written)}
        return web.Response(body=answer.body, headers={"X-ClickHouse-Summary": json.dumps(summary)})

    async def _close(self, _: web.Application) -> None:
        self._one_at_a_time.shutdown()
        self._engine.close()


def _refusal(status: int, code: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers={"X-ClickHouse-Exception-Code": str(code)})


async def _question(request: web.Request) -> Question:
    """Read a request: its SQL is the parameter `query`, then the body; a form may hold parameters and tables."""
    parameters = dict(request.query)
    files: dict[str, bytes] = {}
    body = b""
    if request.content_type == "multipart/form-data":
        async for part in await request.multipart():
            if not isinstance(part, aiohttp.BodyPartReader) or part.name is None:
                raise web.HTTPBadRequest(text="a part of the form is no field and no file")
            if part.filename is None:
                parameters[part.name] = await part.text()
            else:
                files[part.name] = bytes(await part.read())
    else:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "lz4":  # the others are aiohttp's
            body = lz4.frame.open(io.BytesIO(body)).read()  # of all frames: a large insert has several
    query = parameters.get("query", "").encode()
    return Question(
        statement=b"\n".join(part for part in (query, body) if part),
        database=parameters.get("database") or "default",
        default_format=parameters.get("default_format") or "TabSeparated",
        parameters={
            name.removeprefix("param_"): value for name, value in parameters.items() if name.startswith("param_")
        },
        settings={name: value for name, value in parameters.items() if _is_setting(name, files)},
        tables=[_table(name, rows, parameters) for name, rows in files.items()],
    )


def _is_setting(name: str, files: dict[str, bytes]) -> bool:
    described = {file + suffix for file in files for suffix in _OF_A_TABLE}
    return name not in _MINDED and name not in described and not name.startswith("param_")


def _table(name: str, rows: bytes, parameters: dict[str, str]) -> Table:
    types = parameters.get(f"{name}_types", "").split(",")
    by_position = ", ".join(f"_{number} {type_}" for number, type_ in enumerate(types, start=1))
    structure = parameters.get(f"{name}_structure") or by_position
    return Table(name, structure, parameters.get(f"{name}_format") or "TabSeparated", rows)


def main(folder: str, port: str) -> None:
    """Serve the data of a folder on a loopback port until a signal ends it."""
    served = ClickHouseHttp(Engine(Path(folder)), os.environ[KEY_VARIABLE])
    web.run_app(served.app(), host="127.0.0.1", port=int(port), print=None, shutdown_timeout=_GRACE_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
