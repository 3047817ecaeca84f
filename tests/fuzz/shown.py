"""How a generated request is shown where it fails."""

import reprlib
from dataclasses import astuple, dataclass, fields
from typing import Any

_LONGEST = 400


@dataclass(frozen=True, repr=False)
class Shown:
    """Shows its fields as they are in code, but no more of each than one can read."""

    def __repr__(self) -> str:
        shortener = reprlib.Repr()
        shortener.maxstring = shortener.maxother = _LONGEST
        given = [
            f"{field.name}={shortener.repr(value)}"
            for field, value in zip(fields(self), astuple(self), strict=True)
            if value != field.default
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 - as IPython has it
        printer.text(repr(self))  # hypothesis would write every byte
