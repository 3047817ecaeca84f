from collections.abc import Sequence

import pytest

from service.build.buildkit import Log, Vertex
from service.build.recording import CommitDiffers, Expected, Recording
from service.domain.build import BuildLogLine, BuildOf, BuildStep

OF = BuildOf("ws_1", "proj_1", "d_1")
REF = "refs/pull/7/head"
SHA, OTHER = "a" * 40, "b" * 40
GIT = "sha256:git"
CLONE = f"[internal] load git source https://github.com/acme/shop.git#{REF}"


class Kept:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[BuildLogLine] = []
        self.steps: list[BuildStep] = []
        self.flushes = 0

    def add_lines(self, of: BuildOf, lines: Sequence[BuildLogLine]) -> None:
        assert of == OF
        self.lines += lines

    def add_steps(self, of: BuildOf, steps: Sequence[BuildStep]) -> None:
        assert of == OF
        self.steps += steps

    def flush_soon(self) -> None:
        self.flushes += 1


def vertex(digest: str, name: str, *, completed_at_ms: int | None = None, error: str = "") -> Vertex:
    return Vertex(digest, name, 1, completed_at_ms, cached=False, error=error)


def watching(expected: str = SHA) -> Recording:
    recording = Recording(Kept(), OF, Expected(REF, expected))
    recording.on_vertex(vertex(GIT, CLONE))
    return recording


@pytest.mark.parametrize("text", [f"{SHA}\t{REF}\n", f"From https://github.com/acme/shop\n{SHA}\n"])
def test_the_commit_that_was_asked_for_is_let_through(text: str) -> None:
    recording = watching()
    recording.on_log(Log(GIT, 1, text))

    assert recording.fetched == SHA


@pytest.mark.parametrize("text", [f"{OTHER}\t{REF}\n", f" * [new ref] {REF}\n{OTHER}\n"], ids=["looked up", "fetched"])
def test_any_other_commit_stops_the_build(text: str) -> None:
    """06 · B3."""
    recording = watching()
    with pytest.raises(CommitDiffers):
        recording.on_log(Log(GIT, 1, text))

    assert recording.fetched == OTHER


def test_only_git_is_asked_what_it_fetched() -> None:
    recording = watching()
    recording.on_vertex(vertex("sha256:run", "[2/2] RUN git log"))
    recording.on_log(Log("sha256:run", 1, f"{OTHER}\n"))
    recording.on_log(Log(GIT, 1, f"{OTHER}\trefs/heads/main\n"))

    assert recording.fetched == ""


def test_lines_are_kept_as_they_come_and_steps_at_the_end() -> None:
    kept = Kept()
    recording = Recording(kept, OF, None)
    recording.on_vertex(vertex(GIT, CLONE))
    recording.on_log(Log(GIT, 5, "hello\n"))
    recording.on_vertex(vertex(GIT, CLONE, completed_at_ms=9))
    assert (kept.lines, kept.steps) == ([BuildLogLine(GIT, 5, "hello\n")], [])

    recording.end()

    assert kept.steps == [BuildStep(GIT, CLONE, 1, 9, cached=False, error="", has_logs=True)]
    assert kept.flushes == 1


def test_an_old_daemon_does_not_name_the_step_that_failed() -> None:
    recording = Recording(Kept(), OF, None)
    recording.on_log(Log(GIT, 1, "x" * 5000 + "fatal: not a tree"))
    recording.on_vertex(vertex(GIT, CLONE, completed_at_ms=2, error="exit status 128"))

    failed = recording.failed_step("")

    assert failed.name == CLONE
    assert failed.output.endswith("fatal: not a tree")
    assert len(failed.output) <= 1000
