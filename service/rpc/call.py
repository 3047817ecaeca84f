"""What a gRPC caller asks for, and of whom: the service, and what request metadata says (01 · 4)."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from service.errors import InvalidArgument

SERVICE = "hydra.v1.DeployService"
INVOCATION_ID = "x-restate-invocation-id"
DEPLOYMENT_ID = "x-hydra-deployment-id"
_MAX_KEY_LENGTH = 512
_CALLER_LENGTH = 256  # hydra_operations.caller
_SHOWN_LENGTH = 40  # what is repeated in an error comes back in metadata, and clients take only so much of those


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
        mode=_mode(given.get("x-hydra-mode", Mode.WAIT)),
        idempotency_key=_key(given, "idempotency-key"),
        restate_key=_key(given, "x-restate-key"),
        caller=authenticated[:_CALLER_LENGTH] or _caller(given.get("x-hydra-caller", "")),
        traceparent=_traceparent(given.get("traceparent", "")),
    )


def _mode(value: str) -> Mode:
    try:
        return Mode(value)
    except ValueError:
        raise InvalidArgument(
            f"x-hydra-mode is {value[:_SHOWN_LENGTH]!a}: use wait or submit",
            field="x-hydra-mode",
            reason="BAD_METADATA",
        ) from None


def _key(given: dict[str, str], name: str) -> str | None:
    if name not in given:
        return None
    value = given[name].strip()  # around a value, white space means nothing in HTTP
    if not value or len(value) > _MAX_KEY_LENGTH:
        raise InvalidArgument(
            f"{name} has {len(value)} characters: 1 to {_MAX_KEY_LENGTH} are allowed", field=name, reason="BAD_METADATA"
        )
    if not _is_printable(value):
        raise InvalidArgument(
            f"{name} has a character that is no printable ASCII: take it out", field=name, reason="BAD_METADATA"
        )
    return value


def _caller(value: str) -> str:
    return "".join(letter if _is_printable(letter) else "?" for letter in value[:_CALLER_LENGTH])


def _traceparent(value: str) -> str | None:
    """Drop what no header takes."""
    return value if value and _is_printable(value) else None


def _is_printable(value: str) -> bool:
    return value.isascii() and value.isprintable()
