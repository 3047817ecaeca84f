import pytest

from service.app.doctor.checks import Finding, Level, Part, Reading, reading_of
from service.cli.doctor import line, verdict
from service.clock import now_ms
from tests.documentation import documented_keys

OK = Finding("database", "schema", Level.OK, "all is there")
FAULT = Finding("database", "schema", Level.FAULT, "a table is missing", "run `hydra-deploy migrate`")
WARNING = Finding("restate", "clock", Level.WARNING, "90 s behind this machine's", "set it")
OFF = Finding("github", "app", Level.OFF, "nothing is reported")


@pytest.mark.parametrize(
    ("finding", "said"),
    [
        (OK, "✓ ok             database · schema: all is there"),
        (FAULT, "✗ fault          database · schema: a table is missing → run `hydra-deploy migrate`"),
        (WARNING, "! warning        restate · clock: 90 s behind this machine's → set it"),
        (OFF, "· not configured github · app: nothing is reported"),
    ],
)
def test_a_finding_is_one_line(finding: Finding, said: str) -> None:
    assert line(finding).plain == said


def test_the_last_line_counts() -> None:
    assert verdict([OK, OK, FAULT, WARNING, OFF]) == "1 fault, 1 warning, 2 ok, 1 not configured"
    assert verdict([]) == "0 faults, 0 warnings, 0 ok, 0 not configured"


def test_the_documented_keys_are_those_of_a_finding() -> None:
    assert documented_keys("doctor") == set(Finding.__dataclass_fields__)


@pytest.mark.parametrize(
    ("earliest", "latest", "apart"),
    [
        (1500, 1500, 0),  # between our two looks
        (900, 1100, 0),  # it may have been
        (100, 900, -100),  # 100 ms before we asked, at the best
        (2300, 2300, 300),
    ],
)
def test_clocks_are_apart_by_what_is_certain(earliest: int, latest: int, apart: int) -> None:
    assert Reading(earliest, latest, asked_ms=1000, answered_ms=2000).apart_ms == apart


def test_only_clocks_that_matter_are_told() -> None:
    part = Part("restate")
    assert part.clock(Reading(0, 0, 5000, 5000)).level is Level.OK
    behind = part.clock(Reading(0, 0, 90_000, 90_000))
    assert (behind.level, behind.found) == (Level.WARNING, "90 s behind this machine's")
    assert part.clock(None).level is Level.WARNING


def test_a_date_of_http_is_a_second() -> None:
    read = reading_of("Tue, 14 Nov 2023 22:13:20 GMT", asked_ms=now_ms())
    assert read is not None
    assert (read.earliest_ms, read.latest_ms) == (1_700_000_000_000, 1_700_000_001_000)
    assert reading_of("", asked_ms=0) is None
    assert reading_of("yesterday", asked_ms=0) is None
