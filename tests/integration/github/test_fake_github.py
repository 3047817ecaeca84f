"""The rules of the fake GitHub that are not obvious, asked without the service between."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest

from tests.servers.github import FakeGitHub
from tests.servers.github_clock import Clock
from tests.servers.github_faults import End, Fault
from tests.servers.github_repository import Head, Repository

SHOP = "/repos/acme/shop"
SHA = "a" * 40


@pytest.fixture
async def http(fake: FakeGitHub) -> AsyncIterator[httpx.AsyncClient]:
    """Ask the fake as nobody."""
    headers = {"X-GitHub-Api-Version": "2022-11-28"}
    async with httpx.AsyncClient(base_url=fake.url, headers=headers, trust_env=False) as http:
        yield http


@pytest.fixture
async def app(fake: FakeGitHub, http: httpx.AsyncClient, installation: int) -> httpx.AsyncClient:
    """Ask with a token that may do all that the installation may."""
    http.headers["Authorization"] = await token(fake, http, installation)
    return http


@pytest.fixture
def shop(fake: FakeGitHub) -> Repository:
    return fake.repository("acme/shop")


async def token(fake: FakeGitHub, http: httpx.AsyncClient, installation: int) -> str:
    now_s = int(time.time())
    claims = {"iss": str(fake.app.app_id), "iat": now_s - 60, "exp": now_s + 60}
    proof = jwt.encode(claims, fake.app.private_key_pem, algorithm="RS256")
    answer = await http.post(
        f"/app/installations/{installation}/access_tokens", headers={"Authorization": f"Bearer {proof}"}
    )
    return f"Bearer {answer.json()['token']}"


async def deploy(app: httpx.AsyncClient, environment: str = "shop - next", **wanted: Any) -> str:
    """Create a deployment and return the path of its statuses."""
    answer = await app.post(f"{SHOP}/deployments", json={"ref": SHA, "environment": environment, **wanted})
    assert answer.status_code == 201
    return f"{SHOP}/deployments/{answer.json()['id']}/statuses"


async def test_pages_are_linked_by_the_repositorys_id(app: httpx.AsyncClient, shop: Repository) -> None:
    number = shop.open_pull_request("main")
    written = [shop.comment(number, f"{nth}").comment_id for nth in range(65)]
    path = f"/issues/{number}/comments"

    answer = await app.get(SHOP + path)
    assert set(answer.links) == {"next", "last"}
    read = answer.json()
    while "next" in answer.links:
        assert httpx.URL(answer.links["next"]["url"]).path == f"/repositories/{shop.repository_id}{path}"
        answer = await app.get(answer.links["next"]["url"])
        read += answer.json()

    assert [each["id"] for each in read] == written
    assert set(answer.links) == {"prev", "first"}
    assert len((await app.get(SHOP + path, params={"per_page": "1000"})).json()) == 65
    middle = await app.get(SHOP + path, params={"per_page": "10", "page": "2"})
    assert set(middle.links) == {"prev", "next", "last", "first"}
    assert [each["body"] for each in middle.json()] == [f"{nth}" for nth in range(10, 20)]
    assert (await app.get(SHOP + path, params={"page": "9"})).json() == []


async def test_a_success_retires_what_was_there_before(app: httpx.AsyncClient, shop: Repository) -> None:
    kinds: list[dict[str, Any]] = [
        {},
        {"environment": "other"},
        {"transient_environment": True},
        {"production_environment": True},
    ]
    older = [await deploy(app, **kind) for kind in kinds]
    failed, newest, newer = await deploy(app), await deploy(app), await deploy(app)
    for path in (*older, newer):
        await app.post(path, json={"state": "success", "auto_inactive": False})
    await app.post(failed, json={"state": "failure"})

    await app.post(newest, json={"state": "success"})

    states = [deployment.state for deployment in shop.deployments]
    assert states == ["inactive", "success", "success", "success", "failure", "success", "success"]
    assert [each["state"] for each in (await app.get(older[0])).json()] == ["inactive", "success"]


async def test_deployments_are_found_by_what_they_are_of(app: httpx.AsyncClient, shop: Repository) -> None:
    shop.branches["next"] = Head("b" * 40)
    await deploy(app, payload={"deployment": "d_1"})
    await deploy(app, payload="d_2", ref="next", task="deploy:shop")
    await deploy(app, "production")

    async def found(**query: str) -> list[Any]:
        return [each["payload"] for each in (await app.get(f"{SHOP}/deployments", params=query)).json()]

    assert await found() == ["", "d_2", {"deployment": "d_1"}]
    assert await found(sha="b" * 40) == await found(ref="next") == await found(task="deploy:shop") == ["d_2"]
    assert await found(environment="shop - next", sha=SHA) == [{"deployment": "d_1"}]
    assert [each.is_production for each in shop.deployments] == [False, False, True]


@pytest.mark.parametrize(
    ("wanted", "status", "message"),
    [
        ({}, 422, '"ref" wasn\'t supplied'),
        ({"ref": "gone"}, 422, "No ref found for: gone"),
        ({"ref": "main"}, 409, "Conflict: Commit status checks failed for main."),
        ({"ref": "main", "required_contexts": ["tests"]}, 409, "Conflict: Commit status checks failed for main."),
        ({"ref": "main", "required_contexts": [], "environment": 7}, 422, "'properties/environment', 7 is not a str"),
    ],
)
async def test_a_deployment_that_is_refused(
    app: httpx.AsyncClient, shop: Repository, wanted: dict[str, Any], status: int, message: str
) -> None:
    shop.unchecked.add(SHA)

    answer = await app.post(f"{SHOP}/deployments", json=wanted)

    assert answer.status_code == status
    assert message in answer.json()["message"]
    assert shop.deployments == []
    await deploy(app, required_contexts=[])


@pytest.mark.parametrize(
    ("wanted", "culprit"),
    [
        ({"state": "ready"}, "state"),
        ({"state": "success", "description": "x" * 141}, "description"),
        ({"state": "success", "environment_url": "shop.example.com"}, "environment_url"),
        ({"state": "success", "log_url": "ftp://logs.example.com/1"}, "log_url"),
    ],
)
async def test_a_status_that_is_refused(
    app: httpx.AsyncClient, shop: Repository, wanted: dict[str, str], culprit: str
) -> None:
    path = await deploy(app)

    answer = await app.post(path, json=wanted)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == culprit
    assert shop.deployments[0].statuses == []
    assert (await app.post(f"{SHOP}/deployments/1/statuses", json={"state": "success"})).status_code == 404


async def test_what_a_token_may_do(fake: FakeGitHub, http: httpx.AsyncClient, shop: Repository) -> None:
    number = shop.open_pull_request("main")
    reads = {"metadata": "read", "deployments": "read", "issues": "read"}
    reader = {"Authorization": await token(fake, http, fake.install("acme", permissions=reads))}
    stranger = {"Authorization": await token(fake, http, fake.install("other"))}
    comments, comment = f"{SHOP}/issues/{number}/comments", {"body": "Hello"}

    for path in (comments, f"{SHOP}/deployments"):
        assert (await http.get(path, headers=reader)).status_code == 200
        assert (await http.get(path, headers=stranger)).status_code == 404
    for path in (f"{SHOP}/pulls", f"{SHOP}/branches/main"):
        assert (await http.get(path, headers=reader)).status_code == 403
    refused = await http.post(comments, headers=reader, json=comment)
    assert refused.json()["message"] == "Resource not accessible by integration"
    assert (await http.post(comments, headers=stranger, json=comment)).status_code == 404
    shop.private = False
    assert (await http.post(comments, headers=stranger, json=comment)).status_code == 403
    assert (await http.post(comments, json=comment)).status_code == 401
    assert shop.comments(number) == []


async def test_a_comment_is_its_authors(fake: FakeGitHub, app: httpx.AsyncClient, shop: Repository) -> None:
    number = shop.open_pull_request("main")
    others = [shop.comment(number, "A"), shop.comment(number, "B", bot_of="lint")]
    path = f"{SHOP}/issues/comments/"

    ours = (await app.post(f"{SHOP}/issues/{number}/comments", json={"body": "C"})).json()
    assert (await app.patch(f"{path}{ours['id']}", json={"body": "D"})).json()["body"] == "D"
    for other in others:
        assert (await app.patch(f"{path}{other.comment_id}", json={"body": "D"})).status_code == 403
        assert (await app.delete(f"{path}{other.comment_id}")).status_code == 403

    fake.app.slug = "ferry"
    read = (await app.get(f"{SHOP}/issues/{number}/comments")).json()
    assert [each["body"] for each in read] == ["A", "B", "D"]
    users = [(each["user"]["login"], each["user"]["type"]) for each in read]
    assert users == [("octocat", "User"), ("lint[bot]", "Bot"), ("ferry[bot]", "Bot")]
    person, bot, ourselves = [each["performed_via_github_app"] for each in read]
    assert (person, bot["slug"], ourselves["id"], ourselves["slug"]) == (None, "lint", fake.app.app_id, "ferry")
    fake.names_apps = False
    assert (await app.get(f"{path}{ours['id']}")).json()["performed_via_github_app"] is None
    assert (await app.delete(f"{path}{ours['id']}")).status_code == 204
    assert (await app.get(f"{path}{ours['id']}")).status_code == 404


async def test_comments_that_are_refused(app: httpx.AsyncClient, shop: Repository) -> None:
    number = shop.open_pull_request("main")
    path = f"{SHOP}/issues/{number}/comments"

    for body in ({}, {"body": " "}, {"body": "x" * 65_537}):
        assert (await app.post(path, json=body)).status_code == 422
    assert (await app.post(f"{SHOP}/issues/9/comments", json={"body": "Hello"})).status_code == 404
    assert (await app.post(path, json={"body": "ü" * 65_536})).status_code == 201
    pull_request = shop.pull_request(number)
    assert pull_request
    pull_request.is_locked = True
    locked = await app.post(path, json={"body": "Hello"})
    assert locked.status_code == 403
    assert locked.json()["message"] == "Unable to create comment because issue is locked."


async def test_pull_requests_by_their_branch(app: httpx.AsyncClient, shop: Repository) -> None:
    shop.branches["next"] = Head("b" * 40)
    closed, own = shop.open_pull_request("next"), shop.open_pull_request("next")
    forked = shop.open_pull_request("next", head=Head("c" * 40), by="stranger/shop")
    first = shop.pull_request(closed)
    assert first
    first.close()

    async def found(**query: str) -> list[int]:
        return [each["number"] for each in (await app.get(f"{SHOP}/pulls", params=query)).json()]

    assert await found(head="acme:next") == [own]
    assert await found(head="stranger:next") == [forked]
    assert await found(head="next") == await found() == [forked, own]
    assert await found(head="acme:next", state="all", direction="asc") == [closed, own]
    described = (await app.get(f"{SHOP}/pulls/{forked}")).json()
    assert (described["head"]["repo"]["full_name"], described["head"]["sha"]) == ("stranger/shop", "c" * 40)


async def test_a_renamed_repository_is_written_to_by_its_id(
    fake: FakeGitHub, app: httpx.AsyncClient, shop: Repository
) -> None:
    fake.rename(shop, "acme/store")

    moved = await app.post(f"{SHOP}/deployments", json={"ref": "main"})

    assert moved.status_code == 307
    assert shop.deployments == []
    assert (await app.post(moved.headers["Location"], json={"ref": "main"})).status_code == 201


async def test_the_primary_limit(fake: FakeGitHub, app: httpx.AsyncClient, installation: int, clock: Clock) -> None:
    until_ms = clock.now_ms() + 600_000
    fake.limits.allow(installation, 2, until_ms)

    answers = [await app.get(SHOP) for _ in range(3)]

    assert [each.headers["x-ratelimit-remaining"] for each in answers] == ["1", "0", "0"]
    assert [each.status_code for each in answers] == [200, 200, 403]
    assert answers[2].json()["message"] == f"API rate limit exceeded for installation ID {installation}."
    assert int(answers[2].headers["x-ratelimit-reset"]) == -(-until_ms // 1000)
    clock.forward(timedelta(minutes=11))
    assert (await app.get(SHOP)).headers["x-ratelimit-remaining"] == "4999"


@pytest.mark.parametrize(("status", "says_when"), [(403, True), (429, True), (403, False)])
async def test_the_secondary_limit(
    fake: FakeGitHub, app: httpx.AsyncClient, clock: Clock, status: int, says_when: bool
) -> None:
    path = await deploy(app)
    fake.limits.secondary(per_minute=2, status=status, says_when=says_when)
    for _ in range(2):
        assert (await app.post(path, json={"state": "queued"})).status_code == 201

    refused = await app.post(path, json={"state": "queued"})

    assert refused.status_code == status
    assert "You have exceeded a secondary rate limit" in refused.json()["message"]
    assert refused.headers["x-ratelimit-remaining"] != "0"
    assert ("Retry-After" in refused.headers) == says_when
    assert len((await app.get(path)).json()) == 2
    clock.forward(timedelta(minutes=1))
    assert (await app.post(path, json={"state": "queued"})).status_code == 201


@pytest.mark.parametrize("end", [End.CLOSE, End.HANG])
async def test_an_answer_is_lost_after_the_work_was_done(
    fake: FakeGitHub, app: httpx.AsyncClient, shop: Repository, end: End
) -> None:
    number = shop.open_pull_request("main")
    path = f"{SHOP}/issues/{number}/comments"
    fake.faults.plan(path, Fault(end=end, done_first=True), method="POST")

    assert (await app.get(path)).json() == []
    with pytest.raises(httpx.TransportError):
        await app.post(path, json={"body": "Hello"}, timeout=0.5)

    assert [each.body for each in shop.comments(number)] == ["Hello"]
