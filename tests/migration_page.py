"""The commands of docs/migration.md, run as the person runs them who reads it."""

import asyncio
import json
import os
import re
import shlex
import sys
import textwrap
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any

from service.database.dsn import parse

_ROOT = Path(__file__).parents[1]
_PAGE = _ROOT / "docs" / "migration.md"
_BLOCK = re.compile(r"^( *)```bash\n\1# (?P<title>.*?)\n(?P<commands>.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Operator:
    """A shell whose `names` are set to those of an installation."""

    def __init__(self, **names: str) -> None:
        self.names = names
        self._blocks = {
            block["title"]: textwrap.dedent(block["commands"]) for block in _BLOCK.finditer(_PAGE.read_text())
        }

    async def run(self, title: str) -> str:
        """Run the block that begins with a comment, and return what it wrote. Fails where a command does."""
        script = "\n".join([self._blocks["names"], *self._given(), self._blocks[title]])
        shell = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", script),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env={"PATH": os.environ["PATH"]},
            cwd=_ROOT,
        )
        out, _ = await shell.communicate()
        assert shell.returncode == 0, f"{title}: {out.decode()}"
        return out.decode()

    async def ask(self, title: str) -> list[dict[str, Any]]:
        """Run a block that asks Restate, and return the rows of its answer."""
        rows: list[dict[str, Any]] = json.loads(await self.run(title))["rows"]
        return rows

    def _given(self) -> list[str]:
        given = [f"export {name}={shlex.quote(value)}" for name, value in self.names.items()]
        program = shlex.quote(sys.executable)  # of this tree, whatever is installed
        return [*given, f'hydra-deploy() {{ {program} -m service "$@"; }}']


def client_options(folder: Path, dsn: str) -> str:
    """Write a log-in to a file, and return the arguments that make the mysql client read it."""
    login = parse(dsn)
    file = folder / "mysql.cnf"
    file.touch(mode=0o600)
    given = {"protocol": "tcp", "host": login.host, "port": login.port, "user": login.user, "password": login.password}
    file.write_text("[client]\n" + "".join(f"{name} = {value}\n" for name, value in given.items()))
    return f"--defaults-extra-file={file} {login.database}"
