"""Our comment on a pull request: one, ours alone, wherever it is among those of others."""

from datetime import timedelta
from typing import Any

import pytest

from service.errors import BuildFailed, FailedPrecondition, HydraError, Transient
from service.github.reports import Comment, Reports, Site
from tests.servers.github import FakeGitHub
from tests.servers.github_clock import Clock
from tests.servers.github_faults import End, Fault
from tests.servers.github_records import Author, PullRequest
from tests.servers.github_repository import Head, Repository

MARKER = "<!-- our-deploys -->"
TEXT = f"{MARKER}\n| shop | Ready |"
NUMBER = 1
LOST = Fault(end=End.CLOSE, done_first=True)


@pytest.fixture(autouse=True)
def pull_request(shop: Repository) -> PullRequest:
    """Open the pull request that all of this is about."""
    shop.branches["next"] = Head("b" * 40)
    opened = shop.pull_request(shop.open_pull_request("next"))
    assert opened is not None
    return opened


def bodies(shop: Repository) -> list[str]:
    return [comment.body for comment in shop.comments(NUMBER)]


def chat(shop: Repository, comments: int) -> None:
    for _ in range(comments):
        shop.comment(NUMBER, "Looks good to me")


async def put(reports: Reports, site: Site, body: str, known_id: int = 0) -> int:
    """Write it as a caller does who may have been here before."""
    found = await reports.find_comment(site, NUMBER, MARKER, known_id)
    return await reports.write_comment(site, NUMBER, found.comment_id if found else 0, body)


async def test_a_comment_is_written_and_replaced(
    fake: FakeGitHub, shop: Repository, reports: Reports, site: Site
) -> None:
    assert await reports.find_comment(site, NUMBER, MARKER, 0) is None

    written = await reports.write_comment(site, NUMBER, 0, TEXT)
    assert await reports.find_comment(site, NUMBER, MARKER, 0) == Comment(written, TEXT)
    assert await reports.write_comment(site, NUMBER, written, TEXT + "!") == written

    assert bodies(shop) == [TEXT + "!"]
    assert shop.comments(NUMBER)[0].author == fake.bot()
    assert [asked.body["permissions"] for asked in fake.asked("/access_tokens")] == [{"pull_requests": "write"}]


async def test_a_comment_among_150_of_others(fake: FakeGitHub, shop: Repository, reports: Reports, site: Site) -> None:
    chat(shop, 105)
    ours = shop.add_comment(NUMBER, TEXT, fake.bot())
    chat(shop, 45)

    assert await put(reports, site, TEXT + "!") == ours.comment_id

    assert len(bodies(shop)) == 151
    assert ours.body == TEXT + "!"
    pages = [asked.query for asked in fake.asked("/comments", "GET")]
    assert pages == [{"per_page": "30", "page": str(page)} for page in (1, 2, 3, 4)]


@pytest.mark.parametrize("others", [0, 29, 30, 31, 150])
async def test_all_pages_are_looked_through_before_a_comment_is_written(
    shop: Repository, reports: Reports, site: Site, others: int
) -> None:
    chat(shop, others)

    written = await put(reports, site, TEXT)
    assert await put(reports, site, TEXT + "!") == written

    assert bodies(shop).count(TEXT + "!") == 1
    assert len(bodies(shop)) == others + 1


async def test_a_pull_request_that_takes_no_more_is_looked_through(
    fake: FakeGitHub, shop: Repository, reports: Reports, site: Site
) -> None:
    chat(shop, 2499)
    ours = shop.add_comment(NUMBER, TEXT, fake.bot())

    assert await reports.find_comment(site, NUMBER, MARKER, 0) == Comment(ours.comment_id, TEXT)


async def test_the_longest_comments_hide_nothing(
    fake: FakeGitHub, shop: Repository, reports: Reports, site: Site
) -> None:
    for _ in range(35):
        shop.comment(NUMBER, "é" * 65_536)  # 6 bytes of JSON each
    ours = shop.add_comment(NUMBER, TEXT, fake.bot())

    assert await reports.find_comment(site, NUMBER, MARKER, 0) == Comment(ours.comment_id, TEXT)


async def test_a_page_that_no_comments_fill_is_an_outage(fake: FakeGitHub, reports: Reports, site: Site) -> None:
    fake.faults.plan("*/comments", Fault(200, body=b'["' + b"x" * (16 << 20) + b'"]'))

    with pytest.raises(Transient, match="cannot be read"):
        await reports.find_comment(site, NUMBER, MARKER, 0)


@pytest.mark.parametrize("names_apps", [True, False])
async def test_a_planted_marker_is_not_ours(
    fake: FakeGitHub, shop: Repository, reports: Reports, site: Site, names_apps: bool
) -> None:
    fake.names_apps = names_apps
    planted = [
        shop.comment(NUMBER, TEXT, login="mallory"),
        shop.comment(NUMBER, TEXT, login="hydra"),
        shop.comment(NUMBER, TEXT, login="hydra[bot]"),
        shop.comment(NUMBER, TEXT, bot_of="other"),
        shop.comment(NUMBER, TEXT, bot_of="hydra-2"),
    ]
    for each in planted:
        assert await reports.find_comment(site, NUMBER, MARKER, each.comment_id) is None

    written = await put(reports, site, TEXT + "!")

    assert await put(reports, site, TEXT + "!!") == written
    assert bodies(shop) == [TEXT] * 5 + [TEXT + "!!"]


async def test_what_a_person_wrote_through_our_app_is_not_ours(fake: FakeGitHub, reports: Reports, site: Site) -> None:
    through = {
        "id": 7,
        "body": TEXT,
        "user": {"login": "mallory", "type": "User"},
        "performed_via_github_app": {"id": fake.app.app_id},
    }
    fake.faults.plan("*/comments", Fault(200, body=[through]))

    assert await reports.find_comment(site, NUMBER, MARKER, 0) is None


async def test_an_app_that_was_renamed_knows_its_comments(fake: FakeGitHub, reports: Reports, site: Site) -> None:
    written = await put(reports, site, TEXT)
    fake.app.slug = "hercules"

    assert await put(reports, site, TEXT) == written


async def test_who_we_are_is_asked_once(fake: FakeGitHub, reports: Reports, site: Site) -> None:
    for _ in range(3):
        await reports.find_comment(site, NUMBER, MARKER, 0)

    assert [asked.who for asked in fake.asked("/app")] == ["app"]


async def test_our_other_comments_are_other_comments(
    fake: FakeGitHub, shop: Repository, reports: Reports, site: Site
) -> None:
    shop.add_comment(NUMBER, "Welcome!", fake.bot())
    first = shop.add_comment(NUMBER, TEXT, fake.bot())
    shop.add_comment(NUMBER, TEXT, fake.bot())

    found = await reports.find_comment(site, NUMBER, MARKER, 0)

    assert found == Comment(first.comment_id, TEXT)


async def test_a_known_comment_is_not_searched_for(
    fake: FakeGitHub, shop: Repository, reports: Reports, site: Site
) -> None:
    chat(shop, 40)
    shop.add_comment(NUMBER, TEXT, fake.bot())
    known = shop.add_comment(NUMBER, TEXT + "!", fake.bot())

    found = await reports.find_comment(site, NUMBER, MARKER, known.comment_id)

    assert found == Comment(known.comment_id, TEXT + "!")
    assert fake.asked("/comments") == []


async def test_a_known_comment_of_another_pull_request_does_not_count(
    fake: FakeGitHub, shop: Repository, reports: Reports, site: Site
) -> None:
    for _ in range(11):
        shop.open_pull_request("next")
    elsewhere = shop.add_comment(NUMBER + 10, TEXT, fake.bot())
    here = shop.add_comment(NUMBER, TEXT, fake.bot())

    found = await reports.find_comment(site, NUMBER, MARKER, elsewhere.comment_id)

    assert found == Comment(here.comment_id, TEXT)


async def test_a_known_comment_that_lost_its_marker_does_not_count(
    fake: FakeGitHub, shop: Repository, reports: Reports, site: Site
) -> None:
    known = shop.add_comment(NUMBER, "Edited away", fake.bot())

    assert await reports.find_comment(site, NUMBER, MARKER, known.comment_id) is None


@pytest.mark.parametrize("status", [404, 410])
async def test_a_comment_that_is_deleted_is_written_again(
    fake: FakeGitHub, shop: Repository, reports: Reports, site: Site, status: int
) -> None:
    gone = await put(reports, site, TEXT)
    shop.all_comments.clear()
    fake.faults.plan(f"*/comments/{gone}", Fault(status), times=2)
    assert await reports.find_comment(site, NUMBER, MARKER, gone) is None

    written = await reports.write_comment(site, NUMBER, gone, TEXT)  # deleted while it was looked at

    assert written != gone
    assert await reports.find_comment(site, NUMBER, MARKER, gone) == Comment(written, TEXT)


async def test_a_comment_is_written_once_even_if_nobody_heard_of_it(
    fake: FakeGitHub, shop: Repository, reports: Reports, site: Site
) -> None:
    for method in ("POST", "PATCH"):
        fake.faults.plan("*/comments*", LOST, method=method)
        with pytest.raises(Transient):
            await put(reports, site, TEXT)
        await put(reports, site, TEXT)

    assert bodies(shop) == [TEXT]


async def test_a_repository_that_was_renamed(fake: FakeGitHub, shop: Repository, reports: Reports, site: Site) -> None:
    fake.rename(shop, "acme/boutique")
    chat(shop, 35)

    written = await put(reports, site, TEXT)
    assert await put(reports, site, TEXT + "!") == written
    assert await put(reports, site, TEXT + "!!", written) == written

    assert bodies(shop)[35:] == [TEXT + "!!"]


async def test_a_locked_conversation(pull_request: PullRequest, reports: Reports, site: Site) -> None:
    pull_request.is_locked = True

    with pytest.raises(FailedPrecondition, match="unlock it on GitHub") as caught:
        await put(reports, site, TEXT)

    assert caught.value.reason == "GITHUB_CONVERSATION_LOCKED"
    assert caught.value.facts == {"repository": "acme/shop"}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Commenting is disabled on issues with more than 2500 comments", "GITHUB_CONVERSATION_FULL"),
        ("Repository was archived so is read-only.", "GITHUB_REPOSITORY_ARCHIVED"),
    ],
)
async def test_where_nobody_may_write(
    fake: FakeGitHub, reports: Reports, site: Site, message: str, reason: str
) -> None:
    fake.faults.plan("*/comments", Fault(403, body={"message": message}), method="POST")

    with pytest.raises(FailedPrecondition) as caught:
        await put(reports, site, TEXT)

    assert caught.value.reason == reason


@pytest.mark.parametrize("status", [404, 410])
async def test_a_pull_request_that_is_not_there(fake: FakeGitHub, reports: Reports, site: Site, status: int) -> None:
    fake.faults.plan("*/comments", Fault(status), method="POST")
    for action in (reports.find_comment(site, NUMBER + 1, MARKER, 0), reports.write_comment(site, NUMBER, 0, TEXT)):
        with pytest.raises(BuildFailed) as caught:
            await action
        assert caught.value.reason == "PULL_REQUEST_NOT_FOUND"


async def test_a_comment_that_is_too_long(shop: Repository, reports: Reports, site: Site) -> None:
    written = await put(reports, site, TEXT)
    for comment_id in (0, written):
        with pytest.raises(FailedPrecondition) as caught:
            await reports.write_comment(site, NUMBER, comment_id, TEXT + "x" * 65_536)
        assert caught.value.reason == "GITHUB_COMMENT_REFUSED"

    assert bodies(shop) == [TEXT]


async def test_a_comment_of_somebody_else_is_not_written(
    shop: Repository, reports: Reports, site: Site, clock: Clock
) -> None:
    others = shop.add_comment(NUMBER, TEXT, Author("mallory"))
    await reports.find_comment(site, NUMBER, MARKER, 0)
    clock.forward(timedelta(seconds=11))

    with pytest.raises(HydraError) as caught:
        await reports.write_comment(site, NUMBER, others.comment_id, TEXT + "!")

    assert caught.value.reason == "GITHUB_ACCESS_DENIED"
    assert bodies(shop) == [TEXT]


@pytest.mark.parametrize("body", [{}, "x", [{"id": 7, "body": TEXT}], [None, 7, "x"], [{"user": 7, "body": None}]])
async def test_comments_that_are_none(fake: FakeGitHub, reports: Reports, site: Site, body: Any) -> None:
    fake.faults.plan("*/comments", Fault(200, body=body), method="GET")
    fake.faults.plan("*/comments/7", Fault(200, body=body), method="GET")

    if isinstance(body, list):
        assert await reports.find_comment(site, NUMBER, MARKER, 7) is None
    else:
        with pytest.raises(Transient):
            await reports.find_comment(site, NUMBER, MARKER, 7)


@pytest.mark.parametrize("body", [{}, [], {"id": "7"}, {"id": None}])
async def test_a_comment_without_an_id_is_an_outage(fake: FakeGitHub, reports: Reports, site: Site, body: Any) -> None:
    fake.faults.plan("*/comments", Fault(201, body=body), method="POST")

    with pytest.raises(Transient, match="cannot be read"):
        await reports.write_comment(site, NUMBER, 0, TEXT)
