"""Programs of this machine that servers are run from."""

import os
import shutil
from pathlib import Path

from service.errors import FailedPrecondition

# Debian and others keep servers off most PATHs.
SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))


class ProgramMissing(FailedPrecondition):
    """A program is not on this machine; the message says which, and where it comes from."""


def find_program(name: str, package: str, path: str = SEARCH_PATH) -> Path:
    """Find a program, on PATH or where servers are kept. Raises ProgramMissing, which names Debian's package."""
    found = shutil.which(name, path=path)
    if found is None:
        raise ProgramMissing(f"{name} is not installed (Debian's package: {package})")
    return Path(found)
