"""The git server of development and tests, asked by git itself."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from service.dev.git_repository import GIT_ENVIRON, Files
from service.dev.git_server import TOKEN_USER, GitServer
from tests.waiting import until

TOKEN = "ghs_of_the_shop"  # noqa: S105 - of a test


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[GitServer]:
    def allows(repository: str, token: str) -> bool:
        return repository == "acme/shop" and token == TOKEN

    async with GitServer(tmp_path / "git", allows) as server:
        yield server


class GitFailed(Exception):
    """What git said."""


async def git(*arguments: str | Path, told: bytes = b"") -> str:
    process = await asyncio.create_subprocess_exec(
        "git",
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**GIT_ENVIRON, "GIT_TERMINAL_PROMPT": "0"},
    )
    output, complaint = await process.communicate(told)
    if process.returncode:
        raise GitFailed(complaint.decode())
    return output.decode().strip()


def address(server: GitServer, repository: str = "acme/shop", token: str = "") -> str:
    login = f"{TOKEN_USER}:{token}@" if token else ""
    return f"http://{login}127.0.0.1:{server.port}/{repository}.git"


async def test_a_repository_is_cloned_as_it_was_written(server: GitServer, tmp_path: Path) -> None:
    program = b"\x7fELF\x00\xff"
    files: Files = {"Dockerfile": "FROM scratch\n", "a b/ü.txt": "", "bin/program": program, "run.sh": "#!/bin/sh\n"}
    sha = await server.create("acme/shop", files)
    clone = tmp_path / "clone"

    await git("clone", "--quiet", address(server), clone)

    assert await git("-C", clone, "rev-parse", "HEAD", "--abbrev-ref", "HEAD") == f"{sha}\nmain"
    assert (clone / "bin/program").read_bytes() == program
    assert (clone / "a b/ü.txt").read_text() == ""
    executable = {path.name for path in clone.rglob("*") if path.is_file() and path.stat().st_mode & 0o111}
    assert executable - {path.name for path in (clone / ".git").rglob("*")} == {"program", "run.sh"}


async def test_a_commit_keeps_the_files_that_it_does_not_name(server: GitServer, tmp_path: Path) -> None:
    first = await server.create("acme/shop", {"kept": "1", "changed": "1"})
    second = await server.commit("acme/shop", {"changed": "2"})
    branch = await server.commit("acme/shop", {"new": "3"}, branch="feature/x")

    await git("clone", "--quiet", address(server), tmp_path / "clone")
    assert await git("-C", tmp_path / "clone", "rev-list", "HEAD") == f"{second}\n{first}"
    assert (tmp_path / "clone" / "kept").read_text() + (tmp_path / "clone" / "changed").read_text() == "12"
    assert await git("ls-remote", address(server), "refs/heads/feature/x") == f"{branch}\trefs/heads/feature/x"


async def test_a_pull_request_starts_from_the_main_branch_every_time(server: GitServer, tmp_path: Path) -> None:
    base = await server.create("acme/shop", {"kept": "1"})
    first = await server.pull_request("acme/shop", 7, {"theirs": "1"})
    second = await server.pull_request("acme/shop", 7, {"theirs": "2"})

    await git("init", "--quiet", tmp_path)
    await git("-C", tmp_path, "fetch", "--quiet", address(server), "refs/pull/7/head")
    assert await git("-C", tmp_path, "rev-list", "FETCH_HEAD") == f"{second}\n{base}"
    assert first != second
    assert await git("ls-remote", address(server), "HEAD") == f"{base}\tHEAD"


async def test_one_commit_is_fetched_by_its_name(server: GitServer, tmp_path: Path) -> None:
    first = await server.create("acme/shop", {"file": "1"})
    await server.commit("acme/shop", {"file": "2"})

    await git("init", "--quiet", tmp_path)
    await git("-C", tmp_path, "fetch", "--quiet", "--depth=1", address(server), first)
    assert await git("-C", tmp_path, "show", "FETCH_HEAD:file") == "1"


async def test_no_two_commits_are_the_same(server: GitServer) -> None:
    files = {"Dockerfile": "FROM scratch\n"}
    assert await server.create("acme/one", files) != await server.create("acme/two", files)


async def test_a_private_one_is_for_those_with_its_token(server: GitServer, tmp_path: Path) -> None:
    sha = await server.create("acme/shop", {"file": "1"}, private=True)
    await server.create("acme/other", {"file": "1"}, private=True)

    assert await git("ls-remote", address(server, token=TOKEN), "HEAD") == f"{sha}\tHEAD"
    assert server.requests
    assert {(asked.repository, asked.path) for asked in server.requests[:2]} == {
        ("acme/shop", "/acme/shop.git/info/refs")
    }
    assert [(asked.user, asked.has_token) for asked in server.requests[:2]] == [("", False), (TOKEN_USER, True)]
    assert TOKEN not in repr(server.requests)
    with pytest.raises(GitFailed, match=r"could not read Username for 'http://127\.0\.0\.1"):
        await git("clone", address(server), tmp_path / "clone")
    for repository, token in (("acme/shop", "wrong"), ("acme/other", TOKEN)):
        with pytest.raises(GitFailed, match="Authentication failed"):
            await git("clone", address(server, repository, token), tmp_path / "clone")


async def test_one_that_is_not_there_is_not_found_by_who_comes_with_a_token(server: GitServer) -> None:
    with pytest.raises(GitFailed, match=r"repository '.*/acme/none.git/' not found"):
        await git("ls-remote", address(server, "acme/none", TOKEN))
    with pytest.raises(GitFailed, match="could not read Username"):
        await git("ls-remote", address(server, "acme/none"))


async def test_nobody_pushes(server: GitServer, tmp_path: Path) -> None:
    await server.create("acme/shop", {"file": "1"})
    await git("clone", "--quiet", address(server), tmp_path / "clone")
    with pytest.raises(GitFailed, match="403"):
        await git("-C", tmp_path / "clone", "push", address(server, token=TOKEN), "HEAD:refs/heads/mine")


async def test_it_fails_as_often_as_it_is_told(server: GitServer) -> None:
    sha = await server.create("acme/shop", {"file": "1"})
    server.failures = 2
    for _ in range(2):
        with pytest.raises(GitFailed, match="503"):
            await git("ls-remote", address(server))
    assert await git("ls-remote", address(server), "HEAD") == f"{sha}\tHEAD"


async def test_it_hangs_until_it_is_told_to_go_on(server: GitServer) -> None:
    sha = await server.create("acme/shop", {"file": "1"})
    server.hang()
    asking = asyncio.create_task(git("ls-remote", address(server), "HEAD"))

    async def asked() -> bool:
        return bool(server.requests)

    await until(asked)
    assert not asking.done()
    server.resume()
    assert await asking == f"{sha}\tHEAD"


async def test_one_that_is_closed_lets_those_go_that_wait(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http:
        async with GitServer(tmp_path) as server:
            await server.create("acme/shop", {"file": "1"})
            server.hang()
            asking = asyncio.create_task(http.get(f"{server.url}/acme/shop.git/HEAD"))

            async def asked() -> bool:
                return bool(server.requests)

            await until(asked)
        assert await (await asking).text() == "ref: refs/heads/main\n"
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(server.url)
