"""Reads a build's progress off the wire and hands it to the observer, without the build's secrets."""

from moby.buildkit.v1 import control_pb2

from service.build.buildkit.progress import Log, Observer, Vertex
from service.build.buildkit.redaction import Redaction


def deliver(response: control_pb2.StatusResponse, observer: Observer, redact: Redaction) -> None:
    """Tell the observer what is new: logs first, so that a step that completes has had all of its output."""
    for log in response.logs:
        observer.on_log(Log(log.vertex, log.timestamp.ToMilliseconds(), redact(log.msg.decode(errors="replace"))))
    for vertex in response.vertexes:
        observer.on_vertex(
            Vertex(
                digest=vertex.digest,
                name=redact(vertex.name),
                started_at_ms=vertex.started.ToMilliseconds() if vertex.HasField("started") else None,
                completed_at_ms=vertex.completed.ToMilliseconds() if vertex.HasField("completed") else None,
                cached=vertex.cached,
                error=redact(vertex.error),
            )
        )
