"""Judging a failed build: whose fault it is, whether a new try may help, and what to tell the app's owner (04 · 6).

Daemons say almost everything as text with code UNKNOWN, in words that differ by version, so texts are matched loosely.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from service.build.failure import surroundings
from service.build.failure.dockerfile import DOCKERFILE
from service.build.failure.rule import FailureKind, Rule
from service.build.failure.text import RUN, instruction, shown, split

_CLONE = re.compile(r"failed to read (?:dockerfile|downloaded context)")
_CLONE_STEP = "[internal] load git source "
_DOWNLOAD = re.compile(
    r"(?:failed to (?:load|compute) cache key: )?"
    r"(?:Get \"|invalid response status|failed to fetch remote|digest mismatch)"
)
_OF_IMAGE = re.compile(
    r"failed to resolve source metadata|failed to do request|failed to authorize|httpReadSeeker|pulling from host"
    r"|pull access denied|no match for platform in manifest|no matching manifest"
    r"|(?:^|: )[^\s\"'/][^\s\"']*[/:][^\s\"']+: not found$"
)
_IMAGE_IN_TEXT = re.compile(r"failed to resolve source metadata for (\S+?):? ")
_IMAGE_IN_STEP = re.compile(r"(?:load metadata for|resolve image config for|^FROM) (?:docker-image://)?(\S+)")
_IMAGE_ALONE = re.compile(r"(?:^|: )([^\s\"'/][^\s\"']*[/:][^\s\"']+): not found$")
_IMAGE_IN_URL = re.compile(r"https?://([^/\s]+/)v2/(\S+?)/(?:manifests|blobs)/")
_EXIT_CODE = re.compile(rf"{RUN}: exit code: (\d+)")
_MESSAGE_BYTES = 512  # deployment_steps.error
# POSIX, Shell Command Language 2.8.2; and 128 with SIGKILL's number
_EXIT_CODES = {
    126: ", it cannot be executed",
    127: ", the image has no such command",
    137: ", it was killed, perhaps for want of memory",
}


@dataclass(frozen=True)
class Failure:
    """What a daemon says of a build that failed, each part as far as it does.

    `code` is the name of a gRPC status code. `exit_code` is that of a command. `failed_step_name` is the vertex's, and
    `source_line` counts from 1. `output` is what the failed step wrote last: old daemons have git's words only there.
    """

    code: str
    text: str
    exit_code: int | None = None
    failed_step_name: str = ""
    source_line: int | None = None
    output: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a failure means. `message` is for the app's owner, at most 512 bytes, one line, and holds no secret.

    After GIT_AUTH_FAILED a fresh token may help, once. `unmatched`: the verdict is a guess, so the text is worth a log.
    """

    kind: FailureKind
    reason: str
    message: str
    unmatched: bool = False


def classify(failure: Failure, *, cancelled: bool = False) -> Verdict:
    """Judge a failure, in the order of 04 · 6.3; `cancelled` says that it was we who ended the build."""
    if cancelled:
        return Verdict(FailureKind.CANCELLED, "CANCELLED", "the build was cancelled")
    said, command = split(failure.text)
    found = _find(surroundings.INTERRUPTIONS, f"{failure.code}: {said}")
    if found is None:
        exit_code = _exit_code(failure, said)
        if exit_code is not None:
            return _run_failed(exit_code, failure, command)
        table, text = _part(failure, said)
        found = _find(table, text) or _find(surroundings.OURS, said) or _find(DOCKERFILE, said)
    if found is None:
        return _unknown(failure)
    rule, groups = found
    values = {
        "step": instruction(failure.failed_step_name) or "a step",
        "image": _image(said, failure.failed_step_name),
        "command": command,
        **groups,
    }
    fit = {name: shown(value) for name, value in values.items()}
    message = rule.message.format(**_line(failure), **fit)
    return Verdict(rule.kind, rule.reason, shown(message, _MESSAGE_BYTES), rule.is_guess)


def _find(table: Iterable[Rule], text: str) -> tuple[Rule, dict[str, str]] | None:
    for rule in table:
        match = rule.pattern.search(text)
        if match is not None:
            return rule, match.groupdict("")
    return None


def _part(failure: Failure, said: str) -> tuple[tuple[Rule, ...], str]:
    """Find the part of the build that a text is about: its rules, and what they are to be searched in."""
    if said.startswith("failed to push"):
        return surroundings.PUSH, said
    if _CLONE.match(said) or failure.failed_step_name.startswith(_CLONE_STEP):
        is_told = "git stderr" in said or "exit status" not in said
        return surroundings.CLONE, said if is_told else f"{said}\n{failure.output}"
    if _DOWNLOAD.match(said):
        return surroundings.DOWNLOAD, said
    return (surroundings.IMAGE if _OF_IMAGE.search(said) else ()), said


def _exit_code(failure: Failure, said: str) -> int | None:
    if failure.exit_code is not None:
        return failure.exit_code
    match = _EXIT_CODE.search(said)  # old daemons say it in the text alone
    return int(match[1]) if match else None


def _run_failed(exit_code: int, failure: Failure, command: str) -> Verdict:
    ran = shown(command or instruction(failure.failed_step_name))
    what = _EXIT_CODES.get(exit_code, "")
    message = (
        f'the command "{ran}" failed with exit code {exit_code}{what}{_line(failure)["where"]}: see the build\'s log'
    )
    return Verdict(FailureKind.USER, "RUN_FAILED", message)


def _unknown(failure: Failure) -> Verdict:
    message = f"the image could not be built{_line(failure)['where']}: see the build's log"
    return Verdict(FailureKind.USER, "BUILD_FAILED", message, unmatched=True)


def _line(failure: Failure) -> dict[str, str]:
    line = failure.source_line
    return {"where": f" (line {line} of the Dockerfile)" if line else "", "at": f" in line {line}" if line else ""}


def _image(said: str, step: str) -> str:
    for text, pattern in ((said, _IMAGE_IN_TEXT), (step, _IMAGE_IN_STEP), (said, _IMAGE_ALONE), (said, _IMAGE_IN_URL)):
        match = pattern.search(text)
        if match is not None:
            return "".join(match.groups())
    return "named there"
