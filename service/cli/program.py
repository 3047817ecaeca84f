"""The program as a person would call it again, in lines to copy."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

_NAME = "hydra-deploy"


def command_line(*arguments: str | Path) -> str:
    """Write a call of this program that works from anywhere on this machine, quoted for a shell."""
    return shlex.join([*_program(sys.argv[0]), *map(str, arguments)])


def _program(called: str) -> Sequence[str]:
    if Path(called).name != _NAME:
        return [sys.executable, "-m", "service"]
    found = shutil.which(_NAME)
    if found and Path(found).samefile(called):
        return [_NAME]
    return [str(Path(called).absolute())]
