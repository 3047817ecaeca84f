"""A real MariaDB server on a free loopback port, with its data in a folder of the test."""

import asyncio
import os
import secrets
import shutil
import signal
from datetime import timedelta
from pathlib import Path

import aiomysql  # type: ignore[import-untyped] # the driver carries no types

from service.dev.ports import free_port
from service.dev.process import Process

_READY_WITHIN = timedelta(seconds=30)
_ADMIN = "hydra_admin"
_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec")  # where Debian and others keep servers, off most PATHs


class MariaDBMissing(Exception):
    """No MariaDB server is installed on this machine."""


class MariaDB:
    """One server: fast rather than safe against power failure, but a kill loses nothing that was committed.

    It dies with the thread that started it.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        """Choose the program and the port; `options` are the server's. Raises MariaDBMissing."""
        self._server = _program("mariadbd", "mysqld")
        self._installer = _program("mariadb-install-db", "mysql_install_db")
        self._folder = folder
        self._options = options
        self._secret = secrets.token_hex(16)
        self._process: Process | None = None
        self.port = free_port()

    async def start(self) -> None:
        """Create the data on first use, start the server and wait until it answers."""
        if not (self._folder / "data").exists():
            await self._install()
        self._process = Process.start("MariaDB", self._command(), self._folder / "mariadb.log", self._environ())
        await self._process.wait_ready(self._answers, _READY_WITHIN)

    async def stop(self) -> None:
        """Shut the server down in order; nothing where it does not run."""
        if self._process is not None:
            self.resume()
            await self._process.stop()
            self._process = None

    async def kill(self) -> None:
        """End the server as a crash does."""
        if self._process is not None:
            await self._process.kill()
            self._process = None

    async def restart(self) -> None:
        """Start again, on the same port and data, after `stop` or `kill`, or stop first."""
        await self.stop()
        await self.start()

    def pause(self) -> None:
        """Freeze the server: connections stay open, nothing is answered."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    async def create_database(self) -> str:
        """Create an empty database with a user of its own, and return the DSN, in Go's spelling."""
        name = f"hydra_{secrets.token_hex(6)}"
        # Characters that a DSN has to cope with, and some that are not ASCII.
        password = f"p@ss:w/ö{secrets.token_hex(6)}"
        await self.administer(
            f"CREATE DATABASE {name}",
            f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY '{password}'",
            f"GRANT ALL ON {name}.* TO {name}@'127.0.0.1'",
        )
        return f"{name}:{password}@tcp(127.0.0.1:{self.port})/{name}?parseTime=true&interpolateParams=true"

    async def administer(self, *statements: str) -> None:
        """Run statements as the administrator."""
        connection = await self._connect()
        try:
            async with connection.cursor() as cursor:
                for statement in statements:
                    await cursor.execute(statement)
        finally:
            connection.close()

    async def _connect(self) -> aiomysql.Connection:
        return await aiomysql.connect(
            host="127.0.0.1", port=self.port, user=_ADMIN, password=self._secret, charset="utf8mb4"
        )

    async def _answers(self) -> bool:
        try:
            await self.administer("SELECT 1")
        except (OSError, aiomysql.Error):
            return False
        return True

    async def _install(self) -> None:
        (self._folder / "tmp").mkdir(parents=True, exist_ok=True)
        # Read at every start. The administrator that the installer makes can log in by socket alone.
        (self._folder / "admin.sql").write_text(
            f"CREATE OR REPLACE USER {_ADMIN}@'127.0.0.1' IDENTIFIED BY '{self._secret}';\n"
            f"GRANT ALL ON *.* TO {_ADMIN}@'127.0.0.1' WITH GRANT OPTION;\n"
        )
        command = [self._installer, *self._common(), "--skip-test-db"]
        process = await asyncio.create_subprocess_exec(
            *command, env=self._environ(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{self._installer} failed:\n{output.decode(errors='replace')}")

    def _command(self) -> list[str]:
        return [
            self._server,
            *self._common(),
            f"--init-file={self._folder / 'admin.sql'}",
            "--socket=mariadb.sock",  # in the data's folder: the path of a socket is short or refused
            "--pid-file=mariadb.pid",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_general_ci",
            "--innodb-buffer-pool-size=32M",
            "--innodb-flush-log-at-trx-commit=2",  # to the system at every commit, to the disk once a second
            "--innodb-doublewrite=OFF",
            "--performance-schema=OFF",
            *self._options,
        ]

    def _common(self) -> list[str]:
        user = ["--user=root"] if os.getuid() == 0 else []  # else the server refuses to run as root
        return ["--no-defaults", f"--datadir={self._folder / 'data'}", "--innodb-log-file-size=8M", *user]

    def _environ(self) -> dict[str, str]:
        # A folder of its own for temporary tables: a server that starts removes those of any other in the same one.
        path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_FOLDERS))
        return {"PATH": path, "TMPDIR": str(self._folder / "tmp")}

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.exit_code is None:
            os.kill(self._process.pid, number)


def _program(*names: str) -> str:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_FOLDERS))
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    raise MariaDBMissing(f"MariaDB is not installed: no {' or '.join(names)} found (Debian: mariadb-server-core)")
