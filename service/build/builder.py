"""What builds images, as the workflow sees it: an order goes in, an image in the registry comes out."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from service.domain.build import GitSource
from service.errors import FailedPrecondition

# The reason of all that is wrong with the source, as callers know it (01 · 4); the fact `cause` tells more.
BUILD_FAILED = "BUILD_FAILED"


@dataclass(frozen=True)
class Order:
    """One image to build.

    `operation_id` becomes a label of the image: it tells which attempt at the deployment pushed it. `builder_project`
    is what `Builder.project` gave. Code of a fork is not `trusted`: it gets no token, and a cache of its own.
    """

    operation_id: str
    workspace_id: str
    project_id: str
    deployment_id: str
    source: GitSource
    builder_project: str
    trusted: bool


@dataclass(frozen=True)
class Built:
    """An image in the registry. `commit_sha` is what was fetched, empty where the builder does not tell."""

    image: str
    digest: str
    build_id: str
    commit_sha: str = ""


@dataclass(frozen=True)
class BuildContext:
    """What an execution of an order may ask of its surroundings.

    `clone_token` gives the token to clone with, empty where the source needs none or must not have one. `named` is
    told what the builder calls the build, as soon as that is known.
    """

    clone_token: Callable[[], Awaitable[str]]
    named: Callable[[str], Awaitable[None]]


class Builder(Protocol):
    """Builds images from git and pushes them."""

    async def project(self, project_id: str, *, trusted: bool) -> str:
        """Find or make the place where a project's builds run, and return its id; empty where builds have none."""
        ...

    async def find(self, order: Order, build_id: str) -> Built | None:
        """Return what an earlier execution of the same operation pushed; None where there is nothing of it."""
        ...

    async def build(self, order: Order, context: BuildContext) -> Built:
        """Build and push.

        Raises BuildFailed where the source is to blame, Transient where a new try may help, Internal and
        FailedPrecondition where an operator has to act. When cancelled, the remote build is stopped first.
        """
        ...

    async def close(self) -> None: ...


class NullBuilder:
    """The builder where none is configured: it says so."""

    async def project(self, project_id: str, *, trusted: bool) -> str:  # noqa: ARG002 - the protocol's
        raise _not_configured()

    async def find(self, order: Order, build_id: str) -> Built | None:  # noqa: ARG002 - the protocol's
        raise _not_configured()

    async def build(self, order: Order, context: BuildContext) -> Built:  # noqa: ARG002 - the protocol's
        raise _not_configured()

    async def close(self) -> None:
        """Nothing is open."""


def _not_configured() -> FailedPrecondition:
    return FailedPrecondition(
        "this service has no builder: set registry.password and depot.api_url, or build.address; or deploy an image",
        reason="BUILDER_NOT_CONFIGURED",
    )
