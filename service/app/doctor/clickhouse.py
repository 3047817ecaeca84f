"""ClickHouse: whether it answers, has the tables, and keeps the same time."""

from service.analytics.condition import TABLES, condition
from service.analytics.dsn import parse
from service.app.doctor.checks import Examination, Part, reading
from service.clock import now_ms
from service.config import Settings
from service.errors import Transient

PART = Part("clickhouse")


async def examine(settings: Settings) -> Examination:
    """Read no row, and write none: whether rows may be inserted is seen when there are some."""
    url = settings.clickhouse.url.get_secret_value()
    if not url:
        yield PART.off("server", "clickhouse.url is empty: nobody finds idle previews, or keeps what builds write")
        return
    dsn = parse(url)
    asked_ms = now_ms()
    try:
        found = await condition(dsn)
    except Transient as error:
        at = f"{dsn.host}:{dsn.port}"
        yield PART.fault("server", f"{error.message}, at {at}", "start it, or correct clickhouse.url; deploys go on")
        return
    yield PART.ok("server", f"ClickHouse {found.version} at {dsn.host}:{dsn.port}")
    yield PART.clock(reading(found.clock_ms, asked_ms))
    for table, fault in found.tables.items():
        if fault:
            advice = "create it as the reference's migrations do, and let the user read and insert"
            yield PART.fault("tables", f"{fault}: without it nobody knows {TABLES[table]}", advice)
    if not any(found.tables.values()):
        yield PART.ok("tables", f"all {len(found.tables)} can be read")
