from pathlib import Path

from service.cli.log_tail import LogTail

INFO = "2025-11-22T19:24:00.000001Z [info     ] gRPC is served                 [service.app] port=1"
WARNING = "2025-11-22T19:24:01.000001Z [warning  ] call cannot be served now      [service.rpc] reason=AWAY"
ERROR = "2025-11-22T19:24:02.000001Z [error    ] call failed                    [service.rpc]"
TRACE = ["Traceback (most recent call last):", '  File "x.py", line 1', "KeyError: 'a'"]


def append(log: Path, *lines: str, end: str = "\n") -> None:
    with log.open("a") as file:
        file.write("\n".join(lines) + end)


def test_warnings_and_errors_are_told_with_what_belongs_to_them(tmp_path: Path) -> None:
    tail = LogTail(tmp_path / "log")
    append(tmp_path / "log", INFO, "  more of it", WARNING, ERROR, *TRACE, INFO)
    assert tail.news() == [WARNING, ERROR, *TRACE]
    assert tail.news() == []


def test_a_line_that_is_still_being_written_is_told_later(tmp_path: Path) -> None:
    tail = LogTail(tmp_path / "log")
    append(tmp_path / "log", WARNING[:40], end="")
    assert tail.news() == []
    append(tmp_path / "log", WARNING[40:])
    assert tail.news() == [WARNING]


def test_what_was_there_before_is_old(tmp_path: Path) -> None:
    append(tmp_path / "log", ERROR)
    tail = LogTail(tmp_path / "log")
    append(tmp_path / "log", WARNING)
    assert tail.news() == [WARNING]


def test_a_program_that_fails_before_it_logs_is_told(tmp_path: Path) -> None:
    tail = LogTail(tmp_path / "log")
    append(tmp_path / "log", *TRACE)
    assert tail.news() == TRACE
