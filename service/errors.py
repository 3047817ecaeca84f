"""The one tree of errors that this service raises on purpose.

HydraError
├── InvalidArgument      the request is wrong in itself                       400
├── NotFound             a thing the request names does not exist             404
├── FailedPrecondition   the state of things forbids it                       400
├── Unauthenticated      the caller did not say who it is                     401
├── PermissionDenied     the caller may not do that                           403
├── QuotaExceeded        the workspace may not allocate that much             429
├── Overloaded           this server has all that it can hold: try later      429
├── BuildFailed          the user's repository does not build                 422
├── RegionsUnhealthy     too few regions became healthy in time               504
├── Cancelled            an operator cancelled it                             409
├── Internal             ours to fix; says nothing of the inside              500
└── Transient            a retry may cure it; never terminal by itself        503

Two crossings leave this tree: `durable.terminal` (to Restate) and `rpc.status` (to gRPC).
Messages are for a person: what is wrong, which value, what to do. `reason` is for a program.
"""

from typing import ClassVar


class HydraError(Exception):
    """An error with a message fit for the caller, a stable `reason` and string `facts`.

    `status` is the gRPC status name and `http_code` the Restate terminal code of the class (01 · 4).
    """

    status: ClassVar[str] = "INTERNAL"
    http_code: ClassVar[int] = 500

    def __init__(self, message: str, *, reason: str = "", **facts: str) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.status
        self.facts = facts


class InvalidArgument(HydraError):
    """The request is wrong whatever the state of the world; `field` names the culprit in proto spelling."""

    status = "INVALID_ARGUMENT"
    http_code = 400

    def __init__(self, message: str, *, field: str, reason: str = "", **facts: str) -> None:
        super().__init__(message, reason=reason, field=field, **facts)


class NotFound(HydraError):
    status = "NOT_FOUND"
    http_code = 404


class FailedPrecondition(HydraError):
    status = "FAILED_PRECONDITION"
    http_code = 400


class Unauthenticated(HydraError):
    status = "UNAUTHENTICATED"
    http_code = 401


class PermissionDenied(HydraError):
    status = "PERMISSION_DENIED"
    http_code = 403


class QuotaExceeded(HydraError):
    status = "RESOURCE_EXHAUSTED"
    http_code = 429


class Overloaded(HydraError):
    """Nothing was begun, so that the caller may try again."""

    status = "RESOURCE_EXHAUSTED"
    http_code = 429


class BuildFailed(HydraError):
    """The source does not become an image; its fact `cause`, where there is one, is finer than the reason."""

    status = "FAILED_PRECONDITION"
    http_code = 422


class RegionsUnhealthy(HydraError):
    status = "ABORTED"
    http_code = 504


class Cancelled(HydraError):
    status = "CANCELLED"
    http_code = 409


class Internal(HydraError):
    status = "INTERNAL"
    http_code = 500


class Transient(HydraError):
    """Trouble outside that a retry may cure. Its message names the part that is away, never an address or a secret."""

    status = "UNAVAILABLE"
    http_code = 503


def dump(error: HydraError) -> dict[str, str]:
    """Flatten an error to strings, for a journal entry or the metadata of a terminal error.

    Keys: `error` (class name), `reason`, and every fact under its own name.
    """
    return {**error.facts, "error": type(error).__name__, "reason": error.reason}


def load(message: str, flat: dict[str, str]) -> HydraError | None:
    """Rebuild what `dump` flattened; None where the strings are not ours."""
    kind = _BY_NAME.get(flat.get("error", ""))
    if kind is None:
        return None
    facts = {name: value for name, value in flat.items() if name not in ("error", "reason")}
    error = kind.__new__(kind)
    HydraError.__init__(error, message, reason=flat.get("reason", ""), **facts)
    return error


_BY_NAME = {kind.__name__: kind for kind in HydraError.__subclasses__()}
