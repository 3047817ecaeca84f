"""What a failed build means (04 · 6)."""

from service.build.failure.rule import FailureKind
from service.build.failure.surroundings import GIT_AUTH_FAILED
from service.build.failure.verdict import Failure, Verdict, classify

__all__ = ["GIT_AUTH_FAILED", "Failure", "FailureKind", "Verdict", "classify"]
