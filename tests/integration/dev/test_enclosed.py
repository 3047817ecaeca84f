"""Processes whose children and mounts end with them, however they try to get away."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.dev.enclosed import EnclosedProcess
from service.dev.programs import SEARCH_PATH
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="namespaces are for Linux's root")

ROOT = Path(__file__).parents[3]

# In a session of its own, and deaf to being asked. `$$` is the process's number in its own namespace.
ESCAPES = "trap '' TERM; mount -t tmpfs inside {mounted}; setsid sleep {seconds} & echo up $$; wait; wait"
PARENT = """
import sys
from pathlib import Path
from service.dev.enclosed import EnclosedProcess

EnclosedProcess.start("child", ["sh", "-c", sys.argv[1]], Path(sys.argv[2]), {"PATH": sys.argv[3]})
sys.stdin.read()
"""


def running(command: str) -> set[int]:
    """Return the processes with a command line, numbered as they are outside."""
    wanted = "\0".join(command.split()).encode() + b"\0"
    found = set()
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and (folder / "cmdline").read_bytes() == wanted:
                found.add(int(folder.name))
        except OSError:
            continue
    return found


def mounts() -> str:
    return Path("/proc/self/mounts").read_text()


@pytest.fixture
def seconds(tmp_path: Path) -> str:
    """Make up a time to sleep that no other process of this machine sleeps."""
    return f"600.{os.getpid()}{abs(hash(tmp_path)) % 10**6}"


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_all_that_it_started_is_gone_when_it_is(tmp_path: Path, seconds: str, end: str) -> None:
    mounted, log = tmp_path / "mounted", tmp_path / "log"
    mounted.mkdir()
    script = ESCAPES.format(mounted=mounted, seconds=seconds)
    if end == "stop":
        script = script.replace("trap '' TERM", "trap 'exit 3' TERM")
    process = EnclosedProcess.start("the child", ["sh", "-c", script], log, {"PATH": SEARCH_PATH})

    async def up() -> bool:
        return bool(log.read_text() and running(f"sleep {seconds}"))

    await until(up)
    assert log.read_text() == "up 1\n"
    assert str(mounted) not in mounts()

    code = await (process.kill() if end == "kill" else process.stop())

    assert code == (-signal.SIGKILL if end == "kill" else 3)
    assert running(f"sleep {seconds}") == set()
    mounted.rmdir()


async def test_it_goes_with_a_parent_that_is_killed(tmp_path: Path, seconds: str) -> None:
    mounted, log = tmp_path / "mounted", tmp_path / "log"
    mounted.mkdir()
    script = ESCAPES.format(mounted=mounted, seconds=seconds)
    command = [sys.executable, "-c", PARENT, script, str(log), SEARCH_PATH]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT) as parent:  # noqa: S603, ASYNC220 - our own

        async def up() -> bool:
            return bool(running(f"sleep {seconds}"))

        async def gone() -> bool:
            return not running(f"sleep {seconds}")

        await until(up)
        parent.kill()
        await until(gone)
