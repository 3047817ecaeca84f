"""What a process holds, from outside: memory, threads, open files and sockets. Linux only."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Holdings:
    """`files` are all open descriptors, `sockets` those of them that are connections or listen."""

    rss_mib: float
    threads: int
    files: int
    sockets: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Look at a process. Raises FileNotFoundError or ProcessLookupError where it is gone."""
        folder = Path("/proc") / str(pid)
        status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line)
        targets = []
        for entry in (folder / "fd").iterdir():
            with suppress(FileNotFoundError):  # closed since it was listed
                targets.append(str(entry.readlink()))
        return cls(
            rss_mib=int(status["VmRSS"].split()[0]) / 1024,
            threads=int(status["Threads"]),
            files=len(targets),
            sockets=sum(target.startswith("socket:") for target in targets),
        )

    def __str__(self) -> str:
        return f"{self.rss_mib:.0f} MiB, {self.threads} threads, {self.files} files, {self.sockets} sockets"
