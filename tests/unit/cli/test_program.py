import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli.program import command_line


def test_a_module_is_called_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/service/__main__.py"])
    words = shlex.split(command_line("status", "d_1"))
    assert words == [sys.executable, "-m", "service", "status", "d_1"]


def test_an_installed_program_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "hydra-deploy"
    program.write_text("#!/bin/sh\necho called\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert command_line("dev") == "hydra-deploy dev"


def test_a_program_that_is_not_on_the_path_is_called_by_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    program = folder / "hydra-deploy"
    program.write_text("#!/bin/sh\necho called with $1\n")
    program.chmod(0o755)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["./hydra-deploy"])
    monkeypatch.setenv("PATH", "/nowhere")
    line = command_line("dev")
    answer = subprocess.check_output(["/bin/sh", "-c", line], cwd="/", text=True)  # noqa: S603 - the test's own program
    assert answer == "called with dev\n"
