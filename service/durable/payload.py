"""Protojson on the Restate plane (01 · 2): what Go callers send and what they must get back."""

import re
from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from service.errors import InvalidArgument

M = TypeVar("M", bound=Message)

_QUOTED_ERROR_LENGTH = 200
_FIELD = re.compile(r"Failed to parse (\w+) field")
_WORDS = {
    "codec can't decode": "not UTF-8",
    "recursion depth": "nested too deeply",
    "integer string conversion": "a number has too many digits",
    "Failed to parse JSON: ": "a name or value in it cannot be read",
}


def decode(body: bytes, content_type: str | None, message: type[M]) -> M:
    """Read a request in JSON or in binary form; an empty body is the empty message.

    Calls between services carry no content type (05 · 1): then a first byte `{` means JSON, since no proto3
    message begins with it. Unknown fields are ignored. Raises InvalidArgument.
    """
    if not body.strip():
        return message()
    try:
        return _read_json(body, message) if _is_json(body, content_type) else message.FromString(body)
    except (json_format.Error, DecodeError, ValueError, RecursionError) as error:
        raise InvalidArgument(
            f"the request body is not a {message.DESCRIPTOR.full_name}: {_why(error)}",
            field="body",
            reason="MALFORMED_BODY",
        ) from None


def _why(error: Exception) -> str:
    """Say what is wrong in words of the document; the parser's own speak of Python."""
    text = str(error).replace("\n", " ")
    for sign, words in _WORDS.items():
        if sign in text:
            return words
    if fields := _FIELD.findall(text):
        return f"{'.'.join(fields)} has a value of another type, or out of range"
    return text[:_QUOTED_ERROR_LENGTH]


def _read_json(body: bytes, message: type[M]) -> M:
    if not body.lstrip().startswith(b"{"):  # the parser would take an empty list or a string for no fields
        raise ValueError("not a JSON object")
    return json_format.Parse(body, message(), ignore_unknown_fields=True)


def encode(message: Message) -> bytes:
    """Write a response as protojson; the empty message is `{}`, since Go takes zero bytes for an error (05 · 1)."""
    return json_format.MessageToJson(message, indent=None).encode()


def _is_json(body: bytes, content_type: str | None) -> bool:
    if content_type is None or content_type == "*/*":
        return body.lstrip()[:1] == b"{"
    return "json" in content_type.lower() or "proto" not in content_type.lower()
