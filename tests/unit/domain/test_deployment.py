"""Statuses, steps and desired states are the columns' words; errors fit their column."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.deployment import (
    DesiredState,
    Status,
    Step,
    TopologyStatus,
    Transition,
    step_error,
    transition,
)
from service.errors import InvalidArgument


def test_words_are_those_of_the_columns() -> None:
    assert [*Status] == [
        "pending", "starting", "building", "deploying", "network",
        "finalizing", "ready", "failed", "skipped", "awaiting_approval",
    ]  # fmt: skip
    assert [*Step] == ["queued", "starting", "building", "deploying", "network", "finalizing"]
    assert [*DesiredState] == ["running", "standby", "archived"]
    assert [*TopologyStatus] == ["stopped", "running"]


def test_terminal_statuses() -> None:
    assert [status for status in Status if status.is_terminal] == ["ready", "failed", "skipped"]


def test_status_of_a_step() -> None:
    assert [step.status for step in Step] == [
        "pending", "starting", "building", "deploying", "network", "finalizing",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, Transition(DesiredState.RUNNING, TopologyStatus.RUNNING)),
        (2, Transition(DesiredState.STANDBY, TopologyStatus.STOPPED)),
        (3, Transition(DesiredState.ARCHIVED, TopologyStatus.STOPPED)),
    ],
)
def test_transition(number: int, expected: Transition) -> None:
    assert transition(number) == expected


@pytest.mark.parametrize("number", [0, 4, -1])
def test_transition_that_does_not_exist(number: int) -> None:
    with pytest.raises(InvalidArgument, match=f"state {number} is not a desired state") as caught:
        transition(number)
    assert caught.value.facts == {"field": "state"}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", ""),
        ("too few regions", "too few regions"),
        ("x" * 512, "x" * 512),
        ("x" * 513, "x" * 509 + "..."),
        ("é" * 256, "é" * 256),
        ("é" * 257, "é" * 254 + "..."),  # 509 bytes end inside the 255th
        ("x" + "é" * 256, "x" + "é" * 254 + "..."),  # 509 bytes end between two
        ("🚀" * 129, "🚀" * 127 + "..."),
        ("half \ud83d a pair", "half ? a pair"),
    ],
)
def test_step_error(message: str, expected: str) -> None:
    assert step_error(message) == expected


@given(st.text(max_size=700))
def test_step_error_fits_and_begins_like_the_message(message: str) -> None:
    fitted = step_error(message)
    assert len(fitted.encode()) <= 512
    assert fitted == message or message.startswith(fitted.removesuffix("..."))
