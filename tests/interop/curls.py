"""grpcurl and curl, as programs that a test runs."""

import asyncio
import json
import os
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.command import Ended


async def run(program: str | Path, *arguments: str) -> Ended:
    """Run a program to its end."""
    process = await asyncio.create_subprocess_exec(program, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


def curl() -> str:
    """Find curl. Where there is none the test is skipped, but never in CI."""
    found = shutil.which("curl")
    if found is None:
        assert not os.environ.get("CI"), "curl is not installed"
        pytest.skip("curl is not installed")
    return found


class Grpcurl:
    """grpcurl, and the server that it calls."""

    def __init__(self, program: Path, address: str) -> None:
        self._program = program
        self._address = address

    async def ask(self, *words: str, options: tuple[str, ...] = ()) -> Ended:
        """Let it list or describe, or call a method; `words` come after the address."""
        return await run(self._program, "-plaintext", *options, self._address, *words)

    async def call(self, method: str, request: Mapping[str, Any] | None = None, *options: str) -> Ended:
        """Call a method; errors are written as JSON, and the exit code is their code and 64."""
        return await self.ask(method, options=("-format-error", "-d", json.dumps(request or {}), *options))
