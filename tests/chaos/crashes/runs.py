"""One run of a flow: the world it is in, and what Restate knows of it."""

import asyncio
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from service.dev.cluster_service import Region
from service.dev.world import World
from tests.chaos.crashes.site import CrashSite
from tests.servers.github_repository import Repository

_LONG = timedelta(minutes=2)  # what is scheduled for later than this is not waited for
_LOOK_S = 0.1
_REST_S = 1
_LEISURELY = "hydra.v1.OpenapiService"  # tried again after a minute by its policy, unless an operator hurries it
_TROUBLE = "id, status, retry_count, next_retry_at, last_failure, last_failure_related_command_name"
_COLUMNS = "id, invoked_by_id, target_service_name, target_handler_name, target_service_key, status, completion_result"


@dataclass
class Names:
    """What is drawn for a run, by what it is there; `mask` writes a text without it."""

    by_drawn: dict[str, str] = field(default_factory=dict)

    def add(self, drawn: str, alias: str) -> None:
        self.by_drawn[drawn] = f"<{alias}>"
        dashed = drawn.replace("_", "-")
        if dashed != drawn:
            self.by_drawn[dashed] = f"<{alias}>"

    def mask(self, text: str) -> str:
        longest_first = sorted(self.by_drawn, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, longest_first)), lambda found: self.by_drawn[found[0]], text)

    def drawn(self, masked: str) -> str:
        """Return a text that `mask` wrote for another run as it would be in this."""
        first: dict[str, str] = {}
        for drawn, alias in self.by_drawn.items():
            first.setdefault(alias, drawn)
        for alias, drawn in first.items():
            masked = masked.replace(alias, drawn)
        return masked


@dataclass(frozen=True)
class Invocation:
    """What Restate knows of an invocation, with the names of the steps in its journal and how many others it called."""

    id: str
    by: str
    service: str
    handler: str
    key: str
    status: str
    result: str
    due: datetime | None
    steps: tuple[str, ...]
    calls: int

    @property
    def is_over(self) -> bool:
        """Tell whether it has ended, or is scheduled for much later."""
        if self.status == "scheduled":
            return self.due is not None and self.due > datetime.now(UTC) + _LONG
        return self.status == "completed"

    @property
    def target(self) -> str:
        return f"{self.service.rpartition('.')[2]}/{self.handler}"


@dataclass
class Before:
    """How long the records were when the run began."""

    log: int = 0
    builds: int = 0
    pushes: int = 0
    done: int = 0


@dataclass
class Run:
    """One run, in a world of its own; `deployments` are in the order of their creation.

    `left` are invocations that were seen and had not ended.
    """

    id: str
    world: World
    regions: list[Region]
    repository: Repository
    installation_id: int
    pull_request: int
    names: Names
    deployments: list[str] = field(default_factory=list)
    root: str = ""
    left: set[str] = field(default_factory=set)
    before: Before = field(default_factory=Before)


async def over(site: CrashSite, run: Run) -> list[Invocation]:
    """Wait until all is done that the run's root began, and return it in the order of its calls."""
    clock = asyncio.get_running_loop().time
    rests: dict[str, float] = {}
    while True:
        await asyncio.sleep(_LOOK_S)
        if not await site.query(f"select id from sys_invocation where id = '{run.root}' and status = 'completed'"):
            continue
        found = await tree(site, run.root)
        run.left = {one.id for one in found if one.status != "completed"} | (run.left - {one.id for one in found})
        if found and all(one.is_over for one in found) and len(found) == 1 + sum(one.calls for one in found):
            return found
        leisurely = (one.id for one in found if one.service == _LEISURELY and one.status == "backing-off")
        rests = {invocation_id: rests.get(invocation_id, clock()) for invocation_id in leisurely}
        for invocation_id, since in rests.items():
            if clock() > since + _REST_S:
                await site.hurry(invocation_id)


async def tree(site: CrashSite, root: str) -> list[Invocation]:
    """Find an invocation and all that came of it, through who invoked whom."""
    rows = await site.query(f"select {_COLUMNS} from sys_invocation where id = '{root}'")
    level = rows
    while level:
        level = await site.query(
            f"select {_COLUMNS} from sys_invocation where invoked_by_id in ({_quoted(row['id'] for row in level)})"
        )
        rows += level
    if not rows:
        return []
    # Asked so the server tells scheduled_start_at, and not with all columns at once.
    scheduled = await site.query(
        "select id, status, scheduled_at, scheduled_start_at from sys_invocation where status <> 'completed'"
    )
    due = {row["id"]: row.get("scheduled_start_at") for row in scheduled}
    journals = await site.query(
        f"select id, entry_type, name from sys_journal where id in ({_quoted(row['id'] for row in rows)}) "
        "order by id, index"
    )
    return [
        _invocation(row | {"due": due.get(row["id"])}, [entry for entry in journals if entry["id"] == row["id"]])
        for row in rows
    ]


def _quoted(ids: Iterable[str]) -> str:
    return ", ".join(f"'{one}'" for one in ids) or "''"  # SQL has no empty list


def _invocation(row: dict[str, Any], journal: list[dict[str, Any]]) -> Invocation:
    due = row["due"]
    return Invocation(
        row["id"],
        row.get("invoked_by_id", ""),
        row["target_service_name"],
        row["target_handler_name"],
        row.get("target_service_key", ""),
        row["status"],
        row.get("completion_result", ""),
        datetime.fromisoformat(due) if due else None,
        tuple(str(entry.get("name", "")) for entry in journal if entry["entry_type"] == "Command: Run"),
        sum(entry["entry_type"] in ("Command: Call", "Command: OneWayCall") for entry in journal),
    )


async def forget(site: CrashSite, found: Iterable[Invocation]) -> None:
    """Make Restate forget what has ended, as it does by itself after a while."""
    for one in found:
        if one.status == "completed":
            await site.installation.forget(one.id)


async def standstill(site: CrashSite, run: Run) -> str:
    """Say what a run waits for that does not end: its open invocations, as Restate sees them, and the worker."""
    stands = [one for one in await tree(site, run.root) if not one.is_over]
    rows = await site.query(f"select {_TROUBLE} from sys_invocation where id in ({_quoted(one.id for one in stands)})")
    by_id = {row.pop("id"): row for row in rows}
    said = [f"{one.target} of {run.names.mask(one.key)}: {shown(by_id.get(one.id))}" for one in stands]
    worker = "ready" if await site.worker.is_ready() else "not ready"
    return "; ".join([*said, f"the worker is {worker}", f"{site.github.connections} ask GitHub"])


async def raw_journals(site: CrashSite, ids: Iterable[str]) -> bytes:
    """Read every journal entry as it is kept."""
    rows = await site.query(f"select raw from sys_journal where id in ({_quoted(ids)})")
    return b"\n".join(bytes.fromhex(row.get("raw", "")) for row in rows)


async def kept_state(site: CrashSite, keys: Iterable[str]) -> list[tuple[str, str, str]]:
    """Read which values the objects of the run keep: service, key and the value's name."""
    rows = await site.query(f"select service_name, service_key, key from state where service_key in ({_quoted(keys)})")
    return [(row["service_name"], row["service_key"], row["key"]) for row in rows]


def shown(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
