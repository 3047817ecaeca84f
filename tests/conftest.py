import os

import pytest

from service.dev import ports

_DATABASES = ("sqlite", "mariadb")


def pytest_configure() -> None:
    """Give every process of a parallel run ports of its own: two would sometimes find the same one free."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    ports.keep_to(int(worker), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of one database's installation in one process, which then starts it once."""
    for item in items:
        params = getattr(item, "callspec", None)
        database = params.params.get("server") if params else None
        if database in _DATABASES and "installation" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group(database))
