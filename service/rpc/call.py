"""What a gRPC caller asks for in request metadata (01 · 4)."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from service.errors import InvalidArgument

INVOCATION_ID = "x-restate-invocation-id"
DEPLOYMENT_ID = "x-hydra-deployment-id"
_MAX_KEY_LENGTH = 512


class Mode(StrEnum):
    """Whether the answer is the workflow's end or its acceptance."""

    WAIT = "wait"
    SUBMIT = "submit"


@dataclass(frozen=True)
class CallOptions:
    """A call's options; None where the caller leaves it to us."""

    mode: Mode = Mode.WAIT
    idempotency_key: str | None = None
    restate_key: str | None = None
    caller: str = ""
    traceparent: str | None = None

    def headers(self, idempotency_key: str | None) -> dict[str, str]:
        """Return the headers that go with the request to Restate. They are stored there: none is a secret."""
        wanted = {
            "idempotency-key": idempotency_key,
            "x-hydra-caller": self.caller or None,
            "traceparent": self.traceparent,
        }
        return {name: value for name, value in wanted.items() if value is not None}


def read_options(metadata: Iterable[tuple[str, str | bytes]], authenticated: str = "") -> CallOptions:
    """Read a call's options from its metadata. Raises InvalidArgument naming the key.

    Who is `authenticated` is the caller, whatever the metadata claim.
    """
    given = {key: value for key, value in metadata if isinstance(value, str)}
    return CallOptions(
        mode=_mode(given.get("x-hydra-mode")),
        idempotency_key=_key(given, "idempotency-key"),
        restate_key=_key(given, "x-restate-key"),
        caller=(authenticated or given.get("x-hydra-caller", ""))[:256],
        traceparent=given.get("traceparent"),
    )


def _mode(value: str | None) -> Mode:
    try:
        return Mode(value) if value is not None else Mode.WAIT
    except ValueError:
        raise InvalidArgument(
            f"x-hydra-mode is {value!a}: use wait or submit", field="x-hydra-mode", reason="BAD_METADATA"
        ) from None


def _key(given: dict[str, str], name: str) -> str | None:
    value = given.get(name)
    if value is None:
        return None
    if not value or len(value) > _MAX_KEY_LENGTH:
        raise InvalidArgument(
            f"{name} has {len(value)} characters: 1 to {_MAX_KEY_LENGTH} are allowed", field=name, reason="BAD_METADATA"
        )
    return value
