import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import tables
from service.database.dsn import Dsn
from service.database.engine import Database
from service.database.migrations import check_schema, migrate

EXPECTED = (Path(__file__).with_name("schema.txt")).read_text()

COLUMNS = text("""
    SELECT c.table_name, c.column_name, c.column_type, c.is_nullable, c.column_default, c.extra,
           c.character_set_name, c.collation_name, k.check_clause
    FROM information_schema.columns c
    LEFT JOIN information_schema.check_constraints k
      ON k.constraint_schema = c.table_schema AND k.table_name = c.table_name AND k.constraint_name = c.column_name
    WHERE c.table_schema = DATABASE()
    ORDER BY c.table_name, c.ordinal_position
""")
KEYS = text("""
    SELECT table_name, index_name, MAX(non_unique), GROUP_CONCAT(column_name ORDER BY seq_in_index)
    FROM information_schema.statistics
    WHERE table_schema = DATABASE()
    GROUP BY table_name, index_name
    ORDER BY table_name, index_name = 'PRIMARY' DESC, BINARY index_name
""")


async def catalogue(conn: AsyncConnection) -> dict[str, list[str]]:
    """Write down what the server says of every table, in the words of `schema.txt`."""
    described: dict[str, list[str]] = {}
    for table, *column in await conn.execute(COLUMNS):
        described.setdefault(table, []).append(column_line(*column))
    for table, name, non_unique, columns in await conn.execute(KEYS):
        mark = "+" if non_unique else "!"
        described[table].append(f"*{columns}" if name == "PRIMARY" else f"{mark}{name} {columns}")
    return described


def column_line(name: str, kind: str, nullable: str, default: str | None, extra: str, *more: Any) -> str:
    charset, collation, check = more
    kind = re.sub(r"int\((?!1\))\d+\)", "int", kind)  # MariaDB still shows widths of numbers
    if kind == "longtext" and check == f"json_valid(`{name}`)":  # and has JSON as a text with a check
        kind = "json"
    if kind == "tinyint(1)":
        kind, default = "boolean", {"0": "false", "1": "true"}.get(default or "", default)
    line = f"{name} {kind}"
    line += f" {collation}" if charset == "ascii" else ""
    line += f" {extra}" if extra else ""
    line += " ?" if nullable == "YES" else ""
    return line + (f" = {default}" if default not in {None, "NULL"} else "")


def expected() -> dict[str, list[str]]:
    body = "\n".join(line for line in EXPECTED.splitlines() if not line.startswith("#")).strip()
    blocks = [block.splitlines() for block in body.split("\n\n")]
    return {name: [line.strip() for line in lines] for name, *lines in blocks}


async def test_the_tables_on_mariadb_are_those_of_the_contract(mariadb_dsn: Dsn) -> None:
    database = await Database.open(mariadb_dsn)
    await migrate(database)
    found = await database.read(catalogue)
    await database.close()
    assert found.keys() == expected().keys()
    assert found == expected()


async def test_the_tables_on_sqlite_have_the_same_columns_and_keys(tmp_path: Path) -> None:
    database = await Database.open(Dsn("sqlite", str(tmp_path / "x.db")))
    await migrate(database)
    await database.close()
    with sqlite3.connect(tmp_path / "x.db") as file:
        for table, lines in expected().items():
            columns = file.execute(f"PRAGMA table_info({table})").fetchall()
            wanted = [line.split()[0] for line in lines if line[0] not in "*!+"]
            optional = {line.split()[0] for line in lines if " ?" in line}
            assert [row[1] for row in columns] == wanted
            assert {row[1] for row in columns if not row[3]} == optional
            keys = sorted(line.split()[1] for line in lines if line[0] in "!+")
            indexes = file.execute(f"PRAGMA index_list({table})").fetchall()
            found = [
                ",".join(column[2] for column in file.execute(f"PRAGMA index_info({row[1]})"))
                for row in indexes
                if row[3] != "pk"
            ]
            assert sorted(found) == keys
    file.close()


WORKSPACE = {"id": "ws_1", "org_id": "o", "name": "n", "slug": "s", "beta_features": {}, "features": {"é": [1]}}


async def test_defaults_are_the_databases(database: Database) -> None:
    await migrate(database)
    deployment = {
        "id": "d_1",
        "k8s_name": "k",
        "workspace_id": "ws_1",
        "project_id": "p",
        "environment_id": "e",
        "app_id": "a",
        "sentinel_config": b"\x00\xff",
        "cpu_millicores": 1,
        "memory_mib": 1,
        "encrypted_environment_variables": b"",
        "created_at": 1,
    }

    async def insert(conn: AsyncConnection) -> None:
        await conn.execute(tables.workspaces.insert().values(WORKSPACE))
        await conn.execute(tables.deployments.insert().values(deployment))

    await database.transact(insert)
    workspace = (await database.read(lambda conn: conn.execute(select(tables.workspaces)))).mappings().one()
    assert workspace["features"] == {"é": [1]}
    assert (workspace["plan"], workspace["tier"], workspace["subscriptions"]) == ("free", "Free", None)
    assert workspace["enabled"] is True
    assert workspace["delete_protection"] is False
    row = (await database.read(lambda conn: conn.execute(select(tables.deployments)))).mappings().one()
    assert (row["status"], row["desired_state"], row["shutdown_signal"]) == ("pending", "running", "SIGTERM")
    assert (row["command"], row["healthcheck"], row["port"], row["pk"]) == ([], None, 8080, 1)
    assert (row["sentinel_config"], row["encrypted_environment_variables"]) == (b"\x00\xff", b"")


async def test_a_word_outside_the_enum_is_refused(database: Database) -> None:
    await migrate(database)
    wrong = tables.workspaces.insert().values(WORKSPACE | {"plan": "gratis"})
    with pytest.raises(DBAPIError):
        await database.transact(lambda conn: conn.execute(wrong))


async def test_operation_ids_differ_by_case(database: Database) -> None:
    await migrate(database)
    row = {"kind": "deploy", "state": "running", "started_at": 1}

    async def insert(conn: AsyncConnection) -> list[str]:
        for operation in ("inv_1abC", "inv_1ABC"):
            await conn.execute(tables.hydra_operations.insert().values(id=operation, **row))
        found = select(tables.hydra_operations.c.id).where(tables.hydra_operations.c.id == "inv_1abC")
        return list(await conn.scalars(found))

    assert await database.transact(insert) == ["inv_1abC"]


async def test_words_of_a_newer_schema_are_read(mariadb_dsn: Dsn) -> None:
    database = await Database.open(mariadb_dsn)
    await migrate(database)

    async def newer(conn: AsyncConnection) -> Any:
        await conn.execute(text("ALTER TABLE workspaces MODIFY plan ENUM('free','pro','enterprise','team')"))
        await conn.execute(tables.workspaces.insert().values(WORKSPACE | {"plan": "team"}))
        return await conn.scalar(select(tables.workspaces.c.plan))

    assert await database.transact(newer) == "team"
    assert await check_schema(database) == []
    await database.close()
