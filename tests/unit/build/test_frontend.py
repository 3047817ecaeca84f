from dataclasses import replace

from service.build.builder import Order
from service.build.frontend import (
    Site,
    docker_attrs,
    frontend_attrs,
    kept_by_docker,
    pushed_as,
    shared_builder_attrs,
)
from service.domain.build import GitSource

SHA = "4f1c0de6a1b24f1c0de6a1b24f1c0de6a1b24f1c"
SITE = Site("https://github.com", "linux/arm64")
SOURCE = GitSource("acme/shop", SHA, "main")
ORDER = Order("inv_1", "ws_1", "proj_A", "d_1", SOURCE, builder_project="dp_1", trusted=True)


def test_a_build_names_its_commit_its_platform_and_its_operation() -> None:
    assert frontend_attrs(ORDER, SITE) == {
        "context": f"https://github.com/acme/shop.git#{SHA}",
        "filename": "Dockerfile",
        "platform": "linux/arm64",
        "label:hydra.v1.operation": "inv_1",
        "label:org.opencontainers.image.revision": SHA,
    }


def test_a_context_below_the_root_and_a_dockerfile_in_it() -> None:
    source = replace(SOURCE, context_path="services/api", dockerfile_path="build/Dockerfile")
    attrs = frontend_attrs(replace(ORDER, source=source), SITE)

    assert attrs["context"] == f"https://github.com/acme/shop.git#{SHA}:services/api"
    assert attrs["filename"] == "build/Dockerfile"  # from the context on (04 · 0)


def test_a_pull_request_is_fetched_from_the_base_repository() -> None:
    attrs = frontend_attrs(replace(ORDER, source=replace(SOURCE, pull_request=7)), SITE)

    assert attrs["context"] == "https://github.com/acme/shop.git#refs/pull/7/head"


def test_projects_that_share_a_builder_do_not_share_cache_mounts() -> None:
    other = replace(ORDER, project_id="proj_B")

    assert shared_builder_attrs(ORDER) != shared_builder_attrs(other)


def test_an_image_is_pushed_and_only_on_request_without_tls() -> None:
    assert pushed_as("r/dp:a-b", insecure=False).attrs == {"name": "r/dp:a-b", "push": "true", "oci-mediatypes": "true"}
    assert pushed_as("r/dp:a-b", insecure=True).attrs["registry.insecure"] == "true"


def test_a_docker_engine_keeps_the_image_and_takes_the_folder_apart() -> None:
    """04 · 5.2."""
    below = replace(ORDER, source=replace(SOURCE, context_path="services/api"))
    attrs = docker_attrs(below, frontend_attrs(below, SITE))

    assert attrs["context"] == f"https://github.com/acme/shop.git#{SHA}"
    assert attrs["contextsubdir"] == "services/api"
    assert attrs["filename"] == "services/api/Dockerfile"
    assert docker_attrs(ORDER, frontend_attrs(ORDER, SITE)) == frontend_attrs(ORDER, SITE)
    assert kept_by_docker("r/b:a").type == "moby"
