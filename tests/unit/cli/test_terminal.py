import pytest

from service.cli import terminal


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 ms"),
        (12.4, "12 ms"),
        (999.4, "999 ms"),
        (999.6, "1.00 s"),
        (1240, "1.24 s"),
        (59_994, "59.99 s"),
        (59_996, "1 m 00 s"),
        (185_000, "3 m 05 s"),
        (3_600_000, "60 m 00 s"),
    ],
)
def test_durations_read_well(ms: float, text: str) -> None:
    assert terminal.duration(ms) == text


def test_moments_are_in_utc() -> None:
    assert terminal.moment(1_700_000_000_999) == "2023-11-14 22:13:20 UTC"


def test_things_are_counted() -> None:
    assert [terminal.counted(count, "region") for count in (0, 1, 2)] == ["0 regions", "1 region", "2 regions"]
