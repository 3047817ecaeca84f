import pytest

from service import errors
from service.errors import HydraError, InvalidArgument

EXPECTED = {
    "InvalidArgument": ("INVALID_ARGUMENT", 400),
    "NotFound": ("NOT_FOUND", 404),
    "FailedPrecondition": ("FAILED_PRECONDITION", 400),
    "Unauthenticated": ("UNAUTHENTICATED", 401),
    "PermissionDenied": ("PERMISSION_DENIED", 403),
    "QuotaExceeded": ("RESOURCE_EXHAUSTED", 429),
    "Overloaded": ("RESOURCE_EXHAUSTED", 429),
    "BuildFailed": ("FAILED_PRECONDITION", 422),
    "RegionsUnhealthy": ("ABORTED", 504),
    "Cancelled": ("CANCELLED", 409),
    "Internal": ("INTERNAL", 500),
    "Transient": ("UNAVAILABLE", 503),
}


@pytest.mark.parametrize(("name", "codes"), EXPECTED.items())
def test_every_class_has_its_codes_of_the_contract(name: str, codes: tuple[str, int]) -> None:
    kind = getattr(errors, name)
    assert (kind.status, kind.http_code) == codes


@pytest.mark.parametrize("name", EXPECTED)
def test_dump_and_load_keep_class_reason_message_and_facts(name: str) -> None:
    kind: type[HydraError] = getattr(errors, name)
    error = kind.__new__(kind)
    HydraError.__init__(error, "what happened", reason="WHY", region="eu")

    loaded = errors.load(error.message, errors.dump(error))

    assert type(loaded) is kind
    assert loaded is not None
    assert (loaded.message, loaded.reason, loaded.facts) == ("what happened", "WHY", {"region": "eu"})


def test_strings_that_are_not_ours_load_as_nothing() -> None:
    assert errors.load("boom", {}) is None
    assert errors.load("boom", {"error": "KeyError"}) is None


def test_the_reason_defaults_to_the_status() -> None:
    assert InvalidArgument("bad", field="image").reason == "INVALID_ARGUMENT"
