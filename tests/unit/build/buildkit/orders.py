"""Builds to order in tests, and an observer that remembers."""

import uuid
from collections.abc import Mapping
from datetime import timedelta

from service.build.buildkit import Build, Credentials, Exporter, Log, Progress, Timeouts, Vertex

CONTEXT = "https://git.test/acme/app.git#main"
REGISTRY = "registry.test:5000"
IMAGE = f"{REGISTRY}/acme/app:1"
TOKEN = "a-token-that-nobody-may-see"  # noqa: S105 - made up
PASSWORD = "a-password-that-nobody-may-see"  # noqa: S105 - made up
# Waits that only a fault makes long. `session` and `silence` are for tests whose daemon is away to shorten.
QUICK = Timeouts(pause=timedelta(milliseconds=20), progress=timedelta(milliseconds=200))


def order(secrets: Mapping[str, bytes] | None = None) -> Build:
    """Order a build that takes a token for its source and a log-in for its registry."""
    return Build(
        ref=uuid.uuid4().hex,
        frontend_attrs={"context": CONTEXT, "filename": "Dockerfile"},
        exporter=Exporter("image", {"name": IMAGE, "push": "true"}),
        secrets={"GIT_AUTH_TOKEN.git.test": TOKEN.encode()} if secrets is None else secrets,
        credentials={REGISTRY: Credentials("robot", PASSWORD)},
    )


class Watcher(Progress):
    """Keeps all that it is told, in the order in which it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Log | Vertex] = []

    def on_log(self, log: Log) -> None:
        super().on_log(log)
        self.told.append(log)

    def on_vertex(self, vertex: Vertex) -> None:
        super().on_vertex(vertex)
        self.told.append(vertex)

    def text(self) -> str:
        """Return all that was written."""
        return "".join(told.text for told in self.told if isinstance(told, Log))
