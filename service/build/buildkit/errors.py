"""What can go wrong between this package and its callers. No text here holds a secret of the build.

BuildKitError
├── Unreachable   no daemon answers at the address
├── SessionLost   the daemon went away, or gave up the session, before the build had ended
├── SolveFailed   the daemon ended the build with an error
└── StopBuild     the build's observer wants no more of it

A build that is cancelled ends in asyncio.CancelledError, and the daemon stops it.
"""

from dataclasses import dataclass


class BuildKitError(Exception):
    """An error whose `text` is the daemon's own, or says what was waited for."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Unreachable(BuildKitError):
    pass


class SessionLost(BuildKitError):
    pass


class StopBuild(BuildKitError):
    """Raised by an observer: the daemon stops the build, and the error comes out where the build is awaited."""


@dataclass(frozen=True)
class Location:
    """Where in the Dockerfile the failed step is; lines count from 1."""

    filename: str
    line: int


@dataclass(frozen=True)
class Details:
    """What the daemon says of a failure beside its text, each as far as it does.

    `vertex` is the digest of the step that failed: others that were stopped with it end with errors as well.
    `exit_code` is that of a command, so where there is one the fault is the user's.
    """

    vertex: str = ""
    exit_code: int | None = None
    location: Location | None = None


class SolveFailed(BuildKitError):
    """`code` is the name of a gRPC status code: mostly UNKNOWN, whatever went wrong."""

    def __init__(self, code: str, text: str, details: Details) -> None:
        super().__init__(text)
        self.code = code
        self.details = details
