"""Following the log of a child process for what a person should see at once: warnings and worse."""

import re
from pathlib import Path

# A line of `service.log` in its text form begins with a time and a level; what does not, such as a traceback,
# belongs to the line before it.
_LINE = re.compile(r"\d{4}-\d\d-\d\dT\S+ \[(\w+) *\]")
_QUIET = frozenset({"debug", "info"})


class LogTail:
    """Reads what a log has gained since the last look, beginning with what it gains after this."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._offset = log.stat().st_size if log.exists() else 0
        self._rest = b""
        self._shown = True  # what comes before the first line with a level is a program that failed to start

    def news(self) -> list[str]:
        """Return the complete lines that are new and of a level above info, with what belongs to them."""
        with self._log.open("rb") as log:
            log.seek(self._offset)
            gained = log.read()
        self._offset += len(gained)
        *complete, self._rest = (self._rest + gained).split(b"\n")
        return [line for line in (raw.decode(errors="replace") for raw in complete) if self._shows(line)]

    def _shows(self, line: str) -> bool:
        if match := _LINE.match(line):
            self._shown = match[1] not in _QUIET
        return self._shown
