"""All checks, side by side: none waits for another, and none for long."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Any

from service.app.doctor import builder, clickhouse, configuration, database, github, registry, restate
from service.app.doctor.checks import Examine, Finding, Part
from service.config import Settings
from service.errors import HydraError

WITHIN = timedelta(seconds=10)

PARTS: tuple[tuple[Part, Examine], ...] = (
    (configuration.PART, configuration.examine),
    (database.PART, database.examine),
    (restate.PART, restate.examine),
    (clickhouse.PART, clickhouse.examine),
    (registry.PART, registry.examine),
    (builder.PART, builder.examine),
    (github.PART, github.examine),
)


async def examine(
    settings: Settings, parts: Sequence[tuple[Part, Examine]] = PARTS, within: timedelta = WITHIN
) -> list[Finding]:
    """Look at every part; what was found, in the order of the parts. Nothing is changed."""
    looking = (_look(settings, part, look, within) for part, look in parts)
    return [finding for findings in await asyncio.gather(*looking) for finding in findings]


async def _look(settings: Settings, part: Part, look: Examine, within: timedelta) -> list[Finding]:
    """Collect what a part's checks find, until they end, fail, or their time is over."""
    found: list[Finding] = []
    examination: Any = look(settings)
    try:
        async with asyncio.timeout(within.total_seconds()), aclosing(examination):
            async for finding in examination:
                found.append(finding)  # noqa: PERF401 - what was found before the time is over counts
    except TimeoutError:
        advice = "see that it runs, and that it can be reached from here"
        found.append(part.fault("answer", f"none within {within.total_seconds():g} s", advice))
    except HydraError as error:
        found.append(
            part.fault("check", error.message, "see that it runs and that its settings are right, then look again")
        )
    except Exception as error:  # noqa: BLE001 - the others have their say, whatever this one ran into
        # No more than its kind: what a foreign error says may be a secret.
        found.append(part.fault("check", f"it ended with {type(error).__name__}", "report this: it is a bug"))
    return found
