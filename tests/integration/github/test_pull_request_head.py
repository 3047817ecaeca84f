import pytest

from service.errors import BuildFailed
from service.github.repositories import GitHub
from tests.servers.github import FakeGitHub
from tests.servers.github_repository import Head


async def test_the_head_of_a_pull_request_takes_no_more_than_reading_contents(
    fake: FakeGitHub, github: GitHub, installation: int
) -> None:
    repository = fake.add_repository("acme/forked", branches={"main": Head("b" * 40)})
    repository.pull_requests[7] = Head("c" * 40, message="Mend the shop", login="stranger")

    head = await github.pull_request_head("acme/forked", 7, installation)

    assert (head.sha, head.branch, head.message, head.author_handle) == ("c" * 40, "", "Mend the shop", "stranger")
    given, *_ = fake.requests
    assert given.body["permissions"] == {"contents": "read"}


async def test_a_pull_request_that_is_not_there_is_the_owners_to_know(github: GitHub, installation: int) -> None:
    with pytest.raises(BuildFailed) as refused:
        await github.pull_request_head("acme/shop", 8, installation)

    assert refused.value.reason == "PULL_REQUEST_NOT_FOUND"
    assert "acme/shop" in refused.value.message
