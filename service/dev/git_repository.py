"""A bare git repository that is written without a work tree."""

import asyncio
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from service.dev.process import ProcessFailed
from service.dev.programs import SEARCH_PATH, find_program

# Nothing of the user's or the machine's configuration.
GIT_ENVIRON = {"PATH": SEARCH_PATH, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "LC_ALL": "C"}

_COMMITTER = "Ada Example <ada@example.com> 1700000000 +0000"
_PROGRAMS = (b"\x7fELF", b"#!")

Files = Mapping[str, str | bytes]


class GitRepository:
    """One repository in one folder, which is made at the first commit."""

    def __init__(self, folder: Path) -> None:
        """Raise ProgramMissing where there is no git."""
        self._git = find_program("git", "git")
        self._folder = folder

    async def commit(self, ref: str, files: Files, onto: str = "") -> str:
        """Write files over those of `onto`, a commit, and let `ref` name the outcome; return its lower-case hex.

        Without `onto` they go over what the ref names now, if anything. Programs, with or without an interpreter, are
        executable. No two commits are the same, whatever is in them: builders keep what they fetched by commit alone
        (04 · 2.6).
        """
        if not self._folder.exists():
            await self._run("init", "--quiet", "--bare", "--initial-branch=main", str(self._folder))
        parent = onto or await self.find(ref)
        await self._run_here("fast-import", "--quiet", "--force", told=b"".join(_stream(ref, files, parent)))
        return await self.find(ref)

    async def find(self, ref: str) -> str:
        """Return the commit that a ref names; empty where there is none."""
        found = await self._run_here("for-each-ref", "--format=%(objectname)", ref)
        return found.decode().strip()

    async def _run_here(self, *arguments: str, told: bytes = b"") -> bytes:
        return await self._run(f"--git-dir={self._folder}", *arguments, told=told)

    async def _run(self, *arguments: str, told: bytes = b"") -> bytes:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            self._git, *arguments, stdin=pipe, stdout=pipe, stderr=pipe, env=GIT_ENVIRON
        )
        output, complaint = await process.communicate(told)
        if process.returncode:
            raise ProcessFailed(f"git {' '.join(arguments)} failed: {complaint.decode(errors='replace').strip()}")
        return output


def _stream(ref: str, files: Files, parent: str) -> Iterator[bytes]:
    """Write a commit in the words of git-fast-import(1)."""
    yield f"commit {ref}\ncommitter {_COMMITTER}\n".encode()
    yield _data(f"Change {len(files)} files\n\n{secrets.token_hex(16)}\n".encode())
    if parent:
        yield f"from {parent}\n".encode()
    for path, text in files.items():
        content = text.encode() if isinstance(text, str) else text
        mode = "100755" if content.startswith(_PROGRAMS) else "100644"
        yield f"M {mode} inline {path}\n".encode()
        yield _data(content)


def _data(content: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(content), content)
