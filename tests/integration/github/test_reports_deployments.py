"""GitHub's deployments and their statuses: made once, told apart, and said once."""

import json
from dataclasses import replace
from typing import Any

import pytest

from service.errors import FailedPrecondition, HydraError, Transient
from service.github.reports import DeploymentState, NewDeployment, Reports, Site, Status
from tests.servers.github import FakeGitHub
from tests.servers.github_faults import End, Fault
from tests.servers.github_records import Author, Deployment, DeploymentStatus
from tests.servers.github_repository import Repository

DEPLOYMENTS = "/repos/acme/shop/deployments"
STATUSES = "/repos/acme/shop/deployments/*/statuses"
LOST = Fault(end=End.CLOSE, done_first=True)
NEW = NewDeployment("d_1", "a" * 40, "shop - preview", is_production=False)
READY = Status(
    DeploymentState.SUCCESS, "Ready", "shop - preview", "https://shop.example.com", "https://dashboard.example.com/d_1"
)


def other(shop: Repository, payload: Any) -> Deployment:
    """Add a deployment of the same commit to the same environment."""
    author = Author("octocat")
    deployment = Deployment(shop.stamps.next_id(), "a" * 40, "main", author, shop.stamps.now(), "shop - preview")
    deployment.payload = payload
    shop.deployments.append(deployment)
    return deployment


def say(shop: Repository, state: str, author: Author) -> None:
    deployment = shop.deployments[-1]
    deployment.statuses.append(
        DeploymentStatus(shop.stamps.next_id(), state, author, shop.stamps.now(), deployment.environment)
    )


def said(shop: Repository) -> list[str]:
    return [status.state for status in shop.deployments[-1].statuses]


async def test_a_deployment_is_made(fake: FakeGitHub, shop: Repository, reports: Reports, site: Site) -> None:
    made = await reports.open_deployment(site, NEW)

    (deployment,) = shop.deployments
    assert made == deployment.deployment_id
    assert (deployment.sha, deployment.environment, deployment.state) == ("a" * 40, "shop - preview", "")
    assert (deployment.is_transient, deployment.is_production) == (True, False)
    given, looked, posted = fake.requests
    assert given.body == {"repositories": ["shop"], "permissions": {"deployments": "write"}}
    assert looked.query == {"sha": "a" * 40, "environment": "shop - preview", "per_page": "100", "page": "1"}
    assert posted.body == {
        "ref": "a" * 40,
        "environment": "shop - preview",
        "payload": {"hydra_deployment_id": "d_1"},
        "description": "Deployment d_1",
        "auto_merge": False,
        "required_contexts": [],
        "transient_environment": True,
        "production_environment": False,
    }


async def test_production_is_not_transient(shop: Repository, reports: Reports, site: Site) -> None:
    await reports.open_deployment(site, replace(NEW, is_production=True))

    assert (shop.deployments[0].is_transient, shop.deployments[0].is_production) == (False, True)


async def test_checks_that_have_not_passed_are_no_hindrance(shop: Repository, reports: Reports, site: Site) -> None:
    shop.unchecked.add("a" * 40)

    assert await reports.open_deployment(site, NEW)


async def test_a_deployment_is_made_once_even_if_nobody_heard_of_it(
    fake: FakeGitHub, shop: Repository, reports: Reports, site: Site
) -> None:
    fake.faults.plan(DEPLOYMENTS, LOST, method="POST")
    with pytest.raises(Transient) as caught:
        await reports.open_deployment(site, NEW)

    again = [await reports.open_deployment(site, NEW) for _ in range(2)]

    assert caught.value.reason == "GITHUB_UNAVAILABLE"
    assert again == [shop.deployments[0].deployment_id] * 2
    assert len(shop.deployments) == 1


async def test_a_payload_may_come_back_as_a_string(shop: Repository, reports: Reports, site: Site) -> None:
    made = await reports.open_deployment(site, NEW)
    shop.deployments[0].payload = json.dumps(shop.deployments[0].payload)

    assert await reports.open_deployment(site, NEW) == made


async def test_a_deployment_is_found_behind_those_of_others(shop: Repository, reports: Reports, site: Site) -> None:
    made = await reports.open_deployment(site, NEW)
    payloads: list[Any] = ["", "{", "[" * 100_000, "null", 7, None, [], {"hydra_deployment_id": "d_2"}, '"d_1"', "d_1"]
    for payload in payloads * 12:
        other(shop, payload)

    assert await reports.open_deployment(site, NEW) == made
    assert len(shop.deployments) == 1 + 120


async def test_two_deployments_of_one_commit_are_two(shop: Repository, reports: Reports, site: Site) -> None:
    first = await reports.open_deployment(site, NEW)
    second = await reports.open_deployment(site, replace(NEW, deployment_id="d_2"))
    elsewhere = await reports.open_deployment(site, replace(NEW, environment="shop - production"))

    assert len({first, second, elsewhere}) == len(shop.deployments) == 3
    assert await reports.open_deployment(site, NEW) == first


@pytest.mark.parametrize("environment", ["shop/café - a?b=c&d#e%2F+", "x" * 300])
async def test_an_environment_may_be_called_anything(
    shop: Repository, reports: Reports, site: Site, environment: str
) -> None:
    new = replace(NEW, environment=environment)

    made = await reports.open_deployment(site, new)
    await reports.report_status(site, made, replace(READY, environment=environment))

    assert await reports.open_deployment(site, new) == made
    assert shop.deployments[0].environment == shop.deployments[0].newest_environment == environment[:255]


async def test_a_commit_that_github_does_not_have(reports: Reports, site: Site) -> None:
    with pytest.raises(FailedPrecondition, match="takes no deployment of commit bbbb") as caught:
        await reports.open_deployment(site, replace(NEW, commit_sha="b" * 40))

    assert caught.value.reason == "GITHUB_DEPLOYMENT_REFUSED"
    assert caught.value.facts == {"repository": "acme/shop", "commit_sha": "b" * 40}


@pytest.mark.parametrize(
    "fault", [Fault(202, body={"message": "Auto-merged main into next"}), Fault(409), Fault(422, body=b"no")]
)
async def test_a_deployment_that_github_refuses(fake: FakeGitHub, reports: Reports, site: Site, fault: Fault) -> None:
    fake.faults.plan(DEPLOYMENTS, fault, method="POST")

    with pytest.raises(FailedPrecondition) as caught:
        await reports.open_deployment(site, NEW)

    assert caught.value.reason == "GITHUB_DEPLOYMENT_REFUSED"


@pytest.mark.parametrize("body", [None, {}, [], {"id": "1"}, {"id": 0}, {"id": True}, {"id": 1.5}])
async def test_an_answer_without_an_id_is_an_outage(fake: FakeGitHub, reports: Reports, site: Site, body: Any) -> None:
    fake.faults.plan(DEPLOYMENTS, Fault(201, body=body), method="POST")

    with pytest.raises(Transient, match="cannot be read"):
        await reports.open_deployment(site, NEW)


@pytest.mark.parametrize("body", [None, {}, {"message": "x"}, "x", [{"payload": {"hydra_deployment_id": "d_1"}}]])
async def test_a_list_that_is_none_is_an_outage(fake: FakeGitHub, reports: Reports, site: Site, body: Any) -> None:
    fake.faults.plan(DEPLOYMENTS, Fault(200, body=body), method="GET")

    with pytest.raises(Transient, match="cannot be read"):
        await reports.open_deployment(site, NEW)

    assert fake.asked(DEPLOYMENTS, "POST") == []


async def test_a_repository_that_is_gone(fake: FakeGitHub, reports: Reports, site: Site) -> None:
    fake.repositories.clear()

    with pytest.raises(HydraError) as caught:
        await reports.open_deployment(site, NEW)

    assert caught.value.reason == "REPOSITORY_NOT_FOUND"


async def test_a_status_is_said(fake: FakeGitHub, shop: Repository, reports: Reports, site: Site) -> None:
    made = await reports.open_deployment(site, NEW)

    await reports.report_status(site, made, READY)

    (status,) = shop.deployments[0].statuses
    assert (status.state, status.description, status.environment) == ("success", "Ready", "shop - preview")
    assert (status.environment_url, status.log_url) == (READY.environment_url, READY.log_url)
    assert fake.requests[-1].body["auto_inactive"] is True


@pytest.mark.parametrize("state", DeploymentState)
async def test_every_state_is_one_of_githubs(
    shop: Repository, reports: Reports, site: Site, state: DeploymentState
) -> None:
    made = await reports.open_deployment(site, NEW)

    await reports.report_status(site, made, replace(READY, state=state))

    assert said(shop) == [state.value]


async def test_a_status_is_said_once_even_if_nobody_heard_of_it(
    fake: FakeGitHub, shop: Repository, reports: Reports, site: Site
) -> None:
    made = await reports.open_deployment(site, NEW)
    for status in (replace(READY, state=DeploymentState.PENDING), READY):
        fake.faults.plan(STATUSES, LOST, method="POST")
        with pytest.raises(Transient):
            await reports.report_status(site, made, status)
        await reports.report_status(site, made, status)
        await reports.report_status(site, made, status)

    assert said(shop) == ["pending", "success"]


async def test_a_status_that_says_something_new_is_said(shop: Repository, reports: Reports, site: Site) -> None:
    made = await reports.open_deployment(site, NEW)
    for status in (
        READY,
        replace(READY, description="Ready again"),
        replace(READY, description="Ready again", log_url="https://dashboard.example.com/d_2"),
        READY,
    ):
        await reports.report_status(site, made, status)

    assert len(shop.deployments[0].statuses) == 4


@pytest.mark.parametrize("names_apps", [True, False])
async def test_what_others_say_is_between_us_and_them(
    fake: FakeGitHub, shop: Repository, reports: Reports, site: Site, names_apps: bool
) -> None:
    fake.names_apps = names_apps
    made = await reports.open_deployment(site, NEW)
    await reports.report_status(site, made, READY)
    for author in (Author("octocat"), Author("checker", 99)):
        say(shop, "in_progress", author)

    await reports.report_status(site, made, READY)

    assert said(shop) == ["success", "in_progress", "in_progress"]


async def test_a_deployment_that_was_replaced_may_be_ready_again(
    shop: Repository, reports: Reports, site: Site
) -> None:
    made = await reports.open_deployment(site, NEW)
    await reports.report_status(site, made, READY)
    say(shop, "inactive", Author("ghost"))

    await reports.report_status(site, made, READY)

    assert said(shop) == ["success", "inactive", "success"]


@pytest.mark.parametrize(
    ("description", "shown"),
    [
        ("", ""),
        ("one\n\n  two\tthree\x0b\x85four ", "one two three four"),
        ("x" * 140, "x" * 140),
        ("x" * 141, "x" * 139 + "…"),
        ("é😀" * 100, "é😀" * 69 + "é…"),
        ("x" * 138 + " " + "y" * 9, "x" * 138 + "…"),
    ],
)
async def test_a_description_is_a_line_that_fits(
    shop: Repository, reports: Reports, site: Site, description: str, shown: str
) -> None:
    made = await reports.open_deployment(site, NEW)
    for _ in range(2):
        await reports.report_status(site, made, replace(READY, description=description))

    assert [status.description for status in shop.deployments[0].statuses] == [shown]


@pytest.mark.parametrize("url", ["", "shop.example.com", "ftp://shop.example.com", "https://", "https://a b", "x:y"])
async def test_an_address_that_is_none_is_left_out(
    fake: FakeGitHub, shop: Repository, reports: Reports, site: Site, url: str
) -> None:
    made = await reports.open_deployment(site, NEW)
    for _ in range(2):
        await reports.report_status(site, made, replace(READY, environment_url=url, log_url=url))

    assert said(shop) == ["success"]
    assert not {"environment_url", "log_url"} & fake.asked("/statuses", "POST")[0].body.keys()


async def test_a_deployment_that_is_gone(reports: Reports, site: Site) -> None:
    with pytest.raises(FailedPrecondition, match="acme/shop has no deployment 12345 on GitHub") as caught:
        await reports.report_status(site, 12345, READY)

    assert caught.value.reason == "GITHUB_DEPLOYMENT_NOT_FOUND"


async def test_a_status_that_github_refuses(fake: FakeGitHub, reports: Reports, site: Site) -> None:
    made = await reports.open_deployment(site, NEW)
    fake.faults.plan(STATUSES, Fault(422, body={"message": "Validation Failed"}), method="POST")

    with pytest.raises(FailedPrecondition) as caught:
        await reports.report_status(site, made, READY)

    assert caught.value.reason == "GITHUB_STATUS_REFUSED"


async def test_a_repository_that_was_renamed(fake: FakeGitHub, shop: Repository, reports: Reports, site: Site) -> None:
    fake.rename(shop, "acme/boutique")

    made = await reports.open_deployment(site, NEW)
    await reports.report_status(site, made, READY)
    assert await reports.open_deployment(site, NEW) == made

    assert said(shop) == ["success"]
    assert len(shop.deployments) == 1
    assert {asked.query["per_page"] for asked in fake.asked("/deployments", "GET")} == {"100"}
