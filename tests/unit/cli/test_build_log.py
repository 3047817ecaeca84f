import io
import json
from collections.abc import Sequence

import pytest
from rich.console import Console

from service.cli.build_log import JsonDocument, JsonLines, TextLog, View, cleaned
from service.domain.build import BuildLogLine, BuildStep

CACHED = BuildStep("sha256:c", "[1/3] FROM base", 1000, 1000, cached=True, error="", has_logs=False)
MADE = BuildStep("sha256:a", "[2/3] RUN make\n  all", 1000, 2240, cached=False, error="", has_logs=True)
FAILED = BuildStep(
    "sha256:b", "[3/3] RUN [red]test", 2240, 2250, cached=False, error="exit\ncode: \x1b[2J1", has_logs=True
)


def line(step: BuildStep, message: str, time_ms: int = 1000) -> BuildLogLine:
    return BuildLogLine(step.step_id, time_ms, message)


def text_log(*, terminal: bool = False) -> TextLog:
    return TextLog("d_1", Console(file=io.StringIO(), width=20, force_terminal=terminal, markup=False))


def shown(capsys: pytest.CaptureFixture[str], messages: Sequence[str], *, terminal: bool = False) -> list[str]:
    """Print chunks of one step and return its lines without their label."""
    view = text_log(terminal=terminal)
    for message in messages:
        view.line(line(MADE, message))
    view.close("ready")
    labelled = capsys.readouterr().out.split("\n")[:-1]
    assert all(text.startswith("#1 |") for text in labelled)
    return [text.removeprefix("#1 |").removeprefix(" ") for text in labelled]


def everything(view: View) -> None:
    view.know([CACHED, MADE, FAILED])
    view.line(line(MADE, "cc main.c\ncc ut"))
    view.line(line(FAILED, "1 of 2 failed", 2241))
    view.ended(CACHED)
    view.line(line(MADE, "il.c\n", 1500))
    view.ended(MADE)
    view.ended(FAILED)
    view.close("failed")


def test_each_line_has_the_number_of_its_step_and_each_step_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    # What rich writes goes the same way; it must not wrap, colour or interpret anything here.
    console = Console(width=20, markup=False, highlight=False)
    everything(TextLog("d_1", console))
    assert capsys.readouterr().out.splitlines() == [
        "#1 [2/3] RUN make all",
        "#1 | cc main.c",
        "#2 [3/3] RUN [red]test",
        "#3 ✓ [1/3] FROM base   cached",
        "#1 | cc util.c",
        "#1 ✓ [2/3] RUN make all   1.24 s",
        "#2 | 1 of 2 failed",
        "#2 ✗ [3/3] RUN [red]test   10 ms",
        "#2   exit code: 1",
    ]


def test_lines_of_a_step_that_goes_on_have_no_name_yet(capsys: pytest.CaptureFixture[str]) -> None:
    view = text_log()
    view.line(line(MADE, "cc main.c\n"))
    assert capsys.readouterr().out == "#1 | cc main.c\n"


def test_a_build_that_left_nothing_is_said_to(capsys: pytest.CaptureFixture[str]) -> None:
    text_log().close("ready")
    assert capsys.readouterr().out == "no build of d_1 has left a step or a line; the deployment is ready\n"


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        (["a\nb\n"], ["a", "b"]),
        (["a\n\nb"], ["a", "", "b"]),
        (["a", "b", "c\nd"], ["abc", "d"]),
        (["a\r", "\nb\r\n"], ["a", "b"]),
        (["10%\r20%\r", "30%\n"], ["10%", "20%", "30%"]),
        (["a\r"], ["a"]),
        (["  a\tb  \n"], ["  a\tb"]),
        (["[red]a[/red] :smile:\n"], ["[red]a[/red] :smile:"]),
        (["\x1b[31", "mred\x1b[0m\n"], ["red"]),
        (["a\u2028b\x85c\x0bd\n"], ["a\u2028bcd"]),
    ],
)
def test_chunks_become_lines(capsys: pytest.CaptureFixture[str], chunks: list[str], lines: list[str]) -> None:
    assert shown(capsys, chunks) == lines


def test_colours_stay_on_a_terminal_and_end_with_their_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, ["\x1b[31mred\n", "plain\n"], terminal=True) == ["\x1b[31mred\x1b[0m", "plain"]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\x1b[2J\x1b[1;1Htop", "top"),
        ("\x1b[?25lhidden\x1b[?1049h", "hidden"),
        ("\x1b[>4;1mkeys", "keys"),
        ("\x1b]0;title\x07a", "a"),
        ("\x1b]8;;http://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;cGFzdGU=\x07a", "a"),
        ("\x1bPq#0\x1b\\a", "a"),
        ("\x1b]0;no end of it", "0;no end of it"),
        ("\x1b]0;none\x1b[1m either", "0;none either"),
        ("\x9b2Ja\x9d0;title\x9cb\x90c", "abc"),
        ("\x1bca\x1b(0b\x1b7c\x1b#8d", "abcd"),
        ("\x1b", ""),
        ("a\x1b[", "a"),
        ("a\x1b[31", "a31"),
        ("\x00a\x07b\x08\x08c\x0b\x0c\x0e\x7f", "abc"),
        ("a\tb", "a\tb"),
        ("user\u202eresu\u2066x\u2069", "userresux"),
        ("é 💡 ✓", "é 💡 ✓"),
        ("\x1b[1;38:5:1mred\x1b[m", "red"),
    ],
)
def test_what_a_terminal_would_act_upon_is_taken_out(text: str, plain: str) -> None:
    assert cleaned(text, colours=False) == plain


def test_colours_are_all_that_is_left_where_they_are_wanted() -> None:
    text = "\x1b[2J\x1b[1;38:5:1mred\x1b[m\x1b]0;t\x07"
    assert cleaned(text, colours=True) == "\x1b[1;38:5:1mred\x1b[m\x1b[0m"
    assert cleaned("none", colours=True) == "none"


def test_the_document_holds_everything_as_it_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    everything(JsonDocument("d_1"))
    document = json.loads(capsys.readouterr().out)
    assert [step["step_id"] for step in document["steps"]] == ["sha256:c", "sha256:a", "sha256:b"]
    assert document["steps"][2] == {
        "step_id": "sha256:b",
        "name": "[3/3] RUN [red]test",
        "started_at_ms": 2240,
        "completed_at_ms": 2250,
        "duration_ms": 10,
        "cached": False,
        "error": "exit\ncode: \x1b[2J1",
        "has_logs": True,
    }
    assert [line["message"] for line in document["lines"]] == ["cc main.c\ncc ut", "1 of 2 failed", "il.c\n"]
    assert document["lines"][1] == {"step_id": "sha256:b", "time_ms": 2241, "message": "1 of 2 failed"}
    assert (document["deployment_id"], document["status"]) == ("d_1", "failed")


def test_followed_it_is_a_document_to_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    everything(JsonLines("d_1"))
    documents = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [document["kind"] for document in documents] == ["line", "line", "step", "line", "step", "step", "end"]
    assert documents[1] == {"kind": "line", "step_id": "sha256:b", "time_ms": 2241, "message": "1 of 2 failed"}
    assert (documents[4]["name"], documents[4]["duration_ms"]) == ("[2/3] RUN make\n  all", 1240)
    assert documents[-1] == {"kind": "end", "deployment_id": "d_1", "status": "failed"}
