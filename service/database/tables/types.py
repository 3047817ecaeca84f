"""The column types of the schema: exact on MySQL and MariaDB, their nearest relatives on SQLite (03 · 1).

`String`, `Text`, `Boolean` (tinyint(1)), `Integer` and `BigInteger` of SQLAlchemy need no help.
"""

import json
from typing import Any

from sqlalchemy import BigInteger, Dialect, Integer, LargeBinary, SmallInteger, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

UnsignedInteger = Integer().with_variant(mysql.INTEGER(unsigned=True), "mysql")
UnsignedBigInteger = BigInteger().with_variant(mysql.BIGINT(unsigned=True), "mysql")
TinyInteger = SmallInteger().with_variant(mysql.TINYINT(), "mysql")
LongBlob = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql")

# SQLite counts rows by itself in a column that is called INTEGER, nothing else.
Surrogate = BigInteger().with_variant(mysql.BIGINT(unsigned=True), "mysql").with_variant(Integer(), "sqlite")

# Restate's invocation ids: of ASCII, and different where only the case differs.
OperationId = String(128).with_variant(mysql.VARCHAR(128, charset="ascii", collation="ascii_bin"), "mysql")


class _Declared(UserDefinedType[Any]):
    """A type of MySQL that exists in the table's definition only: values pass as the texts they are."""

    cache_ok = True

    def __init__(self, declaration: str) -> None:
        self.declaration = declaration

    def get_col_spec(self, **_: object) -> str:
        return self.declaration


class Choice(TypeDecorator[str]):
    """One of some words: ENUM on MySQL. A word that a newer schema adds is read like any other."""

    impl = String
    cache_ok = True

    def __init__(self, *words: str) -> None:
        super().__init__(max(len(word) for word in words))
        self.words = words

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return self.impl_instance
        words = ", ".join(f"'{word}'" for word in self.words)
        return dialect.type_descriptor(_Declared(f"ENUM({words})"))


class Json(TypeDecorator[Any]):
    """JSON, bound as text: MySQL refuses bytes for it. NULL, an empty text and JSON's own null all are None."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return self.impl_instance
        return dialect.type_descriptor(_Declared("JSON"))

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - the base's shape
        if value is None:
            return None
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002 - the base's shape
        return json.loads(value) if value else None
