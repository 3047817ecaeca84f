"""Installation tokens: how far they reach, how long they are kept, and who waits for whom."""

import asyncio
from datetime import timedelta

import pytest

from service.errors import HydraError
from service.github.repositories import GitHub, GitHubSettings
from tests.servers.github import FakeGitHub
from tests.servers.github_clock import Clock
from tests.servers.github_faults import Fault
from tests.servers.github_repository import Head
from tests.waiting import until

TOKENS = "/app/installations/*/access_tokens"


async def test_a_token_reads_the_one_repository(fake: FakeGitHub, github: GitHub, installation: int) -> None:
    fake.add_repository("acme/books")

    token = await github.clone_token(installation, "acme/shop")

    assert fake.valid_token(token, "acme/shop")
    assert not fake.valid_token(token, "acme/books")
    assert not fake.valid_token("", "acme/shop")
    assert not fake.valid_token(token, "acme/nothing")
    assert fake.tokens.given[token].permissions == {"contents": "read", "metadata": "read"}


async def test_a_token_is_kept_for_its_repository_and_installation(
    fake: FakeGitHub, github: GitHub, installation: int
) -> None:
    fake.add_repository("acme/books")
    other = fake.install("acme")

    shop = await github.clone_token(installation, "acme/shop")

    assert await github.clone_token(installation, "Acme/Shop") == shop
    assert await github.clone_token(installation, "acme/books") != shop
    assert await github.clone_token(other, "acme/shop") != shop
    assert len(fake.asked("/access_tokens")) == 3


async def test_a_token_is_kept_until_five_minutes_before_its_end(
    fake: FakeGitHub, github: GitHub, installation: int, clock: Clock
) -> None:
    first = await github.clone_token(installation, "acme/shop")
    clock.forward(timedelta(minutes=54))
    assert await github.clone_token(installation, "acme/shop") == first

    clock.forward(timedelta(minutes=1, seconds=1))
    second = await github.clone_token(installation, "acme/shop")

    assert second != first
    assert fake.valid_token(second, "acme/shop")


async def test_a_token_that_is_short_from_the_start_serves_once(
    fake: FakeGitHub, github: GitHub, installation: int
) -> None:
    fake.tokens.lifetime_ms = 299_000

    first = await github.clone_token(installation, "acme/shop")

    assert fake.valid_token(first, "acme/shop")
    assert await github.clone_token(installation, "acme/shop") != first


async def test_callers_at_once_share_a_request(fake: FakeGitHub, github: GitHub, installation: int) -> None:
    answer = asyncio.Event()
    fake.faults.plan(TOKENS, Fault(after=answer))
    callers = [asyncio.create_task(github.clone_token(installation, "acme/shop")) for _ in range(8)]
    await until(lambda: arrived(fake))
    callers[0].cancel()
    await asyncio.wait(callers[:1])
    answer.set()

    tokens = await asyncio.gather(*callers[1:])

    assert callers[0].cancelled()
    assert len(set(tokens)) == 1
    assert len(fake.asked("/access_tokens")) == 1


async def test_callers_at_once_share_a_refusal_and_the_next_one_asks_again(
    fake: FakeGitHub, github: GitHub, installation: int
) -> None:
    fake.faults.plan(TOKENS, Fault(502))

    errors = await asyncio.gather(
        *(github.clone_token(installation, "acme/shop") for _ in range(4)), return_exceptions=True
    )

    assert {error.reason for error in errors if isinstance(error, HydraError)} == {"GITHUB_UNAVAILABLE"}
    assert len(fake.asked("/access_tokens")) == 1
    assert fake.valid_token(await github.clone_token(installation, "acme/shop"), "acme/shop")


async def test_closing_ends_a_request_that_hangs(fake: FakeGitHub, installation: int) -> None:
    github = GitHub(GitHubSettings(fake.app.app_id, fake.app.private_key_pem, fake.url))
    never = asyncio.Event()
    fake.faults.plan(TOKENS, Fault(after=never))
    caller = asyncio.create_task(github.clone_token(installation, "acme/shop"))
    await until(lambda: arrived(fake))

    await github.close()

    await asyncio.wait([caller])
    assert caller.cancelled()
    never.set()


async def test_a_forgotten_token_is_replaced_but_not_its_successor(
    fake: FakeGitHub, github: GitHub, installation: int
) -> None:
    first = await github.clone_token(installation, "acme/shop")
    github.forget(first)
    second = await github.clone_token(installation, "acme/shop")
    github.forget(first)  # by another build, which was told the same

    assert second != first
    assert await github.clone_token(installation, "acme/shop") == second
    assert len(fake.asked("/access_tokens")) == 2


async def test_a_token_that_github_took_back_is_replaced(
    fake: FakeGitHub, github: GitHub, installation: int, clock: Clock
) -> None:
    await github.branch_head("acme/shop", "main", installation)
    clock.forward(timedelta(seconds=11))
    fake.tokens.revoke()

    assert (await github.branch_head("acme/shop", "main", installation)).sha == "a" * 40

    assert [asked.who for asked in fake.asked("/branches/main")] == [
        f"installation {installation}",
        "stranger",
        f"installation {installation}",
    ]


@pytest.mark.parametrize("drift", [timedelta(seconds=-50), timedelta(seconds=50)])
async def test_clocks_may_differ_by_a_minute(fake: FakeGitHub, installation: int, drift: timedelta) -> None:
    ours = Clock()
    ours.forward(drift)
    github = GitHub(GitHubSettings(fake.app.app_id, fake.app.private_key_pem, fake.url), ours.now_ms)

    assert fake.valid_token(await github.clone_token(installation, "acme/shop"), "acme/shop")
    await github.close()


async def test_a_token_of_another_owner_s_repository_is_not_given_away(
    fake: FakeGitHub, github: GitHub, installation: int
) -> None:
    """GitHub takes a name without its owner, so that it would give acme's token for anybody's shop."""
    fake.add_repository("mallory/shop", private=False, branches={"main": Head("f" * 40)})

    with pytest.raises(HydraError) as caught:
        await github.clone_token(installation, "mallory/shop")

    assert caught.value.reason == "GITHUB_ACCESS_DENIED"


async def test_a_repository_that_moved_to_another_owner_of_the_same_installation(
    fake: FakeGitHub, github: GitHub
) -> None:
    repository = fake.add_repository("oldname/shop", branches={"main": Head("d" * 40)})
    fake.rename(repository, "newname/shop")
    installation = fake.install("newname")

    token = await github.clone_token(installation, "oldname/shop")

    assert fake.valid_token(token, "newname/shop")


async def arrived(fake: FakeGitHub) -> bool:
    return bool(fake.asked("/access_tokens"))


async def test_what_ends_a_token(fake: FakeGitHub, github: GitHub, installation: int, clock: Clock) -> None:
    token = await github.clone_token(installation, "acme/shop")
    fake.installations[installation].suspended = True
    assert not fake.valid_token(token, "acme/shop")
    fake.installations[installation].suspended = False
    assert fake.valid_token(token, "acme/shop")

    clock.forward(timedelta(minutes=61))

    assert not fake.valid_token(token, "acme/shop")


async def test_a_token_may_come_without_its_repositories(fake: FakeGitHub, github: GitHub, installation: int) -> None:
    fake.faults.plan(TOKENS, Fault(201, body={"token": "ghs_short", "expires_at": "2099-01-01T00:00:00Z"}))

    assert await github.clone_token(installation, "acme/shop") == "ghs_short"
