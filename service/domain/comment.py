"""The comment on a pull request: a table with a line per project, app and environment (02 · 8).

The comment is its own record: each line carries a hidden mark that says what the line is about and how old it is.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, chain

from service.domain.markdown import escaped, link, quoted, unquoted

MARKER = "<!-- unkey-deploy -->"  # the reference finds the comment by it, too

_LENGTH = 65_536  # GitHub's limit, in characters
_NAME_LENGTH = 100
_DESCRIPTION_LENGTH = 400  # a status has 140, where what to do about a failed build seldom fits
_NOTHING = "—"
_READY = "Ready"
_EMOJI = {"Queued": "⏳", "Building": "🔨", "In Progress": "🔄", _READY: "✅", "Failed": "❌", "Inactive": "💤"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_10000_MS = 253_402_300_800_000

_HEAD = (
    MARKER,
    "### Deployments",
    "",
    "| App | Status | Preview | Inspect | Commit | Updated (UTC) |",
    "| :-- | :-- | :-- | :-- | :-- | :-- |",
)
_MARK = re.compile(r"\| <!-- row:([^:\s]*):([^:\s]*):([^:\s]*) (\S*) (-?[0-9]{1,19}) (-?[0-9]{1,19}) --> ")
_REFERENCE_MARK = re.compile(r"\|.*<!-- row:([^:\s]+):([^:\s]+) -->")
_PAGE = re.compile(r"\[Inspect\]\([^\s)]*/projects/([^/\s)]+)/")
_REFERENCE_PAGE = re.compile(r"/projects/([^/\s)]+)/")


@dataclass(frozen=True)
class Row:
    """A deployment as the comment shows it.

    `status` is Queued, Building, Ready, Failed, In Progress or Inactive. Of two deployments the one that was created
    later keeps the line. URLs, the commit and the description may be empty; the description may be anything. Projects
    of two workspaces may have one name: `project_id` tells them apart, where it is known.
    """

    project: str
    app: str
    environment: str
    deployment_id: str
    created_at_ms: int
    status: str
    description: str
    preview_url: str
    inspect_url: str
    commit_sha: str
    commit_url: str
    updated_at_ms: int
    project_id: str = ""


@dataclass(frozen=True)
class Line:
    """A row as it stands in a comment; a line of the reference knows no project (None) and no age (0).

    `project` is the project's id, or its name where no id is known.
    """

    project: str | None
    app: str
    environment: str
    deployment_id: str
    created_at_ms: int
    updated_at_ms: int
    text: str

    @property
    def name(self) -> str:
        """What people read first in the line."""
        return self.text.rpartition("--> ")[2].partition(" | ")[0]

    @property
    def page(self) -> str:
        """Id of the project whose page in the dashboard the line links to; empty without one."""
        found = (_REFERENCE_PAGE if self.project is None else _PAGE).search(self.text)
        return found[1] if found else ""


def line_of(row: Row) -> Line:
    """Write the line of a row."""
    about = (row.project_id or row.project, row.app, row.environment)
    subject = ":".join(map(quoted, about))
    age = (row.created_at_ms, row.updated_at_ms)
    cells = (
        f"<!-- row:{subject} {quoted(row.deployment_id)} {age[0]} {age[1]} --> {_name(row)}",
        _status(row),
        (link("Visit", row.preview_url) if row.status == _READY else "") or _NOTHING,
        link("Inspect", row.inspect_url) or _NOTHING,
        _commit(row),
        _time(row.updated_at_ms),
    )
    return Line(*about, row.deployment_id, *age, f"| {' | '.join(cells)} |")


def lines_in(text: str) -> tuple[Line, ...]:
    """Read the lines of a comment, or lines alone, ours and the reference's; nothing else counts."""
    lines = (_line_in(line.strip()) for line in re.split(r"[\r\n]+", text))
    return tuple(line for line in lines if line)


def merge(*sources: Iterable[Line]) -> tuple[Line, ...]:
    """Keep one line per project, app and environment: the newest deployment's, as reported last. Sorted by name.

    Of lines of one age the later source's stays. A line of the reference gives way to any of ours for its app and
    environment, unless it links to another project's page.
    """
    newest: dict[tuple[str, str, str, bool, str], Line] = {}
    for line in chain.from_iterable(sources):
        kept = newest.setdefault(_subject(line), line)
        if _age(line) >= _age(kept):
            newest[_subject(line)] = line
    ours = [line for line in newest.values() if line.project is not None]
    taken_over = {(line.app, line.environment, page) for line in ours for page in (line.page, "")}
    return tuple(
        line
        for _, line in sorted(newest.items(), key=lambda item: (item[1].name, item[0]))
        if line.project is not None or (line.app, line.environment, line.page) not in taken_over
    )


def body_of(lines: Iterable[Line]) -> str:
    """Write the whole comment, the lines in the order given.

    Where they are too many for one comment, those that were updated longest ago are left out, and counted.
    """
    rows = tuple(lines)
    body = _rendered(rows, hidden=0)
    if len(body) <= _LENGTH:
        return body
    newest_first = sorted(range(len(rows)), key=lambda index: rows[index].updated_at_ms, reverse=True)
    room = _LENGTH - len(_rendered((), hidden=len(rows)))
    lengths = accumulate(len(rows[index].text) + 1 for index in newest_first)
    shown = sorted(index for index, length in zip(newest_first, lengths, strict=True) if length <= room)
    return _rendered([rows[index] for index in shown], hidden=len(rows) - len(shown))


def _rendered(rows: Sequence[Line], hidden: int) -> str:
    foot = ("", f"Rows not shown for lack of space, the least recently updated: {hidden}") if hidden else ()
    return "\n".join((*_HEAD, *(row.text for row in rows), *foot))


def _line_in(text: str) -> Line | None:
    mark = _MARK.match(text)
    if mark:
        project, app, environment, deployment_id = map(unquoted, mark.groups()[:4])
        return Line(project, app, environment, deployment_id, int(mark[5]), int(mark[6]), text)
    mark = _REFERENCE_MARK.match(text)
    return Line(None, mark[1], mark[2], "", 0, 0, text) if mark else None


def _subject(line: Line) -> tuple[str, str, str, bool, str]:
    is_ours = line.project is not None
    return (line.project or "", line.app, line.environment, is_ours, "" if is_ours else line.page)


def _age(line: Line) -> tuple[int, str, int]:
    # The id decides between deployments of one millisecond, so that their reports do not take turns.
    return (line.created_at_ms, line.deployment_id, line.updated_at_ms)


def _name(row: Row) -> str:
    name = row.project if row.app == "default" else f"{row.project}/{row.app}"
    shown = escaped(name, _NAME_LENGTH)
    return f"{f'**{shown}**' if shown else _NOTHING}<br>{escaped(row.environment, _NAME_LENGTH)}"


def _status(row: Row) -> str:
    status = f"{_EMOJI.get(row.status, '')} {escaped(row.status, _NAME_LENGTH)}".strip()
    # That it is ready says the link beside it; what it waits for or broke at is said nowhere else.
    description = "" if row.status == _READY else escaped(row.description, _DESCRIPTION_LENGTH)
    return f"{status}<br><sub>{description}</sub>" if description else status or _NOTHING


def _commit(row: Row) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{7,}", row.commit_sha):
        return _NOTHING
    short = f"`{row.commit_sha[:7].lower()}`"
    return link(short, row.commit_url) or short


def _time(unix_ms: int) -> str:
    if not 0 < unix_ms < _YEAR_10000_MS:
        return _NOTHING
    return f"{_EPOCH + timedelta(milliseconds=unix_ms):%Y-%m-%d %H:%M:%S}"
