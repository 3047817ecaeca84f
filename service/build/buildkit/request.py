"""A build as it is ordered, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from moby.buildkit.v1.control_pb2 import CacheOptions, SolveRequest
from moby.buildkit.v1.control_pb2 import Exporter as WireExporter

from service.build.buildkit.redaction import Redaction
from service.build.buildkit.session import Credentials

_FRONTEND = "dockerfile.v0"


@dataclass(frozen=True)
class Exporter:
    """What becomes of the result: a type such as `image`, and its attributes."""

    type: str
    attrs: Mapping[str, str]


@dataclass(frozen=True)
class Build:
    """A Dockerfile to build from a remote context.

    `ref` names the build to the daemon and is unique. `secrets` are by id, `credentials` by host or host:port of the
    registry; whoever writes the Dockerfile can read the secrets.
    """

    ref: str
    frontend_attrs: Mapping[str, str]
    exporter: Exporter
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    credentials: Mapping[str, Credentials] = field(default_factory=dict)

    def redaction(self) -> Redaction:
        passwords = [known.password.encode() for known in self.credentials.values()]
        return Redaction([*self.secrets.values(), *passwords])


@dataclass(frozen=True)
class Solved:
    """A build that succeeded. `digest` is that of the manifest; `response` holds all that the exporter said."""

    digest: str
    response: Mapping[str, str]


def solve_request(build: Build, session_id: str) -> SolveRequest:
    return SolveRequest(
        Ref=build.ref,
        Session=session_id,
        Frontend=_FRONTEND,
        FrontendAttrs=build.frontend_attrs,
        Cache=CacheOptions(),
        # Old daemons know the pair alone, and new ones leave it aside for the list (04 · 1.1).
        ExporterDeprecated=build.exporter.type,
        ExporterAttrsDeprecated=build.exporter.attrs,
        Exporters=[WireExporter(Type=build.exporter.type, Attrs=build.exporter.attrs)],
        # Out of the daemon's history: it would show the steps' output to whoever else uses the daemon, and
        # writing it would hold up the end of the build.
        Internal=True,
    )
