"""The pull request of a branch: the repository's own, open, and the newest."""

from typing import Any

import pytest

from service.errors import BuildFailed, Transient
from service.github.reports import Reports, Site
from tests.servers.github import FakeGitHub
from tests.servers.github_faults import Fault
from tests.servers.github_repository import Head, Repository

PULLS = "/repos/acme/shop/pulls"


@pytest.fixture(autouse=True)
def shop(fake: FakeGitHub) -> Repository:
    shop = fake.repository("acme/shop")
    for branch in ("next", "feature/a?b=c&d#e", "Next"):
        shop.branches[branch] = Head("b" * 40)
    return shop


def listed(number: Any, ref: str = "next", repository: Any = "acme/shop") -> dict[str, Any]:
    return {"number": number, "head": {"ref": ref, "repo": {"full_name": repository} if repository else None}}


@pytest.mark.parametrize("branch", ["next", "feature/a?b=c&d#e"])
async def test_the_pull_request_of_a_branch(
    fake: FakeGitHub, shop: Repository, reports: Reports, site: Site, branch: str
) -> None:
    for opened in ("Next", branch):
        shop.open_pull_request(opened)

    assert await reports.find_pull_request(site, branch) == 2

    assert fake.asked("/access_tokens")[0].body["permissions"] == {"pull_requests": "write"}
    assert fake.requests[-1].query == {
        "state": "open",
        "head": f"acme:{branch}",
        "sort": "created",
        "direction": "desc",
        "per_page": "100",
        "page": "1",
    }


async def test_a_branch_without_one(shop: Repository, reports: Reports, site: Site) -> None:
    shop.open_pull_request("next")
    closed = shop.open_pull_request("Next")
    found = shop.pull_request(closed)
    assert found is not None
    found.close()

    assert await reports.find_pull_request(site, "main") == 0
    assert await reports.find_pull_request(site, "Next") == 0


async def test_the_newest_of_several(shop: Repository, reports: Reports, site: Site) -> None:
    for _ in range(3):
        shop.open_pull_request("next")

    assert await reports.find_pull_request(site, "next") == 3


async def test_a_fork_has_branches_of_its_own(shop: Repository, reports: Reports, site: Site) -> None:
    ours = shop.open_pull_request("next")
    for by in ("mallory/shop", "acme/shop-fork", ""):
        shop.open_pull_request("next", by=by, head=Head("c" * 40))

    assert await reports.find_pull_request(site, "next") == ours


async def test_a_github_that_does_not_understand_the_filter(fake: FakeGitHub, reports: Reports, site: Site) -> None:
    others = [listed(number, ref="other") for number in range(200, 100, -1)]
    odd = [None, 7, "x", {}, {"head": None}, listed(99, repository=None), listed(98, repository="mallory/shop")]
    fake.faults.plan(PULLS, Fault(200, body=others))
    fake.faults.plan(PULLS, Fault(200, body=[*odd, listed(42, repository="Acme/Shop")]))

    assert await reports.find_pull_request(site, "next") == 42

    assert [asked.query["page"] for asked in fake.asked("/pulls")] == ["1", "2"]


async def test_a_search_that_ends(fake: FakeGitHub, reports: Reports, site: Site) -> None:
    fake.faults.plan(PULLS, Fault(200, body=[listed(1, ref="other")] * 100), times=11)

    assert await reports.find_pull_request(site, "next") == 0

    assert len(fake.asked("/pulls")) == 10


async def test_another_spelling_of_the_repository(shop: Repository, reports: Reports, installation: int) -> None:
    number = shop.open_pull_request("next")

    assert await reports.find_pull_request(Site(installation, "Acme/SHOP"), "next") == number


@pytest.mark.parametrize("name", ["acme/boutique", "umbrella/shop"])
async def test_a_repository_that_was_renamed_or_given_away(
    fake: FakeGitHub, shop: Repository, reports: Reports, name: str
) -> None:
    number = shop.open_pull_request("next")
    fake.rename(shop, name)
    installation = fake.install(name.partition("/")[0])

    assert await reports.find_pull_request(Site(installation, "acme/shop"), "next") == number


async def test_a_repository_without_pull_requests(fake: FakeGitHub, reports: Reports, site: Site) -> None:
    fake.faults.plan(PULLS, Fault(404, body={"message": "Not Found"}))

    assert await reports.find_pull_request(site, "next") == 0


async def test_a_repository_that_is_not_there(reports: Reports, installation: int) -> None:
    with pytest.raises(BuildFailed) as caught:
        await reports.find_pull_request(Site(installation, "acme/nothing"), "next")

    assert caught.value.reason == "REPOSITORY_NOT_FOUND"


@pytest.mark.parametrize("body", [{}, "x", [listed("7")], [listed(None)], [listed(0)], [listed(-1)]])
async def test_an_answer_that_is_none_is_an_outage(fake: FakeGitHub, reports: Reports, site: Site, body: Any) -> None:
    fake.faults.plan(PULLS, Fault(200, body=body))

    with pytest.raises(Transient, match="cannot be read"):
        await reports.find_pull_request(site, "next")
