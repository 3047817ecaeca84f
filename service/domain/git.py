"""What a request may say of a git repository, and how a builder is told of it (04 · 2.6, 06 · B4).

A builder gets one address, `<clone url>/<repository>.git#<ref>:<directory>`, and decodes percent signs behind the `#`.
Nothing of a request passes that would be read as something else there; git itself would allow more.
"""

import re
from typing import Never, Protocol
from urllib.parse import urlsplit

from service.domain.build import GitSource
from service.errors import InvalidArgument

_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_REPOSITORY_LENGTH = 140  # GitHub's limits: 39 for an owner, 100 for a repository
_SHA = re.compile(r"[0-9A-Fa-f]{40}")  # what deployments.git_commit_sha holds; GitHub has no others
_BRANCH_LENGTH = 256  # deployments.git_branch
_NOT_IN_BRANCH = re.compile(r"[~^:?*\[\\#@]")  # git-check-ref-format(1); # and @ are ours to refuse (06 · B4)
_SEGMENT = re.compile(r"[\w.+~=,-]+")
_PATH_LENGTH = 500  # app_build_settings.docker_context and .dockerfile
_LARGEST_PULL_REQUEST = 2**31 - 1  # hydra.v1.GitHubStatusInitRequest.pr_number
_LARGEST_INSTALLATION = 2**63 - 1
_SHOWN_LENGTH = 80

_DOCKERFILE = "Dockerfile"


class GitFields(Protocol):
    """The fields of hydra.v1.GitSource (01 · 1)."""

    installation_id: int
    repository: str
    commit_sha: str
    context_path: str
    dockerfile_path: str
    branch: str
    pr_number: int


def git_source(given: GitFields) -> GitSource:
    """Check what a request asks to build, and spell it in one way.

    The commit becomes lower case, paths lose what means nothing in them, and an empty `dockerfile_path` becomes
    `Dockerfile`. Raises InvalidArgument naming the field, SOURCE_INCOMPLETE where nothing says what to build.
    """
    source = GitSource(
        repository=_repository(given.repository),
        commit_sha=_commit(given.commit_sha),
        branch=_branch(given.branch),
        context_path=_path("context_path", given.context_path.strip(" ").removesuffix("/")),
        dockerfile_path=_path("dockerfile_path", given.dockerfile_path.strip(" ")) or _DOCKERFILE,
        pull_request=_number("pr_number", given.pr_number, _LARGEST_PULL_REQUEST),
        installation_id=_number("installation_id", given.installation_id, _LARGEST_INSTALLATION),
    )
    if not (source.commit_sha or source.branch or source.pull_request):
        raise InvalidArgument(
            "git names nothing to build: set commit_sha, branch or pr_number",
            field="git.commit_sha",
            reason="SOURCE_INCOMPLETE",
        )
    return source


def context_url(clone_url: str, source: GitSource) -> str:
    """Spell the source as BuildKit takes a git context: `https://github.com/acme/shop.git#<ref>[:<directory>]`.

    Raises ValueError as `git_ref`.
    """
    below = f":{source.context_path}" if source.context_path else ""
    return f"{clone_url.rstrip('/')}/{source.repository}.git#{git_ref(source)}{below}"


def git_ref(source: GitSource) -> str:
    """Return what is fetched: the commit, or the head of the pull request, which the base repository has too.

    Raises ValueError while no commit is known: nothing is ever fetched by the name of its branch.
    """
    if source.pull_request:
        return f"refs/pull/{source.pull_request}/head"
    if not source.commit_sha:
        raise ValueError(f"the commit of {source.repository} is not known yet")
    return source.commit_sha


def git_host(clone_url: str) -> str:
    """Return host and port just as the address spells them: BuildKit asks for tokens under that (04 · 2.6)."""
    return urlsplit(clone_url).netloc


def _repository(value: str) -> str:
    if not value:
        raise InvalidArgument("git.repository is empty: give owner/name", field="git.repository")
    if len(value) > _REPOSITORY_LENGTH:
        _refuse("repository", value, f"has {len(value)} characters, at most {_REPOSITORY_LENGTH} are possible")
    if not is_repository(value):
        _refuse("repository", value, "is not owner/name: two parts of letters, digits, ., _ and -, and no address")
    if value.lower().endswith(".git"):
        _refuse("repository", value, "ends in .git: leave that out")
    return value


def is_repository(text: str) -> bool:
    """Tell whether a text is the name of a repository, `owner/name`."""
    return (
        len(text) <= _REPOSITORY_LENGTH and bool(_REPOSITORY.fullmatch(text)) and not {".", ".."} & set(text.split("/"))
    )


def is_commit(text: str) -> bool:
    """Tell whether a text is a whole commit id."""
    return bool(_SHA.fullmatch(text))


def _commit(value: str) -> str:
    if value and not is_commit(value):
        _refuse("commit_sha", value, "is not a whole commit id: give all 40 hexadecimal digits")
    return value.lower()


def _branch(value: str) -> str:
    if len(value) > _BRANCH_LENGTH:
        _refuse("branch", value, f"has {len(value)} characters, at most {_BRANCH_LENGTH} fit")
    complaint = _branch_complaint(value) if value else None
    if complaint:
        _refuse("branch", value, complaint)
    return value


def _branch_complaint(value: str) -> str | None:
    if any(character.isspace() or not character.isprintable() for character in value):
        return "contains white space or a control character: take it out"
    unfit = _NOT_IN_BRANCH.search(value)
    if unfit:
        return f"contains {unfit[0]}: give the branch's name alone, or rename it"
    # The rest of git-check-ref-format(1).
    if ".." in value or value.endswith(".") or value.startswith("-") or value == "HEAD":
        return "cannot be a branch: it has .. in it, ends in ., starts with - or is HEAD"
    if any(not part or part.startswith(".") or part.endswith(".lock") for part in value.split("/")):
        return "cannot be a branch: a part between slashes is empty, starts with . or ends in .lock"
    return None


def _path(name: str, value: str) -> str:
    segments = [segment for segment in value.removeprefix("/").split("/") if segment != "."]
    path = "/".join(segments)
    if len(path) > _PATH_LENGTH:
        _refuse(name, value, f"has {len(path)} characters, at most {_PATH_LENGTH} fit")
    if ".." in segments:
        _refuse(name, value, "leaves its directory: take out the ..")
    if path and not all(map(_SEGMENT.fullmatch, segments)):
        _refuse(name, value, "is not a plain path: use letters, digits and . _ + ~ = , - between single slashes")
    return path


def _number(name: str, value: int, largest: int) -> int:
    if not 0 <= value <= largest:
        raise InvalidArgument(f"git.{name} is {value}: give one from 1 on, or 0 for none", field=f"git.{name}")
    return value


def _refuse(name: str, value: str, complaint: str) -> Never:
    # An address pasted where it does not belong may carry user:password@; nothing in front of an @ is repeated.
    _, at, rest = value.rpartition("@")
    shown = f"...@{rest}" if at else value
    if len(shown) > _SHOWN_LENGTH:
        shown = f"{shown[:_SHOWN_LENGTH]}..."
    raise InvalidArgument(f"git.{name} {shown!a} {complaint}", field=f"git.{name}")
