import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from service.cli import report
from service.database.overview import OperationRecord, Overview, RegionState, RouteState, StepRun
from tests.documentation import documented_keys

OPERATION = OperationRecord(
    "inv_1", "deploy", "failed", "somebody", "REGIONS_UNHEALTHY", "1 of 3", {"regions": ["a"]}, 1000, 2500
)
SEEN = Overview(
    deployment_id="d_1",
    workspace="acme",
    project="shop",
    app="default",
    environment="production",
    status="ready",
    desired_state="running",
    is_live=True,
    image="registry.example.com/[red]acme",
    git_commit_sha="4f1c0de6a1b2c3d4",
    git_branch="main",
    created_at_ms=1_700_000_000_000,
    updated_at_ms=None,
    attempt=1,
    steps=(StepRun("starting", 10, 22, None), StepRun("deploying", 22, None, None)),
    regions=(
        RegionState("rgn_1", "us-east-1", 2, "running", 7, {"running": 1, "pending": 1}),
        RegionState("rgn_2", "eu-central-1", 1, "stopped", 8, {}),
    ),
    routes=(
        RouteState("shop-acme.example.com", "live", "d_1", points_here=True),
        RouteState("shop-git-main.example.com", "branch", "d_2", points_here=False),
    ),
    operation=OPERATION,
)


def shown(seen: Overview) -> str:
    console = Console(file=io.StringIO(), width=120, markup=False)
    with console.capture() as captured:
        console.print(report.page(seen, 1000))
    return captured.get()


def test_the_document_holds_everything_with_durations() -> None:
    document = json.loads(report.document(SEEN))
    assert document["deployment_id"] == "d_1"
    assert document["steps"] == [
        {"step": "starting", "started_at_ms": 10, "ended_at_ms": 22, "error": None, "duration_ms": 12},
        {"step": "deploying", "started_at_ms": 22, "ended_at_ms": None, "error": None, "duration_ms": None},
    ]
    assert document["regions"][0]["instances"] == {"running": 1, "pending": 1}
    assert document["routes"][1]["points_here"] is False
    assert document["operation"]["reason"] == "REGIONS_UNHEALTHY"


def test_the_documentation_names_exactly_the_keys_of_the_document() -> None:
    document = json.loads(report.document(SEEN))
    keys = set(document)
    for name in ("steps", "regions", "routes"):
        keys |= {f"{name}[].{key}" for key in document[name][0]}
    keys |= {f"operation.{key}" for key in document["operation"]}
    assert documented_keys("status --json") == keys


@pytest.mark.parametrize(
    "text",
    [
        "d_1  ready  live",
        "acme/shop/default, production",
        "registry.example.com/[red]acme",
        "4f1c0de6a1b2 on main",
        "2023-11-14 22:13:20 UTC",
        "us-east-1      2 replicas   1 pending, 1 running",
        "eu-central-1   stopped      no instances",
        "https://shop-acme.example.com       live     here",
        "https://shop-git-main.example.com   branch   to d_2",
        "inv_1  deploy failed in 1.50 s, called by somebody",
        "1 of 3 [REGIONS_UNHEALTHY]",
    ],
)
def test_the_page_says(text: str) -> None:
    assert text in shown(SEEN)


def test_the_page_shows_why_a_step_failed() -> None:
    failed = replace(SEEN, steps=(StepRun("deploying", 22, 30, "1 of 3 regions"),))
    assert "deploying: 1 of 3 regions" in shown(failed)


def test_the_page_names_the_regions_that_were_gone_on_without() -> None:
    operation = replace(OPERATION, state="succeeded", detail={"unhealthy_regions": {"eu": "no instances"}})
    page = shown(replace(SEEN, operation=operation))
    assert "went on without eu: no instances" in page
    assert "REGIONS_UNHEALTHY" not in page


def test_a_deployment_that_nobody_has_deployed_has_a_short_page() -> None:
    bare = replace(
        SEEN, status="pending", is_live=False, attempt=0, image=None, steps=(), regions=(), routes=(), operation=None
    )
    page = shown(bare)
    assert "d_1  pending" in page
    assert "none yet" in page
    assert "not known yet" in page
    assert not {"phases", "regions", "routes", "operation"} & set(page.split())


def test_rows_of_what_was_deleted_since_are_no_obstacle() -> None:
    assert "acme/?/?, ?" in shown(replace(SEEN, project=None, app=None, environment=None))


def test_addresses_are_those_that_lead_here() -> None:
    console = Console(file=io.StringIO(), width=120)
    with console.capture() as captured:
        console.print(report.urls(SEEN.routes))
    assert captured.get().split() == ["https://shop-acme.example.com", "live"]
