"""How new rows and Kubernetes objects get their ids and names.

Formats are the reference's (03 · 3). Randomness is passed in, so that a workflow draws it from its journal.
"""

from enum import StrEnum
from random import Random
from string import ascii_letters, ascii_lowercase, digits

_ID_ALPHABET = ascii_letters + digits
_LABEL_ALPHABET = ascii_lowercase + digits

DEPLOYMENT_K8S_NAME_LENGTH = 12


class Prefix(StrEnum):
    """What an id says about the thing it names."""

    WORKSPACE = "ws"
    PROJECT = "proj"
    APP = "app"
    ENVIRONMENT = "env"
    DEPLOYMENT = "d"
    ROUTE = "flr"
    SENTINEL = "s"
    POLICY = "net"
    INSTANCE = "ins"
    REGION = "rgn"
    CLUSTER = "cls"
    ORG = "org"
    OPENAPI_SPEC = "oas"


def new_id(prefix: str, random: Random, length: int = 8) -> str:
    """Draw `<prefix>_<length letters and digits>`; without a prefix there is no underscore either."""
    drawn = "".join(random.choices(_ID_ALPHABET, k=length))
    return f"{prefix}_{drawn}" if prefix else drawn


def dns_label(random: Random, length: int = 8) -> str:
    """Draw a DNS-1035 label: a lower-case letter, then lower-case letters and digits; empty for length 0."""
    if length == 0:
        return ""
    return random.choice(ascii_lowercase) + "".join(random.choices(_LABEL_ALPHABET, k=length - 1))
