"""The details of a failed build: JSON inside a protobuf, in a trailer of the call (04 · 6.1)."""

import json
from typing import Any

from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from service.build.buildkit.errors import Details, Location

TRAILER = "grpc-status-details-bin"


def read_details(trailer: bytes) -> Details:
    """Read what the daemon says of a failure; what cannot be read counts as not said."""
    found = _by_type(trailer)
    exit_code = found.get("ExitMessage", {}).get("Code")
    return Details(
        vertex=str(found.get("Vertex", {}).get("digest", "")),
        exit_code=exit_code if isinstance(exit_code, int) else None,
        location=_location(found.get("Source", {})),
    )


def _by_type(trailer: bytes) -> dict[str, dict[str, Any]]:
    """Return the JSON objects by the short name of their type; of several, the first."""
    try:
        status = Status.FromString(trailer)
    except DecodeError:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for detail in status.details:
        # Such as github.com/moby/buildkit/errdefs.Vertex+json
        name = detail.type_url.rpartition(".")[2].removesuffix("+json")
        try:
            content = json.loads(detail.value)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict):
            found.setdefault(name, content)
    return found


def _location(source: dict[str, Any]) -> Location | None:
    try:
        return Location(str(source["info"]["filename"]), int(source["ranges"][0]["start"]["line"]))
    except (KeyError, IndexError, TypeError, ValueError):
        return None
