"""Targets, quota and sentinels follow from the settings."""

import pytest

from service.domain.topology import (
    Allocation,
    Quota,
    RegionalSetting,
    Sentinel,
    Target,
    check_quota,
    requested,
    required_regions,
    schedulable,
    sentinel,
    sentinel_address,
)
from service.errors import FailedPrecondition, QuotaExceeded


def setting(name: str, *, replicas: int = 1, can_schedule: bool = True) -> RegionalSetting:
    return RegionalSetting(f"rgn_{name}", name, replicas, can_schedule)


def test_targets_are_sorted_and_only_those_that_can_take_it() -> None:
    rows = [
        setting("west", replicas=3),
        setting("full", can_schedule=False),
        setting("none", replicas=0),
        setting("less", replicas=-1),
        setting("east", replicas=2),
    ]
    assert schedulable(rows) == (Target("rgn_east", "east", 2), Target("rgn_west", "west", 3))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "the app has no region set for this environment: add one in its regional settings"),
        (
            [setting("west", replicas=0), setting("east", can_schedule=False)],
            (
                "no region of the environment can take the deployment "
                "(east cannot schedule, west has no replicas): add one or give one replicas"
            ),
        ),
    ],
)
def test_no_target(rows: list[RegionalSetting], message: str) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        schedulable(rows)
    assert (caught.value.reason, caught.value.message) == ("NO_SCHEDULABLE_REGION", message)


def test_required_regions() -> None:
    assert [required_regions(regions) for regions in (1, 2, 3, 10)] == [1, 2, 2, 2]


def test_requested_counts_all_replicas_of_all_regions() -> None:
    targets = schedulable([setting("east", replicas=2), setting("west", replicas=3)])
    assert requested(250, 512, targets) == Allocation(1250, 2560)
    assert requested(250, 512, []) == Allocation(0, 0)


@pytest.mark.parametrize(
    ("allocated", "wanted"),
    [
        (Allocation(0, 0), Allocation(1000, 2000)),
        (Allocation(900, 1900), Allocation(100, 100)),
        (Allocation(1000, 2000), Allocation(0, 0)),
    ],
)
def test_within_quota(allocated: Allocation, wanted: Allocation) -> None:
    check_quota(Quota(1000, 2000), allocated, wanted)


@pytest.mark.parametrize(
    ("allocated", "wanted", "facts"),
    [
        (
            Allocation(900, 0),
            Allocation(101, 100),
            {
                "resource": "CPU",
                "unit": "millicores",
                "quota": "1000",
                "allocated": "900",
                "requested": "101",
            },
        ),
        (
            Allocation(900, 1999),
            Allocation(100, 2),
            {"resource": "memory", "unit": "MiB", "quota": "2000", "allocated": "1999", "requested": "2"},
        ),
        (
            Allocation(1000, 2000),
            Allocation(1, 1),
            {"resource": "CPU", "unit": "millicores", "quota": "1000", "allocated": "1000", "requested": "1"},
        ),
    ],
)
def test_above_quota(allocated: Allocation, wanted: Allocation, facts: dict[str, str]) -> None:
    with pytest.raises(QuotaExceeded) as caught:
        check_quota(Quota(1000, 2000), allocated, wanted)
    assert (caught.value.reason, caught.value.facts) == ("QUOTA_EXCEEDED", facts)
    for figure in ("quota", "allocated", "requested"):
        assert f"{facts[figure]} " in caught.value.message.replace(":", " ")


@pytest.mark.parametrize(
    ("environment", "replicas"), [("production", 3), ("preview", 1), ("Production", 1), ("staging", 1)]
)
def test_sentinel(environment: str, replicas: int) -> None:
    assert sentinel(environment) == Sentinel(desired_replicas=replicas, cpu_millicores=256, memory_mib=256)


def test_sentinel_address() -> None:
    assert sentinel_address("a1b2c3d4") == "a1b2c3d4.sentinel.svc.cluster.local:8040"
