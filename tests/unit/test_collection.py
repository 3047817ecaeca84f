from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def test_no_folder_of_tests_is_passed_over(request: pytest.FixtureRequest) -> None:
    """What pytest does not look into fails nobody: its own list has names that are some of ours."""
    passed_over = request.config.getini("norecursedirs")
    folders = {folder for file in TESTS.rglob("test_*.py") for folder in file.relative_to(TESTS).parents}
    assert {folder.name for folder in folders} > {"unit", "build"}
    assert [folder for folder in folders if any(folder.match(pattern) for pattern in passed_over if folder.name)] == []
