"""A client for BuildKit on grpcio alone.

async with connect(Address.parse("unix:///run/buildkit/buildkitd.sock")) as daemon:
    await daemon.wait_ready(timedelta(minutes=1))
    solved = await daemon.build(Build(ref, {"context": "https://..."}, Exporter("image", {...})), Progress())
"""

from service.build.buildkit.address import Address, Tls
from service.build.buildkit.client import BuildKit, Timeouts, connect
from service.build.buildkit.errors import (
    BuildKitError,
    Details,
    Location,
    SessionLost,
    SolveFailed,
    StopBuild,
    Unreachable,
)
from service.build.buildkit.progress import Log, Observer, Progress, Step, Vertex
from service.build.buildkit.request import Build, Exporter, Solved
from service.build.buildkit.session import Credentials

__all__ = [
    "Address",
    "Build",
    "BuildKit",
    "BuildKitError",
    "Credentials",
    "Details",
    "Exporter",
    "Location",
    "Log",
    "Observer",
    "Progress",
    "SessionLost",
    "SolveFailed",
    "Solved",
    "Step",
    "StopBuild",
    "Timeouts",
    "Tls",
    "Unreachable",
    "Vertex",
    "connect",
]
