"""What a request's plain values must be like before anything is looked up or written."""

import re
from collections.abc import Sequence

from service.errors import InvalidArgument

# An id goes into deployment_topology.deployment_id (64 characters), a Kubernetes label (63, alphanumeric at
# both ends) and, with - for _, a host name (no dots).
_ID_LENGTH = 63
_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")

_COMMAND_ARGUMENTS = 64
_COMMAND_BYTES = 32 * 1024


def validate_deployment_id(value: str, field: str = "deployment_id") -> None:
    """Raise InvalidArgument unless it can be a deployment's id.

    That is 1 to 63 of `A-Za-z0-9_-`, with a letter or digit at both ends. `field` is in proto spelling.
    """
    if not value:
        raise InvalidArgument(f"{field} is empty: give the id of a deployment", field=field)
    if len(value) > _ID_LENGTH:
        raise InvalidArgument(f"{field} has {len(value)} characters, an id has at most {_ID_LENGTH}", field=field)
    if not _ID.fullmatch(value):
        raise InvalidArgument(
            f"{field} {value!a} is not an id: use letters, digits, _ and -, no _ or - at an end",
            field=field,
        )


def validate_command(command: Sequence[str]) -> None:
    """Raise InvalidArgument for a command that no container could run; empty means the image's own.

    At most 64 arguments, 32 KiB of UTF-8 in all. Line breaks and empty arguments are fine.
    """
    if len(command) > _COMMAND_ARGUMENTS:
        raise InvalidArgument(
            f"command has {len(command)} arguments, at most {_COMMAND_ARGUMENTS} fit: put some in the image",
            field="command",
        )
    if command and not command[0]:
        raise InvalidArgument("command[0] is empty: it names the program to run", field="command[0]")
    for index, argument in enumerate(command):
        if "\0" in argument or any("\ud800" <= character <= "\udfff" for character in argument):
            raise InvalidArgument(
                f"command[{index}] contains a NUL or half a character: take it out", field=f"command[{index}]"
            )
    size_bytes = sum(len(argument.encode()) for argument in command)
    if size_bytes > _COMMAND_BYTES:
        raise InvalidArgument(
            f"command has {size_bytes} bytes, at most {_COMMAND_BYTES} fit: put the rest into the image",
            field="command",
        )
