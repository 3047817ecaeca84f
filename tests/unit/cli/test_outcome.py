import io
import json
from dataclasses import replace
from datetime import timedelta

from rich.console import Console

from service.cli import outcome
from service.cli.outcome import Outcome, RouteMove
from service.database.deployments import Subject
from service.database.history import Operation
from service.domain.deployment import DesiredState, Status
from service.routing.switch import Kind
from tests.documentation import documented_keys

TARGET = Subject(
    deployment_id="d_a",
    k8s_name="k",
    workspace_id="ws_1",
    workspace_slug="acme",
    k8s_namespace=None,
    project_id="proj_1",
    project_slug="shop",
    app_id="app_1",
    app_slug="default",
    environment_id="env_1",
    environment_slug="production",
    status=Status.READY,
    desired_state=DesiredState.STANDBY,
    image="registry.example.com/acme/shop:1.0",
    git_commit_sha=None,
    git_branch=None,
    fork_repository_full_name=None,
    cpu_millicores=256,
    memory_mib=256,
    port=8080,
    created_at=1,
)
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
    started_at_ms=1000,
    ended_at_ms=1312,
)
PLANNED = Outcome(Kind.ROLLBACK, TARGET, "d_b", True, [RouteMove("shop.example.com", "d_b", "d_a")], [])  # noqa: FBT003
DELAY = timedelta(minutes=30)


def shown(found: Outcome) -> list[str]:
    console = Console(file=io.StringIO(), width=120)
    with console.capture() as captured:
        console.print(outcome.page(found, DELAY))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_planned_rollback_says_would_and_that_nothing_changed() -> None:
    assert shown(PLANNED) == [
        "would roll back: acme/shop/default, production; nothing was changed",
        "  from      d_b, which is live",
        "  to        d_a, which rests: it would be woken, and healthy before any route moves",
        "  standby   none: d_b keeps running until the rollback is confirmed, or another one promoted",
        "1 route would move",
        "  https://shop.example.com   d_b → d_a",
    ]


def test_a_rollback_that_was_done_says_how_long_it_took() -> None:
    lines = shown(replace(PLANNED, operation=OPERATION))
    assert lines[:3] == [
        "rolled back: acme/shop/default, production, in 312 ms",
        "  from      d_b",
        "  to        d_a, which rested: it was woken, and healthy before any route moved",
    ]
    assert lines[4] == "1 route moved"


def test_a_promotion_says_who_goes_to_rest_and_when() -> None:
    lines = shown(replace(PLANNED, kind=Kind.PROMOTE, woken=False, standby=["d_b", "d_c"]))
    assert lines[0] == "would promote: acme/shop/default, production; nothing was changed"
    assert lines[2:4] == ["  to        d_a", "  standby   d_b, d_c after 30m"]


def test_a_confirmation_moves_nothing() -> None:
    confirmed = Outcome(Kind.PROMOTE, TARGET, "d_a", False, [], [], replace(OPERATION, kind="promote"))  # noqa: FBT003
    lines = shown(confirmed)
    assert lines[0] == "rollback confirmed: acme/shop/default, production, in 312 ms"
    assert lines[3:] == ["  standby   none", "0 routes moved"]


def test_the_document_is_as_documented() -> None:
    done = json.loads(outcome.document(replace(PLANNED, operation=OPERATION, standby=["d_b"]), DELAY))
    keys = set(done) | {f"routes[].{key}" for key in done["routes"][0]}
    assert documented_keys("rollback and promote") == keys
    assert documented_keys("operations") == set(done["operation"])
    assert (done["dry_run"], done["standby_delay_ms"], done["standby"]) == (False, 1_800_000, ["d_b"])
    assert done["operation"]["duration_ms"] == 312

    planned = json.loads(outcome.document(PLANNED, DELAY))
    assert (planned["dry_run"], planned["operation"], planned["woken"]) == (True, None, True)
