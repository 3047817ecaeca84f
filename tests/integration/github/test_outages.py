"""What comes of a GitHub that is away, silent, talks nonsense or asks for patience: an error that a retry may cure."""

from datetime import timedelta

import pytest

from service.clock import now_ms
from service.dev.ports import free_port
from service.errors import Transient
from service.github.repositories import GitHub, GitHubSettings
from tests.servers.github import FakeGitHub
from tests.servers.github_clock import Clock
from tests.servers.github_faults import End, Fault

BRANCH = "/repos/acme/shop/branches/*"
TOKENS = "/app/installations/*/access_tokens"
SOON = timedelta(milliseconds=300)


async def outage(github: GitHub, installation: int | None) -> Transient:
    with pytest.raises(Transient) as caught:
        await github.branch_head("acme/shop", "main", installation)
    error = caught.value
    assert error.__suppress_context__ or error.__context__ is None
    assert "127.0.0.1" not in f"{error!s} {error!r} {error.facts}"
    return error


@pytest.mark.parametrize("path", [TOKENS, BRANCH])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(500),
        Fault(502, body=b"<html>Unicorn!</html>"),
        Fault(503, {"Retry-After": "5"}, {"message": "Service unavailable"}),
        Fault(end=End.CLOSE),
        Fault(200, body=b'{"name": "main", "com', end=End.CLOSE),
        Fault(200, body=b"<html>Log in</html>"),
        Fault(201, body=b""),
        Fault(200, body=b"[" * 100_000),
        Fault(200, body=b"\xff"),
        Fault(200, body=b'"' + b"x" * (1 << 20) + b'"'),
        Fault(200, {"Content-Encoding": "gzip"}, b"{}"[:1]),
        Fault(304),
        Fault(201, body=[]),
        Fault(201, body={}),
        Fault(201, body={"token": 1, "expires_at": 2, "name": 3, "commit": 4}),
    ],
)
async def test_what_is_no_answer_is_an_outage_and_no_more(
    fake: FakeGitHub, github: GitHub, installation: int, path: str, fault: Fault
) -> None:
    fake.faults.plan(path, fault)

    assert (await outage(github, installation)).reason == "GITHUB_UNAVAILABLE"

    assert (await github.branch_head("acme/shop", "main", installation)).sha == "a" * 40


@pytest.mark.parametrize("path", [TOKENS, BRANCH])
@pytest.mark.parametrize("fault", [Fault(end=End.HANG), Fault(200, body=b'{"name": ', end=End.HANG)])
async def test_a_github_that_does_not_answer_is_waited_for_no_longer_than_that(
    fake: FakeGitHub, installation: int, path: str, fault: Fault
) -> None:
    settings = GitHubSettings(fake.app.app_id, fake.app.private_key_pem, fake.url, timeout=SOON)
    github = GitHub(settings)
    fake.faults.plan(path, fault)

    assert (await outage(github, installation)).message == "GitHub did not answer in time"

    await github.close()
    assert GitHubSettings().timeout == timedelta(seconds=10)


async def test_nobody_listens(fake: FakeGitHub) -> None:
    settings = GitHubSettings(fake.app.app_id, fake.app.private_key_pem, f"http://127.0.0.1:{free_port()}")
    github = GitHub(settings)

    assert (await outage(github, 7)).message == "GitHub cannot be reached"
    await github.close()


@pytest.mark.parametrize(
    "body",
    [
        {"token": "ghs_x", "expires_at": "tomorrow"},
        {"token": "ghs_x"},
        {"token": "", "expires_at": "2099-01-01T00:00:00Z"},
        {"token": "ghs_x\r\nHost: other", "expires_at": "2099-01-01T00:00:00Z"},
        {"token": "ghs_ä", "expires_at": "2099-01-01T00:00:00Z"},
        {"token": "x" * 4097, "expires_at": "2099-01-01T00:00:00Z"},
    ],
)
async def test_a_token_that_is_none(fake: FakeGitHub, github: GitHub, installation: int, body: dict[str, str]) -> None:
    fake.faults.plan(TOKENS, Fault(201, body=body))

    assert (await outage(github, installation)).message == "GitHub's answer cannot be read"


async def test_what_the_search_for_a_renamed_repository_meets(
    fake: FakeGitHub, github: GitHub, installation: int
) -> None:
    repository = fake.add_repository("acme/old")
    fake.rename(repository, "acme/new")
    for fault in (Fault(403), Fault(200, body={"id": "x"}), Fault(500)):
        fake.faults.plan("/repos/acme/old", fault)
        with pytest.raises(Transient) as caught:
            await github.clone_token(installation, "acme/old")
        assert caught.value.reason == "GITHUB_UNAVAILABLE"


SECONDARY = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}


@pytest.mark.parametrize(
    ("fault", "waits_s"),
    [
        (Fault(403, {"Retry-After": "17"}, SECONDARY), 17),
        (Fault(403, {"Retry-After": "17"}), 17),
        (Fault(429, {"Retry-After": "3"}), 3),
        (Fault(429), 60),
        (Fault(403, body=SECONDARY), 60),
        (Fault(429, {"Retry-After": "soon"}), 60),
        (Fault(429, {"Retry-After": "0"}), 1),
        (Fault(429, {"Retry-After": "9999999"}), 3600),
        (Fault(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}), 1),
        (Fault(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "99999999999"}), 3600),
        (Fault(403, {"x-ratelimit-remaining": "0"}), 60),
    ],
)
async def test_a_rate_limit_says_how_long_to_wait(
    fake: FakeGitHub, github: GitHub, installation: int, fault: Fault, waits_s: int
) -> None:
    fake.faults.plan(BRANCH, fault)
    of_installation = await outage(github, installation)
    fake.faults.plan(TOKENS, fault)
    with pytest.raises(Transient) as of_app:
        await github.clone_token(installation, "acme/books")

    for error in (of_installation, of_app.value):
        assert error.reason == "GITHUB_RATE_LIMITED"
        assert error.facts == {"retry_after_s": str(waits_s)}
        assert str(waits_s) in error.message


async def test_the_reset_of_a_rate_limit_is_a_time(fake: FakeGitHub, github: GitHub, installation: int) -> None:
    reset = str(now_ms() // 1000 + 600)
    fake.faults.plan(BRANCH, Fault(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}))

    error = await outage(github, installation)

    assert 480 < int(error.facts["retry_after_s"]) <= 600


async def test_a_limited_installation_asks_nothing_until_it_may_and_others_go_on(
    fake: FakeGitHub, github: GitHub, installation: int, clock: Clock
) -> None:
    other = fake.install("acme")
    await github.branch_head("acme/shop", "main", installation)
    fake.faults.plan(BRANCH, Fault(403, {"Retry-After": "300"}))
    await outage(github, installation)
    asked = len(fake.requests)
    clock.forward(timedelta(seconds=100))

    error = await outage(github, installation)

    assert error.reason == "GITHUB_RATE_LIMITED"
    assert 100 < int(error.facts["retry_after_s"]) <= 200
    assert len(fake.requests) == asked
    assert (await github.branch_head("acme/shop", "main", other)).sha == "a" * 40
    clock.forward(timedelta(seconds=201))
    assert (await github.branch_head("acme/shop", "main", installation)).sha == "a" * 40
