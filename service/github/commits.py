"""A commit as a deployment keeps it (03 · 1.9), read from what GitHub says of a branch."""

import re
from dataclasses import dataclass
from typing import Any

from service.github.answers import find, moment_ms, text
from service.github.refusals import unusable

_SHA = re.compile(r"[0-9a-f]{40}")
_NAME_LENGTH = 256
_URL_LENGTH = 512
_MESSAGE_LENGTH = 65_535 // 4  # the column takes 65,535 bytes; a character has at most 4


@dataclass(frozen=True)
class Commit:
    """The head of a branch; every text fits its column of `deployments`.

    `branch` is GitHub's name for it, which differs from the one asked for after a rename. `message` is its first line.
    """

    sha: str
    branch: str
    message: str
    author_handle: str
    author_avatar_url: str
    committed_at_ms: int


def read_reference(body: Any) -> str:
    """Read the answer of `GET /repos/{owner}/{repo}/git/ref/{ref}`. Raises Transient where it names no commit."""
    sha = text(body, "object", "sha")
    if not _SHA.fullmatch(sha):
        raise unusable()
    return sha


def read_commit(body: Any) -> Commit:
    """Read the answer of `GET /repos/{owner}/{repo}/branches/{branch}`. Raises Transient where it is none."""
    sha = text(body, "commit", "sha")
    if not _SHA.fullmatch(sha):
        raise unusable()
    # No account of GitHub's may have the author's address: then `author` is null or empty, and git's name remains.
    account = find(body, "commit", "author") or None
    avatar_url = text(account, "avatar_url") if account else ""
    author = text(account, "login") if account else text(body, "commit", "commit", "author", "name")
    message, _, _ = text(body, "commit", "commit", "message").lstrip().partition("\n")
    return Commit(
        sha=sha,
        branch=text(body, "name")[:_NAME_LENGTH],
        message=message.rstrip()[:_MESSAGE_LENGTH],
        author_handle=author[:_NAME_LENGTH],
        author_avatar_url=avatar_url if len(avatar_url) <= _URL_LENGTH else "",
        committed_at_ms=moment_ms(body, "commit", "commit", "committer", "date"),
    )
