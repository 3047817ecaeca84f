"""Which code this is: the release that Restate pins invocations to."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

_ID_LENGTH = 12


def release_id(services: Iterable[str]) -> str:
    """Hash the service's code and the names of the services it serves.

    Two processes of one build get the same id; any change of code gets another, so that an invocation in
    flight never replays on code that journals other steps (05 · 4).
    """
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update("\0".join(sorted(services)).encode())
    return digest.hexdigest()[:_ID_LENGTH]
