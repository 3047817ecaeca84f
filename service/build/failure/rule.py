"""One line of a table: words, and what it means that a builder says them."""

import re
from dataclasses import dataclass
from enum import StrEnum


class FailureKind(StrEnum):
    """Whose business a failure is."""

    USER = "user"
    OURS = "ours"
    TRANSIENT = "transient"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Rule:
    """What a text means that the pattern is found in; a guess is worth a look at the whole text.

    `message` may name the groups of the pattern, `{step}`, `{image}`, `{command}`, and the Dockerfile's line as
    `{where}` or `{at}`.
    """

    kind: FailureKind
    reason: str
    pattern: re.Pattern[str]
    message: str
    is_guess: bool = False


def user(reason: str, pattern: str, message: str, *, is_guess: bool = False) -> Rule:
    """Blame the repository: its owner can mend it."""
    return Rule(FailureKind.USER, reason, _compiled(pattern), message, is_guess)


def ours(reason: str, pattern: str, message: str) -> Rule:
    """Blame this installation: an operator can mend it."""
    return Rule(FailureKind.OURS, reason, _compiled(pattern), message)


def transient(reason: str, pattern: str, message: str, *, is_guess: bool = False) -> Rule:
    """Blame nobody: it may work the next time. The message is without advice, for it is that."""
    return Rule(FailureKind.TRANSIENT, reason, _compiled(pattern), message, is_guess)


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)
