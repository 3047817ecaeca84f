"""What a deploy takes its image from: one that exists already, or a commit of a git repository."""

from dataclasses import dataclass

import typer
from hydra.v1 import deploy_pb2

from service.database.overview import Overview
from service.dev.world import DeploymentSpec
from service.domain.build import GitSource
from service.domain.git import git_source
from service.domain.image import validate_image

_SHORT_SHA = 7
_ONLY_WITH_REPOSITORY = ("context", "dockerfile", "pull_request", "installation")


@dataclass(frozen=True)
class Source:
    """A source as it is told of: to people, to the deployment's row, and to the service."""

    label: str
    spec: DeploymentSpec
    message: deploy_pb2.DockerImage | deploy_pb2.GitSource

    def request(self, deployment_id: str) -> deploy_pb2.DeployRequest:
        """Write the request that deploys it."""
        if isinstance(self.message, deploy_pb2.GitSource):
            return deploy_pb2.DeployRequest(deployment_id=deployment_id, git=self.message)
        return deploy_pb2.DeployRequest(deployment_id=deployment_id, docker_image=self.message)


@dataclass(frozen=True)
class SourceOptions:
    """The options that say what to deploy; "" and 0 are those that were not given."""

    image: str = ""
    repository: str = ""
    branch: str = ""
    commit: str = ""
    context: str = ""
    dockerfile: str = ""
    pull_request: int = 0
    installation: int = 0

    def source(self) -> Source:
        """Check them. Raises BadParameter for options that do not go together, InvalidArgument for a wrong value."""
        if bool(self.image) == bool(self.repository):
            raise typer.BadParameter(
                "give exactly one: an image that exists, or a repository to build one from",
                param_hint="--image / --repository",
            )
        return self._git() if self.repository else self._image()

    def _image(self) -> Source:
        for name in _ONLY_WITH_REPOSITORY:
            if getattr(self, name):
                raise typer.BadParameter("goes with --repository only", param_hint=f"--{name.replace('_', '-')}")
        validate_image(self.image)
        spec = DeploymentSpec(git_branch=self.branch or None, git_commit_sha=self.commit or None)
        return Source(self.image, spec, deploy_pb2.DockerImage(image=self.image))

    def _git(self) -> Source:
        if not (self.branch or self.commit or self.pull_request):
            raise typer.BadParameter(
                "says what to build only along with --branch, --commit or --pull-request", param_hint="--repository"
            )
        return from_git(
            deploy_pb2.GitSource(
                installation_id=self.installation,
                repository=self.repository,
                commit_sha=self.commit,
                context_path=self.context,
                dockerfile_path=self.dockerfile,
                branch=self.branch,
                pr_number=self.pull_request,
            )
        )


def from_git(message: deploy_pb2.GitSource) -> Source:
    """Make a source of a message. Raises InvalidArgument naming the field that is wrong."""
    checked = git_source(message)
    spec = DeploymentSpec(
        git_branch=checked.branch or None,
        git_commit_sha=checked.commit_sha or None,
        pr_number=checked.pull_request or None,
    )
    return Source(_label(checked), spec, message)


def _label(source: GitSource) -> str:
    parts = [source.repository]
    if source.pull_request:
        parts.append(f"pull request {source.pull_request}")
    elif source.branch:
        parts.append(f"branch {source.branch}")
    if source.commit_sha:
        parts.append(f"commit {source.commit_sha[:_SHORT_SHA]}")
    return ", ".join(parts)


def digest_of(seen: Overview) -> str:
    """Return the digest of the image that a deploy built; empty where it took one that existed."""
    return str(((seen.operation and seen.operation.detail) or {}).get("digest", ""))
