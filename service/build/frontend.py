"""What BuildKit is asked for: the attributes of the Dockerfile frontend and of the exporter (04 · 3)."""

from dataclasses import dataclass

from service.build.builder import Order
from service.build.buildkit import Exporter
from service.domain.git import context_url

OPERATION_LABEL = "hydra.v1.operation"
REVISION_LABEL = "org.opencontainers.image.revision"  # https://specs.opencontainers.org/image-spec/annotations/

_DOCKERFILE = "Dockerfile"


@dataclass(frozen=True)
class Site:
    """What all builds of an installation have in common: where git is, and what platform they are for."""

    clone_url: str
    platform: str


def frontend_attrs(order: Order, site: Site) -> dict[str, str]:
    """Say what to build, and from where."""
    source = order.source
    return {
        "context": context_url(site.clone_url, source),
        "filename": source.dockerfile_path or _DOCKERFILE,
        "platform": site.platform,
        f"label:{OPERATION_LABEL}": order.operation_id,
        f"label:{REVISION_LABEL}": source.commit_sha,
    }


def shared_builder_attrs(order: Order) -> dict[str, str]:
    """Keep projects apart that share a builder: a cache mount is each one's own (04 · 2.6).

    A layer's cache needs no such care: who has the same inputs would make the same layer.
    """
    return {"build-arg:BUILDKIT_CACHE_MOUNT_NS": order.project_id}


def pushed_as(image: str, *, insecure: bool) -> Exporter:
    """Push the image; `insecure` speaks plain HTTP to its registry."""
    attrs = {"name": image, "push": "true", "oci-mediatypes": "true"}
    return Exporter("image", attrs | ({"registry.insecure": "true"} if insecure else {}))


def kept_by_docker(image: str) -> Exporter:
    """Keep the image in the Docker engine that builds it, which cannot push (04 · 5.2)."""
    return Exporter("moby", {"name": image})


def docker_attrs(order: Order, attrs: dict[str, str]) -> dict[str, str]:
    """Say the same to a Docker engine, which takes a subdirectory apart from the git address (04 · 5.2)."""
    below = order.source.context_path
    if not below:
        return attrs
    return {
        **attrs,
        "context": attrs["context"].removesuffix(f":{below}"),
        "contextsubdir": below,
        "filename": f"{below}/{attrs['filename']}",
    }
