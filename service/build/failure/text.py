"""What of a builder's text may be shown: values, without what is the daemon's own business or a secret, and short."""

import re

_USER_INFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^\s/@'\"]*@")
_TOKEN = re.compile(r"\b(?:gh[a-z]_|github_pat_)\w{10,}")
# Where the daemon keeps sources and layers, by snapshotter: the path inside of them is the repository's or the image's.
_DAEMON_PATH = re.compile(
    r"/[^\s\"']*?/(?:buildkit-mount\d+|vfs/dir/[a-z0-9]+|snapshots/\d+(?:/fs)?|overlay2/[a-z0-9-]+/(?:merged|diff))"
)
_PREFIXES = re.compile(
    r"^(?:failed to solve(?: with frontend [\w.]+)?: |failed to create LLB definition: |(?:Unknown|UNKNOWN): )+"
)
_COMMAND = re.compile(
    r"process \"(?P<new>.*)\" did not complete successfully|executor failed running \[(?P<old>.*)\](?=: )", re.DOTALL
)
_SHELL = re.compile(r"^/bin/(?:ba|a|da)?sh (?:-[a-z]+ )*-[a-z]*c ")
_INSTRUCTION = re.compile(r"^\[[^\]]*\] ")
_ELLIPSIS = "..."
_KEPT_LENGTH = 2000

RUN = "process did not complete successfully"
"""What `split` leaves of a command that failed, whatever the daemon's wording."""


def split(text: str) -> tuple[str, str]:
    """Take the command out of a text: return the rest, in one wording and without the daemon's paths, and the command.

    The Go client's own prefixes are taken off too (04 · 6.1). What a command says must never decide anything.
    """
    said = _PREFIXES.sub("", _bounded(text))
    match = _COMMAND.search(said)
    if match is None:
        return _DAEMON_PATH.sub("", said), ""
    command = match["new"] if match["new"] is not None else match["old"]
    rest = said[: match.start()] + RUN + said[match.end() :]
    return _DAEMON_PATH.sub("", rest), _SHELL.sub("", command)


def instruction(step: str) -> str:
    """Return the instruction of a step's name, `[build 3/5] RUN make` without its counter."""
    return _INSTRUCTION.sub("", step)


def shown(value: str, most_bytes: int = 120) -> str:
    """Make a value fit for a message: one line, no credentials in addresses, printable, cut."""
    line = " ".join(_bounded(value).split())
    line = _TOKEN.sub("***", _USER_INFO.sub(r"\g<scheme>", line))
    plain = "".join(character if character.isprintable() else "?" for character in line)
    encoded = plain.encode(errors="replace")
    if len(encoded) <= most_bytes:
        return encoded.decode()
    return encoded[: most_bytes - len(_ELLIPSIS)].decode(errors="ignore") + _ELLIPSIS


def _bounded(text: str) -> str:
    """Leave out the middle of a long text: a Dockerfile's line may have 64 KiB, and patterns take their time."""
    return text if len(text) <= 2 * _KEPT_LENGTH else text[:_KEPT_LENGTH] + text[-_KEPT_LENGTH:]
