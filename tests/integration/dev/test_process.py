"""Child processes: started, awaited, stopped, and never left behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from service.dev.ports import free_port, free_ports
from service.dev.process import Process, ProcessFailed

SECOND = timedelta(seconds=1)
ROOT = Path(__file__).parents[3]
ENVIRON = {"PATH": os.defpath}


def start(tmp_path: Path, script: str, environ: dict[str, str] | None = None) -> Process:
    return Process.start("the child", ["sh", "-c", script], tmp_path / "child.log", environ or ENVIRON)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def dies(pid: int, within_s: float = 30) -> bool:
    deadline = time.monotonic() + within_s
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


def wrote(process: Process, word: str) -> bool:
    return word in process.log.read_text()


async def test_it_logs_and_becomes_ready(tmp_path: Path) -> None:
    process = start(tmp_path, "sleep 0.1; echo up; echo oops >&2; exec sleep 60")

    async def up() -> bool:
        return wrote(process, "oops")

    await process.wait_ready(up, 10 * SECOND)
    assert process.exit_code is None
    assert process.log.read_text() == "up\noops\n"
    assert await process.stop() == -signal.SIGTERM
    assert not alive(process.pid)


async def test_it_sees_its_own_environment_only(tmp_path: Path) -> None:
    process = start(tmp_path, "/usr/bin/env | sort | grep -v ^_= | grep -v ^PWD=; exit 3", {"NAME": "value"})

    with pytest.raises(ProcessFailed):
        await process.wait_ready(_never, 10 * SECOND)
    seen = {line.partition("=")[0] for line in process.log.read_text().splitlines()}
    assert seen - {"SHLVL", "LC_CTYPE", "OLDPWD"} == {"NAME"}


async def test_one_that_ends_before_it_is_ready_is_an_error_with_its_log(tmp_path: Path) -> None:
    process = start(tmp_path, "for i in $(seq 100); do echo line $i; done; echo no port >&2; exit 7")

    with pytest.raises(ProcessFailed, match=r"the child ended with exit code 7\.") as caught:
        await process.wait_ready(_never, 10 * SECOND)
    assert caught.value.message.endswith("  line 100\n  no port")
    assert "line 50" not in caught.value.message


async def test_one_that_is_never_ready_is_an_error(tmp_path: Path) -> None:
    process = start(tmp_path, "exec sleep 60")

    with pytest.raises(ProcessFailed, match=r"(?s)the child was not ready in time.*\(nothing was written\)"):
        await process.wait_ready(_never, 0.1 * SECOND)
    await process.kill()


async def test_one_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    process = start(tmp_path, "trap '' TERM; echo up; while true; do sleep 0.05; done")

    async def up() -> bool:
        return wrote(process, "up")

    await process.wait_ready(up, 10 * SECOND)
    assert await process.stop(0.2 * SECOND) == -signal.SIGKILL


async def test_its_children_go_with_it(tmp_path: Path) -> None:
    process = start(tmp_path, "sleep 60 & echo $!; wait")

    async def up() -> bool:
        return wrote(process, "\n")

    await process.wait_ready(up, 10 * SECOND)
    grandchild = int(process.log.read_text())
    assert alive(grandchild)
    await process.kill()
    assert dies(grandchild)


async def test_stopping_one_that_has_ended_is_fine(tmp_path: Path) -> None:
    process = start(tmp_path, "exit 4")
    with pytest.raises(ProcessFailed):
        await process.wait_ready(_never, 10 * SECOND)

    assert await process.stop() == 4
    assert await process.kill() == 4


PARENT = """
import sys, time
from pathlib import Path
from service.dev.process import Process

child = Process.start("child", ["sleep", "60"], Path(sys.argv[1]), {"PATH": "/usr/bin:/bin"})
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_it_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)  # noqa: S603 - our own program
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)

    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert dies(child)


def test_free_ports_are_free_and_different() -> None:
    ports = {*free_ports(20), free_port()}

    assert len(ports) in {20, 21}
    for port in ports:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))


async def _never() -> bool:
    return False
