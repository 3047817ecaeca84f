"""Finding the programs that servers of development and tests are run from."""

import shutil
import subprocess
from pathlib import Path

import pytest

from service.dev.busybox import busybox_files, find_busybox
from service.dev.programs import ProgramMissing, find_program


def test_a_program_is_found_where_servers_are_kept(tmp_path: Path) -> None:
    assert find_program("sh", "dash").name == "sh"
    with pytest.raises(ProgramMissing, match=r"runc is not installed \(Debian's package: runc\)"):
        find_program("runc", "runc", str(tmp_path))


def test_a_repository_with_a_shell(tmp_path: Path) -> None:
    files = busybox_files("RUN id\n")
    assert files["Dockerfile"] == "FROM scratch\nCOPY busybox /bin/sh\nRUN id\n"
    shell = tmp_path / "busybox"
    shell.write_bytes(bytes(files["busybox"]))  # type: ignore[arg-type] # a program is bytes
    shell.chmod(0o755)
    assert subprocess.check_output([shell, "sh", "-c", "echo hello"]) == b"hello\n"  # noqa: S603 - our own


def test_a_busybox_that_needs_libraries_does_not_do(tmp_path: Path) -> None:
    shutil.copy(find_program("env", "coreutils"), tmp_path / "busybox")
    with pytest.raises(ProgramMissing, match=r"needs libraries.*busybox-static"):
        find_busybox(str(tmp_path))
