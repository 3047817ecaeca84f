import pytest
import typer
from hydra.v1 import deploy_pb2

from service.cli.source import SourceOptions
from service.dev.world import DeploymentSpec
from service.errors import InvalidArgument

IMAGE = "registry.example.com/acme/shop:1.0"
SHA = "4f1c0de6a1b24f1c0de6a1b24f1c0de6a1b24f1c"


def test_an_image_keeps_what_is_known_of_its_commit() -> None:
    source = SourceOptions(image=IMAGE, branch="main", commit="4f1c0de6a1b2").source()

    assert source.label == IMAGE
    assert source.spec == DeploymentSpec(git_branch="main", git_commit_sha="4f1c0de6a1b2")
    assert source.request("d_1") == deploy_pb2.DeployRequest(
        deployment_id="d_1", docker_image=deploy_pb2.DockerImage(image=IMAGE)
    )


def test_a_repository_is_asked_for_with_all_that_is_given() -> None:
    options = SourceOptions(
        repository="acme/shop",
        branch="main",
        commit=SHA.upper(),
        context="services/shop",
        dockerfile="Dockerfile.prod",
        pull_request=7,
        installation=5,
    )
    source = options.source()

    assert source.label == "acme/shop, pull request 7, commit 4f1c0de"
    assert source.spec == DeploymentSpec(git_branch="main", git_commit_sha=SHA, pr_number=7)
    assert source.request("d_1") == deploy_pb2.DeployRequest(
        deployment_id="d_1",
        git=deploy_pb2.GitSource(
            installation_id=5,
            repository="acme/shop",
            commit_sha=SHA.upper(),
            context_path="services/shop",
            dockerfile_path="Dockerfile.prod",
            branch="main",
            pr_number=7,
        ),
    )


@pytest.mark.parametrize(
    ("options", "label"),
    [
        (SourceOptions(repository="acme/shop", branch="main"), "acme/shop, branch main"),
        (SourceOptions(repository="acme/shop", commit=SHA), "acme/shop, commit 4f1c0de"),
        (SourceOptions(repository="acme/shop", branch="main", commit=SHA), "acme/shop, branch main, commit 4f1c0de"),
    ],
)
def test_a_repository_is_told_with_what_is_built_of_it(options: SourceOptions, label: str) -> None:
    assert options.source().label == label


@pytest.mark.parametrize(
    ("options", "option", "complaint"),
    [
        (SourceOptions(), "--image / --repository", "exactly one"),
        (SourceOptions(branch="main"), "--image / --repository", "exactly one"),
        (SourceOptions(image=IMAGE, repository="acme/shop", branch="main"), "--image / --repository", "exactly one"),
        (SourceOptions(repository="acme/shop"), "--repository", "--branch, --commit or --pull-request"),
        (SourceOptions(image=IMAGE, context="services"), "--context", "goes with --repository only"),
        (SourceOptions(image=IMAGE, dockerfile="Dockerfile"), "--dockerfile", "goes with --repository only"),
        (SourceOptions(image=IMAGE, pull_request=7), "--pull-request", "goes with --repository only"),
        (SourceOptions(image=IMAGE, installation=5), "--installation", "goes with --repository only"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: SourceOptions, option: str, complaint: str) -> None:
    with pytest.raises(typer.BadParameter, match=complaint) as refused:
        options.source()
    assert refused.value.param_hint == option


@pytest.mark.parametrize(
    "options",
    [
        SourceOptions(image="Not an image"),
        SourceOptions(repository="acme", commit=SHA),
        SourceOptions(repository="acme/shop", commit="4f1c0de"),
        SourceOptions(repository="acme/shop", commit=SHA, context="../other"),
    ],
)
def test_wrong_values_are_refused_as_the_service_would(options: SourceOptions) -> None:
    with pytest.raises(InvalidArgument):
        options.source()
