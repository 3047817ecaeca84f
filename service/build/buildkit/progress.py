"""A build's progress: what its observer is told, and the steps that come of it (04 · 4)."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Vertex:
    """News of a step, which `digest` tells apart. One step has several, and may begin and complete more than once.

    Times are Unix milliseconds, None for what has not happened, and a step may complete without having begun.
    """

    digest: str
    name: str
    started_at_ms: int | None
    completed_at_ms: int | None
    cached: bool
    error: str


@dataclass(frozen=True)
class Log:
    """What a step wrote: a chunk, which may hold many lines or a part of one. `vertex` is the step's digest."""

    vertex: str
    time_ms: int
    text: str


class Observer(Protocol):
    """Told of a build's progress as it goes, on the event loop: it must not block.

    What it raises stops the build, and comes out where the build is awaited; StopBuild is there for that.
    """

    def on_log(self, log: Log, /) -> None: ...

    def on_vertex(self, vertex: Vertex, /) -> None: ...


@dataclass(frozen=True)
class Step:
    """A step that completed, from its first start to its last completion. Times are Unix milliseconds."""

    digest: str
    name: str
    started_at_ms: int
    completed_at_ms: int
    cached: bool
    error: str
    has_logs: bool


class Progress:
    """An observer that puts the steps together."""

    def __init__(self) -> None:
        self._vertexes: dict[str, Vertex] = {}
        self._with_logs: set[str] = set()

    def on_log(self, log: Log) -> None:
        self._with_logs.add(log.vertex)

    def on_vertex(self, vertex: Vertex) -> None:
        known = self._vertexes.get(vertex.digest)
        self._vertexes[vertex.digest] = vertex if known is None else _merge(known, vertex)

    def steps(self) -> list[Step]:
        """Return the steps in the order in which they began; those that have not completed are left out."""
        steps = []
        for vertex in self._vertexes.values():
            if vertex.completed_at_ms is None:
                continue
            started = vertex.completed_at_ms if vertex.started_at_ms is None else vertex.started_at_ms
            has_logs = vertex.digest in self._with_logs
            steps.append(
                Step(vertex.digest, vertex.name, started, vertex.completed_at_ms, vertex.cached, vertex.error, has_logs)
            )
        return sorted(steps, key=lambda step: step.started_at_ms)


def _merge(known: Vertex, news: Vertex) -> Vertex:
    """Join what is known of a step and its news: it spans all of its runs, and an error is not forgotten."""
    starts = [time for time in (known.started_at_ms, news.started_at_ms) if time is not None]
    completions = [time for time in (known.completed_at_ms, news.completed_at_ms) if time is not None]
    return Vertex(
        digest=known.digest,
        name=news.name or known.name,
        started_at_ms=min(starts, default=None),
        completed_at_ms=max(completions, default=None),
        cached=news.cached,
        error=news.error or known.error,
    )
