from datetime import timedelta

import pytest

from service.durable.registered import duration


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0s", timedelta()),
        ("100ms", timedelta(milliseconds=100)),
        ("1h 30m", timedelta(minutes=90)),
        ("15m 30s 5ms", timedelta(minutes=15, seconds=30, milliseconds=5)),
        ("1day 2h", timedelta(hours=26)),
        ("1d", timedelta(days=1)),
        (None, None),
        ("", None),
        ("2fortnights", None),
    ],
)
def test_durations_of_restate_are_read(text: str | None, value: timedelta | None) -> None:
    assert duration(text) == value
