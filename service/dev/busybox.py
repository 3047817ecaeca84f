"""A base for images that needs no network: Busybox as a file of the repository that is built."""

from collections.abc import Mapping
from pathlib import Path

from service.dev.programs import SEARCH_PATH, ProgramMissing, find_program

# Its shell runs its other programs without their names in the image, so that `RUN sleep 1` and `RUN id` work.
_PREAMBLE = "FROM scratch\nCOPY busybox /bin/sh\n"
_HEADERS_BYTES = 4096
_LOADER = b"/ld-"  # of /lib64/ld-linux-x86-64.so.2 and its like: what a program without one of its own names


def busybox_files(dockerfile: str = "") -> Mapping[str, str | bytes]:
    """Return the files of a repository whose Dockerfile begins with a shell and goes on as given.

    Raises ProgramMissing.
    """
    return {"Dockerfile": _PREAMBLE + dockerfile, "busybox": find_busybox().read_bytes()}


def find_busybox(path: str = SEARCH_PATH) -> Path:
    """Find a Busybox that runs in an image which holds nothing else. Raises ProgramMissing."""
    found = find_program("busybox", "busybox-static", path)
    with found.open("rb") as program:
        if _LOADER in program.read(_HEADERS_BYTES):
            raise ProgramMissing(f"{found} needs libraries, which an empty image has not (Debian: busybox-static)")
    return found
