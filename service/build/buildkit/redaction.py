"""Takes the values that a build must keep to itself out of what its daemon says."""

import re
from collections.abc import Iterable

_MASK = "***"
_TELLING_LENGTH = 8


class Redaction:
    """Replaces known values wherever they stand. The daemon quotes commands in full, and steps print what they like.

    A value that is spread over several texts is not found.
    """

    def __init__(self, values: Iterable[bytes]) -> None:
        known = set[str]()
        for value in values:
            text = value.decode(errors="replace").strip()
            # A value of many lines may be printed line by line; short ones among them, such as a brace, tell nothing.
            known |= {text, *(line.strip() for line in text.splitlines() if len(line.strip()) >= _TELLING_LENGTH)}
        # The longest first, as one may begin with another.
        longest_first = sorted(known - {""}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        return self._known.sub(_MASK, text) if self._known else text
