"""ClickHouse's engine in a library (chDB), asked as its server is: one request with all that belongs to it.

Needs the extra `embedded`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import chdb

_INSERT = re.compile(rb"\A(\s*INSERT\s+INTO\b.*?)\bFORMAT\s+(\w+)[ \t\f]*\r?\n?", re.IGNORECASE | re.DOTALL)
_CODE = re.compile(r"\bCode: (\d+)\.")
_NAME = re.compile(r"\w+", re.ASCII)
_UNKNOWN_EXCEPTION = 1002  # ClickHouse's own, for what is none of its errors


class Refused(Exception):
    """The engine's answer is an error; `code` is ClickHouse's number for it."""

    def __init__(self, text: str) -> None:
        super().__init__(text[max(text.find("Code: "), 0) :])
        found = _CODE.search(text)
        self.code = int(found[1]) if found else _UNKNOWN_EXCEPTION


@dataclass(frozen=True)
class Table:
    """Rows that are sent along with a query, which sees them as a table for as long as it lasts."""

    name: str
    structure: str
    format: str
    rows: bytes


@dataclass(frozen=True)
class Question:
    """One statement: SQL, and behind an `INSERT … FORMAT …` its rows. `parameters` are its `{name:Type}`."""

    statement: bytes
    database: str = "default"
    default_format: str = "TabSeparated"
    parameters: Mapping[str, str] | None = None
    settings: Mapping[str, str] | None = None
    tables: Sequence[Table] = ()


@dataclass(frozen=True)
class Answer:
    """The result in the format that was asked for, and how many rows were read from storage or written."""

    body: bytes
    rows_read: int = 0
    rows_written: int = 0


class Engine:
    """The engine on one folder of data; a process can have one. Ask one question at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._kept_open = chdb.connect(self._folder)

    def close(self) -> None:
        self._kept_open.close()

    def ask(self, question: Question) -> Answer:
        """Answer a question in a session of its own, in which settings and tables end with it. Raises Refused."""
        session = chdb.connect(self._folder)
        try:
            return _ask(session, question)
        except (chdb.ChdbError, RuntimeError, UnicodeDecodeError) as error:
            raise Refused(str(error)) from None
        finally:
            session.close()


def _ask(session: chdb.state.sqlitelike.Connection, question: Question) -> Answer:
    session.query(f"USE {_identifier(question.database)}")
    for name, value in (question.settings or {}).items():
        session.query(f"SET {_plain(name)} = {_literal(value)}")
    for table in question.tables:
        session.query(f"CREATE TEMPORARY TABLE {_identifier(table.name)} ({table.structure})")
        _insert(session, f"INSERT INTO {_identifier(table.name)}", table.format, table.rows)
    insert = _INSERT.match(question.statement)
    if insert:
        written = _insert(session, insert[1].decode(), insert[2].decode(), question.statement[insert.end() :])
        return Answer(b"", rows_written=written)
    result = session.query(question.statement.decode(), question.default_format, params=dict(question.parameters or {}))
    return Answer(result.bytes(), rows_read=result.storage_rows_read())


def _insert(session: chdb.state.sqlitelike.Connection, statement: str, format_: str, rows: bytes) -> int:
    with session.send_insert(statement, format_) as insert:
        insert.append(rows)
        return int(insert.finish().rows_written)


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _plain(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise Refused(f"Code: 115. {name!r} is no name of a setting. (UNKNOWN_SETTING)")
    return name
