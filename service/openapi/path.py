"""Which paths of an app are asked for: plain ones, which every server on the way reads alike."""

import re
from urllib.parse import unquote

from service.openapi.refusals import path_invalid

_CHARACTERS = 512  # the width of the column openapi_spec_path
_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def check_path(path: str) -> None:
    """Raise FailedPrecondition (OPENAPI_PATH_INVALID) for what is more, or less, than a plain absolute path.

    What is no ASCII may stay: whoever sends it writes its UTF-8 as escapes, as RFC 3987 has it.
    """
    fault = _fault_as_written(path) or _fault_as_read(path)
    if fault:
        raise path_invalid(fault)


def _fault_as_written(path: str) -> str:
    if not path.startswith("/") or path.startswith("//"):
        return "does not begin with exactly one slash"
    if len(path) > _CHARACTERS:
        return f"has more than {_CHARACTERS} characters"
    if "?" in path or "#" in path:
        return "has a query or a fragment"
    if " " in path or not path.isprintable():
        return "has white space or characters that cannot be printed"
    if _NO_ESCAPE.search(path):
        return "has a percent sign that begins no escape"
    return ""


def _fault_as_read(path: str) -> str:
    """Find what hides in escapes. An escaped percent sign may hide another escape, so there is none."""
    try:
        read = unquote(path, errors="strict")
    except UnicodeDecodeError:
        return "has escapes that are not UTF-8"
    if "%" in read:
        return "has an escaped percent sign"
    if "\\" in read or read.count("/") != path.count("/"):
        return "has a backslash, or an escaped slash"
    if not read.isprintable():
        return "has escaped characters that cannot be printed"
    if not {".", ".."}.isdisjoint(read.split("/")):
        return "has a segment . or .."
    return ""
