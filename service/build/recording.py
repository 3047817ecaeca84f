"""Watching a build: its steps and lines are kept, and the commit that it fetched is compared (04 · 4, 06 · B3)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from service.build.buildkit import Log, Progress, Step, StopBuild, Vertex
from service.domain.build import BuildLogLine, BuildOf, BuildStep

_CLONE_STEP = "[internal] load git source "
_COMMIT_LINE = re.compile(r"(?P<sha>[0-9a-f]{40})(?:\t(?P<ref>\S+))?")
_OUTPUT_KEPT = 1000  # characters of each step, enough for the last words of git (04 · 6)


class BuildRecorder(Protocol):
    """Where steps and lines are kept. Neither call blocks, fails or waits for anything."""

    def add_lines(self, of: BuildOf, lines: Sequence[BuildLogLine], /) -> None: ...

    def add_steps(self, of: BuildOf, steps: Sequence[BuildStep], /) -> None: ...

    def flush_soon(self) -> None: ...


class CommitDiffers(StopBuild):
    """What was fetched is not what was asked for."""


@dataclass(frozen=True)
class Expected:
    """The commit that `ref` has to be, where `ref` may move: a pull request's head."""

    ref: str
    sha: str


@dataclass(frozen=True)
class FailedStep:
    """The step that ended a build, and the last of what it wrote; both empty where it is not known."""

    name: str
    output: str


class Recording:
    """An observer of one execution of a build."""

    def __init__(self, recorder: BuildRecorder, of: BuildOf, expected: Expected | None) -> None:
        self._recorder = recorder
        self._of = of
        self._expected = expected
        self._progress = Progress()
        self._names: dict[str, str] = {}
        self._failed: list[str] = []
        self._outputs: dict[str, str] = {}
        self.fetched = ""

    def on_log(self, log: Log) -> None:
        self._progress.on_log(log)
        self._recorder.add_lines(self._of, [BuildLogLine(log.vertex, log.time_ms, log.text)])
        self._outputs[log.vertex] = (self._outputs.get(log.vertex, "") + log.text)[-_OUTPUT_KEPT:]
        if self._expected is not None and self._names.get(log.vertex, "").startswith(_CLONE_STEP):
            self._compare(self._expected, log.text)

    def on_vertex(self, vertex: Vertex) -> None:
        self._progress.on_vertex(vertex)
        self._names[vertex.digest] = vertex.name
        if vertex.error and vertex.digest not in self._failed:
            self._failed.append(vertex.digest)

    def _compare(self, expected: Expected, text: str) -> None:
        """Find commits in what git writes, once for looking the ref up and once for fetching it: `<sha>[TAB<ref>]`."""
        for line in text.splitlines():
            found = _COMMIT_LINE.fullmatch(line)
            if found is None or found["ref"] not in {None, expected.ref}:
                continue
            self.fetched = found["sha"]
            if self.fetched != expected.sha:
                raise CommitDiffers(self.fetched)

    def failed_step(self, digest: str) -> FailedStep:
        """Tell of the step that failed; old daemons do not say which, and then it is the only one with an error."""
        if not digest and len(self._failed) == 1:
            (digest,) = self._failed
        return FailedStep(self._names.get(digest, ""), self._outputs.get(digest, ""))

    def end(self) -> None:
        """Keep the steps: once, at the end, when all of their times are known."""
        self._recorder.add_steps(self._of, [_kept(step) for step in self._progress.steps()])
        self._recorder.flush_soon()


def _kept(step: Step) -> BuildStep:
    return BuildStep(
        step.digest, step.name, step.started_at_ms, step.completed_at_ms, step.cached, step.error, step.has_logs
    )
