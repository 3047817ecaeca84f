import io
import json
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from service.cli import history, operations, scale_down
from service.cli.survey import Fate, Surveyed
from service.database.history import Operation, Turn
from tests.documentation import documented_keys

MOMENT_MS = 1_700_000_000_000
OPERATION = Operation(
    id="inv_1",
    kind="rollback",
    state="succeeded",
    caller="somebody",
    workspace="acme",
    project="shop",
    app="default",
    environment="production",
    deployment_id="d_a",
    from_deployment_id="d_b",
    to_deployment_id="d_a",
    reason=None,
    message=None,
    detail=None,
    started_at_ms=MOMENT_MS,
    ended_at_ms=MOMENT_MS + 34,
)
SWEEP = replace(
    OPERATION,
    kind="scale_down",
    app=None,
    deployment_id=None,
    from_deployment_id=None,
    to_deployment_id=None,
    detail={"pages": 2, "failed_pages": 0, "looked_at": 7, "stopped": 3},
)
TURN = Turn(
    operation_id="inv_1",
    kind="deploy",
    caller="somebody",
    deployment_id="d_b",
    from_deployment_id="d_a",
    live_deployment_id="d_b",
    is_rolled_back=False,
    switched_at_ms=MOMENT_MS,
    reverted_at_ms=None,
)


def shown(what: RenderableType) -> list[str]:
    console = Console(file=io.StringIO(), width=160)
    with console.capture() as captured:
        console.print(what)
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_an_operation_is_a_line() -> None:
    assert shown(operations.table([OPERATION])) == [
        "2023-11-14 22:13:20 UTC rollback succeeded 34 ms default d_b → d_a inv_1 by somebody"
    ]


def test_a_failure_has_a_second_line_with_its_reason_and_what_runs_has_no_duration() -> None:
    running = replace(OPERATION, kind="deploy", state="running", ended_at_ms=None, from_deployment_id=None, caller="")
    failed = replace(OPERATION, state="failed", reason="NO_ROUTES")
    assert shown(operations.table([running, failed]))[:3] == [
        "2023-11-14 22:13:20 UTC deploy running default d_a inv_1",
        "2023-11-14 22:13:20 UTC rollback failed 34 ms default d_b → d_a inv_1 by somebody",
        "NO_ROUTES",
    ]


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (OPERATION, "d_b → d_a"),
        (replace(OPERATION, kind="promote", from_deployment_id="d_a"), "d_a"),
        (replace(OPERATION, from_deployment_id=None, to_deployment_id=None), "d_a"),
        (SWEEP, "3 of 7 stopped"),
        (replace(SWEEP, detail=None), ""),
        (
            replace(SWEEP, kind="desired_state", deployment_id="d_a", detail={"desired_state": "standby"}),
            "d_a to standby",
        ),
    ],
)
def test_what_an_operation_was_about(operation: Operation, said: str) -> None:
    assert operations.subject(operation) == said


def test_operations_are_documented() -> None:
    (listed,) = json.loads(operations.document([OPERATION]))
    assert set(listed) == documented_keys("operations")
    assert listed["duration_ms"] == 34


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        (TURN, "deploy d_a → d_b by somebody"),
        (replace(TURN, from_deployment_id=None, caller=None), "deploy nothing → d_b"),
        (
            replace(TURN, deployment_id="d_c", live_deployment_id="d_a", is_rolled_back=True),
            "deploy d_a d_c stays unrouted: rolled back by somebody",
        ),
        (
            replace(TURN, deployment_id="d_c", live_deployment_id="d_a"),
            "deploy d_a d_c stays unrouted: a newer one is live by somebody",
        ),
        (replace(TURN, kind="rollback", is_rolled_back=True), "rollback d_a → d_b rolled back by somebody"),
        (replace(TURN, kind="promote", from_deployment_id="d_b"), "promote d_b confirms the rollback by somebody"),
        (
            replace(TURN, kind="promote", reverted_at_ms=MOMENT_MS),
            "promote d_a → d_b reverted at 2023-11-14 22:13:20 UTC by somebody",
        ),
    ],
)
def test_the_history_says_what_was_live_and_why(turn: Turn, said: str) -> None:
    assert shown(history.table([turn])) == [f"2023-11-14 22:13:20 UTC {said}"]


def test_the_history_is_documented() -> None:
    assert set(Turn.__dataclass_fields__) == documented_keys("history")


def test_a_sweep_tells_its_figures_and_what_it_could_not_check() -> None:
    assert shown(scale_down.figures(SWEEP)) == ["looked at 7 previews in 2 pages, put 3 to standby, in 34 ms"]
    skipped = replace(SWEEP, detail={"pages": 1, "failed_pages": 1, "looked_at": 1, "stopped": 0})
    assert shown(scale_down.figures(skipped)) == [
        "looked at 1 preview in 1 page, put 0 to standby, in 34 ms",
        "left as it is, because it could not be checked: 1 page",
    ]


def test_a_survey_says_what_would_become_of_each_preview() -> None:
    found = [Surveyed(f"d_{fate}", "acme/shop/default", fate) for fate in Fate]
    assert shown(scale_down.table(found, "6h")) == [
        "d_idle acme/shop/default idle: no requests for 6h, would be put to standby",
        "d_active acme/shop/default active: had requests within 6h",
        "d_live acme/shop/default not looked at: it is live",
        "d_recent acme/shop/default not looked at: changed within 6h",
    ]
    assert set(Surveyed.__dataclass_fields__) == documented_keys("scale-down")
