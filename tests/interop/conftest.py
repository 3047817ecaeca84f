import os
from pathlib import Path

import pytest

_BUILT = Path(__file__).parents[2] / ".tools" / "interop"


@pytest.fixture(scope="session")
def programs() -> Path:
    """Name the folder of the Go programs. Where they were not built their tests are skipped, but never in CI."""
    if not (_BUILT / "grpcurl").exists():
        assert not os.environ.get("CI"), "scripts/interop has not built the Go programs"
        pytest.skip("the Go programs were not built: they take Go, and `make test` or scripts/interop")
    return _BUILT
