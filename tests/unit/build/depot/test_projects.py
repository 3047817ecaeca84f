import asyncio
import json
from datetime import timedelta

import pytest

from service.build.depot import Depot, Timing
from service.errors import Internal, Transient
from tests.servers.depot import FakeDepot, FakeProject
from tests.servers.depot_faults import Close, Gate, Refuse, Say

FIRST = "dp1"  # what the fixture's own project is called


async def test_a_project_is_made_with_a_bounded_cache(depot: Depot, fake: FakeDepot) -> None:
    made = await depot.project("unkey-p2", "eu-central-1")
    assert fake.projects[made] == FakeProject(made, "unkey-p2", "eu-central-1", keep_gb=50, keep_days=14)


async def test_what_a_call_looks_like(depot: Depot, fake: FakeDepot) -> None:
    await depot.project("unkey-p2", "eu-central-1")
    (call,) = fake.called("CreateProject")
    assert call.path == "depot.core.v1.ProjectService/CreateProject"
    assert {name: call.headers[name] for name in ("Authorization", "Content-Type", "User-Agent")} == {
        "Authorization": f"Bearer {fake.token}",
        "Content-Type": "application/json",
        "User-Agent": "hydra-deploy",
    }
    assert call.headers["Connect-Protocol-Version"] == "1"
    assert json.loads(call.body) == {
        "name": "unkey-p2",
        "regionId": "eu-central-1",
        "cachePolicy": {"keepGb": 50, "keepDays": 14},
    }


async def test_a_project_of_that_name_is_taken_wherever_it_is(depot: Depot, fake: FakeDepot) -> None:
    fake.add_project("unkey-p1")
    assert await depot.project("unkey-p1", "eu-central-1") == FIRST
    assert not fake.called("CreateProject")


async def test_a_project_on_a_later_page_is_found(depot: Depot, fake: FakeDepot) -> None:
    ids = [fake.add_project(f"unkey-x{number}") for number in range(6)]
    fake.page_size = 2
    assert await depot.project("unkey-x5", "us-east-1") == ids[5]
    assert [json.loads(call.body).get("pageToken") for call in fake.called("ListProjects")] == [None, "2", "4", "6"]


async def test_somebody_else_made_it_meanwhile(depot: Depot, fake: FakeDepot) -> None:
    fake.repeated_name = "refused"
    gate = Gate(after=True)
    fake.program("ListProjects", gate)
    asked = asyncio.create_task(depot.project("unkey-p2", "us-east-1"))
    await gate.reached.wait()
    theirs = fake.add_project("unkey-p2")
    gate.open.set()
    assert await asked == theirs


async def test_a_name_that_is_taken_but_never_listed(depot: Depot, fake: FakeDepot) -> None:
    fake.program("CreateProject", Refuse("already_exists"))
    with pytest.raises(Internal) as caught:
        await depot.project("unkey-p2", "us-east-1")
    assert caught.value.reason == "DEPOT_REFUSED"


async def test_a_lost_answer_leaves_no_second_project(depot: Depot, fake: FakeDepot) -> None:
    fake.program("CreateProject", Close(after=True))
    with pytest.raises(Transient):
        await depot.project("unkey-p2", "us-east-1")
    again = await depot.project("unkey-p2", "us-east-1")
    assert [project.project_id for project in fake.projects.values() if project.name == "unkey-p2"] == [again]


@pytest.mark.parametrize("timing", [Timing(project=timedelta(milliseconds=200))])
async def test_a_list_without_end_is_left(depot: Depot, fake: FakeDepot) -> None:
    fake.program_always("ListProjects", Say(b'{"nextPageToken": "round and round"}'))
    with pytest.raises(Transient) as caught:
        await depot.project("unkey-p2", "us-east-1")
    assert caught.value.reason == "DEPOT_UNAVAILABLE"
    assert not fake.called("CreateProject")


@pytest.mark.parametrize(
    "listed", [b"{}", b'{"projects": 1}', b'{"projects": [null, 1, {}, {"name": "unkey-p2"}, {"projectId": "dp9"}]}']
)
async def test_a_list_that_does_not_hold_it(depot: Depot, fake: FakeDepot, listed: bytes) -> None:
    fake.program("ListProjects", Say(listed))
    assert await depot.project("unkey-p2", "us-east-1") in fake.projects


async def test_a_project_without_an_id_is_passed_over(depot: Depot, fake: FakeDepot) -> None:
    fake.program("ListProjects", Say(b'{"projects": [{"name": "unkey-p1"}], "nextPageToken": "0"}'))
    assert await depot.project("unkey-p1", "us-east-1") == FIRST


@pytest.mark.parametrize("answer", [b"{}", b'{"project": null}', b'{"project": {"projectId": 7}}'])
async def test_an_answer_without_the_id(depot: Depot, fake: FakeDepot, answer: bytes) -> None:
    fake.program("CreateProject", Say(answer))
    with pytest.raises(Internal) as caught:
        await depot.project("unkey-p2", "us-east-1")
    assert caught.value.reason == "DEPOT_REFUSED"
    assert "the answer holds no project.projectId" in caught.value.message
