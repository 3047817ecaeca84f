"""What counts as an image reference: the grammar of the distribution project, and what our column holds."""

import re

from service.errors import InvalidArgument

_FIELD = "docker_image.image"
_SHOWN_LENGTH = 80
_COLUMN_LENGTH = 256  # deployments.image, in characters
_EXAMPLE = "registry.example.com/team/app:1.2"

_HOST_PART = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"(?:{_HOST_PART}(?:\.{_HOST_PART})*|\[[0-9A-Fa-f:]+\])"
_PATH_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = rf"(?:{_HOST}(?::[0-9]+)?/)?{_PATH_PART}(?:/{_PATH_PART})*"
_TAG_LENGTH = 128
_TAG = rf"[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{_TAG_LENGTH - 1}}}"
_ALGORITHM = r"[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*"
_REFERENCE = re.compile(rf"{_NAME}(?::{_TAG})?(?:@(?P<algorithm>{_ALGORITHM}):(?P<digest>[0-9A-Fa-f]{{32,}}))?")
_LOWER_HEX = re.compile(r"[0-9a-f]+")

# Registered algorithms have one length each, in lower-case hex digits (OCI image specification, Descriptors).
_DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


def validate_image(reference: str) -> None:
    """Raise InvalidArgument unless it is `[host[:port]/]path[:tag][@algorithm:hex]`, at most 256 long."""
    if not reference:
        raise InvalidArgument(f"{_FIELD} is empty: give a reference such as {_EXAMPLE}", field=_FIELD)
    if len(reference) > _COLUMN_LENGTH:
        raise InvalidArgument(
            f"{_FIELD} has {len(reference)} characters, at most {_COLUMN_LENGTH} fit: shorten it",
            field=_FIELD,
        )
    complaint = _complaint(reference)
    if complaint:
        raise InvalidArgument(
            f"{_FIELD} {_shown(reference)} is not an image reference: {complaint}, as in {_EXAMPLE}",
            field=_FIELD,
        )


def _complaint(reference: str) -> str | None:
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        return _advice(reference)
    length = _DIGEST_LENGTHS.get(match["algorithm"])
    if length is None:
        return None
    if len(match["digest"]) != length or not _LOWER_HEX.fullmatch(match["digest"]):
        return f"a {match['algorithm']} digest has {length} lower-case hex digits; correct it or name a tag"
    return None


def _advice(reference: str) -> str:
    if any(character.isspace() or not character.isprintable() for character in reference):
        return "take out white space and control characters"
    if "://" in reference:
        return "leave out the scheme"
    if _REFERENCE.fullmatch(reference.lower()):
        return "write the path in lower case"
    return "write it as [host[:port]/]path[:tag][@algorithm:hex]"


def _shown(reference: str) -> str:
    # A URL pasted as a reference may carry user:password@; nothing in front of an @ is repeated.
    _, at, rest = reference.rpartition("@")
    shown = f"...@{rest}" if at else reference
    return ascii(shown if len(shown) <= _SHOWN_LENGTH else f"{shown[:_SHOWN_LENGTH]}...")


def image_name(registry: str, builder_project: str, project_id: str, deployment_id: str) -> str:
    """Name the image of a build: `<registry>/<builder's project>:<project>-<deployment>` (02 · 1.1).

    A builder without projects of its own takes `builds`: our ids have capitals, which only the tag may have.
    """
    tag = f"{project_id}-{deployment_id}"[-_TAG_LENGTH:].lstrip("-.")
    return f"{registry.rstrip('/')}/{builder_project or 'builds'}:{tag}"
