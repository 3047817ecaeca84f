import os

import pytest

from service.dev import ports

# What runs for all tests of a session, and takes its time to start: fixture → the group of those that share it.
_SHARED = {"installation": "deploys", "site": "builds", "depot_site": "builds", "reporting": "reports"}


def pytest_configure() -> None:
    """Give every process of a parallel run ports of its own: two would sometimes find the same one free."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    ports.keep_to(int(worker), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that share an installation in one process, which then starts it once for each database."""
    for item in items:
        group = {_SHARED[name] for name in getattr(item, "fixturenames", ()) if name in _SHARED}
        callspec = getattr(item, "callspec", None)
        if group and callspec is not None:
            item.add_marker(pytest.mark.xdist_group(f"{min(group)}-{callspec.params.get('server')}"))
