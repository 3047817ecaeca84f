"""The service, writing down each step as its action begins: run in place of `hydra-deploy serve`."""

import os
import sys
from pathlib import Path

import uvloop

from service import log
from service.app.serve import Role, serve
from service.config import load

NOTES = "HYDRA_TEST_NOTES"


class NotingHook:
    """Adds a line to a file for every action, however often Restate asks for it."""

    def __init__(self, notes: Path) -> None:
        self._notes = notes

    async def before(self, step: str) -> None:
        with self._notes.open("a") as notes:
            notes.write(f"{step}\n")

    async def after(self, _: str) -> None:
        return


def main() -> None:
    settings = load(Path(sys.argv[sys.argv.index("--config") + 1]))
    log.configure(settings.log.level, settings.log.format)
    uvloop.run(serve(settings, Role.ALL, NotingHook(Path(os.environ[NOTES]))))


if __name__ == "__main__":
    main()
