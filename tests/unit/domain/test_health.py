"""The gate opens for steady regions, for enough of them, and says what it saw."""

import pytest

from service.domain.health import Gate, RegionObservation

Counts = dict[str, int]
Look = tuple[int, dict[str, Counts]]

UP = {"running": 2}
STARTING = {"running": 1, "pending": 1}
CRASHED = {"running": 1, "failed": 1}
NONE: Counts = {}


def feed(gate: Gate, *looks: Look) -> list[bool]:
    return [
        gate.observe(now_ms, {region: RegionObservation(2, counts) for region, counts in regions.items()})
        for now_ms, regions in looks
    ]


@pytest.mark.parametrize(
    ("counts", "healthy", "said"),
    [
        ({}, False, "no instances"),
        ({"running": 0, "failed": 0}, False, "no instances"),
        ({"running": 1}, False, "1 of 2 running"),
        ({"running": 2}, True, "2 of 2 running"),
        ({"running": 3}, True, "3 of 2 running"),
        ({"running": 2, "failed": 0}, True, "2 of 2 running"),
        ({"running": 1, "failed": 1}, False, "1 of 2 running, 1 failed"),
        ({"running": 2, "pending": 1}, False, "2 of 2 running, 1 pending"),
        ({"failed": 2}, False, "0 of 2 running, 2 failed"),
        (
            {"inactive": 1, "failed": 2, "pending": 3},
            False,
            "0 of 2 running, 1 inactive, 3 pending, 2 failed",
        ),
    ],
)
def test_observation(counts: Counts, *, healthy: bool, said: str) -> None:
    observation = RegionObservation(2, counts)
    assert (observation.healthy, str(observation)) == (healthy, said)


def test_region_counts_once_it_was_healthy_for_long_enough() -> None:
    gate = Gate(("a",), required=1)
    assert feed(gate, (0, {"a": STARTING}), (50, {"a": UP}), (149, {"a": UP}), (150, {"a": UP})) == [
        False, False, False, True,
    ]  # fmt: skip


def test_failed_is_no_verdict() -> None:
    gate = Gate(("a",), required=1)
    looks: list[Look] = [
        (0, {"a": CRASHED}),
        (60_000, {"a": CRASHED}),
        (60_100, {"a": UP}),
        (60_200, {"a": UP}),
    ]
    assert feed(gate, *looks) == [False, False, False, True]


def test_region_that_fell_back_has_to_be_steady_for_longer() -> None:
    gate = Gate(("a",), required=1)
    assert feed(
        gate,
        (0, {"a": UP}),
        (50, {"a": CRASHED}),
        (100, {"a": UP}),
        (2099, {"a": UP}),
        (2100, {"a": UP}),
    ) == [False, False, False, False, True]


def test_region_that_keeps_flapping_never_counts() -> None:
    gate = Gate(("a",), required=1)
    looks = [(second * 1000, {"a": CRASHED if second % 2 else UP}) for second in range(100)]
    assert not any(feed(gate, *looks))


def test_region_that_counted_and_fell_back_counts_no_more() -> None:
    gate = Gate(("a", "b"), required=2)
    assert feed(
        gate,
        (0, {"a": UP, "b": NONE}),
        (100, {"a": UP, "b": NONE}),
        (200, {"a": CRASHED, "b": UP}),
        (300, {"a": UP, "b": UP}),
        (2299, {"a": UP, "b": UP}),
        (2300, {"a": UP, "b": UP}),
    ) == [False, False, False, False, False, True]


def test_two_of_three_regions_are_enough_and_the_dead_one_is_named() -> None:
    gate = Gate(("a", "b", "c"), required=2)
    assert feed(gate, (0, {"a": UP, "c": UP}), (100, {"a": UP, "c": UP})) == [False, True]
    assert gate.steady_regions == ("a", "c")
    assert gate.descriptions() == {"a": "2 of 2 running", "b": "no instances", "c": "2 of 2 running"}


def test_one_of_two_regions_is_not_enough() -> None:
    gate = Gate(("a", "b"), required=2)
    assert not any(feed(gate, (0, {"a": UP}), (900_000, {"a": UP})))


def test_region_that_vanishes_from_sight_is_not_healthy() -> None:
    gate = Gate(("a",), required=1)
    assert feed(gate, (0, {"a": UP}), (50, {}), (200, {"a": UP}), (300, {"a": UP})) == [False] * 4


def test_region_nobody_asked_for_does_not_count() -> None:
    gate = Gate(("a",), required=1)
    assert feed(gate, (0, {"b": UP}), (100, {"b": UP})) == [False, False]


def test_clock_that_goes_back_only_begins_anew() -> None:
    gate = Gate(("a",), required=1)
    assert feed(gate, (3_600_000, {"a": UP}), (50, {"a": UP}), (149, {"a": UP}), (150, {"a": UP})) == [
        False, False, False, True,
    ]  # fmt: skip


def test_nothing_is_said_before_the_first_look() -> None:
    gate = Gate(("a",), required=1)
    assert not gate.ready
    assert gate.descriptions() == {"a": "not seen yet"}


def test_descriptions_are_of_the_last_look() -> None:
    gate = Gate(("a", "b"), required=2)
    feed(gate, (0, {"a": UP, "b": STARTING}), (50, {"a": UP, "b": CRASHED}))
    assert gate.descriptions() == {"a": "2 of 2 running, not steady yet", "b": "1 of 2 running, 1 failed"}


def test_times_are_configurable() -> None:
    gate = Gate(("a",), required=1, steady_ms=0, flap_steady_ms=10)
    assert feed(gate, (0, {"a": UP}), (5, {"a": CRASHED}), (6, {"a": UP}), (16, {"a": UP})) == [
        True, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(("regions", "required"), [((), 0), ((), 1), (("a",), 0), (("a",), 2), (("a", "a"), 2)])
def test_gate_that_could_never_be_right(regions: tuple[str, ...], required: int) -> None:
    with pytest.raises(ValueError, match="cannot wait"):
        Gate(regions, required)
