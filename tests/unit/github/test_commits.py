from typing import Any

import pytest

from service.errors import Transient
from service.github.commits import read_commit

SHA = "0123456789abcdef0123456789abcdef01234567"


def branch(**changes: Any) -> dict[str, Any]:
    """Return GitHub's answer, changed by dotted keys with `__` for the dots; `...` takes a field away."""
    body: dict[str, Any] = {
        "name": "main",
        "commit": {
            "sha": SHA,
            "author": {"login": "octocat", "avatar_url": "https://example.com/u/1"},
            "commit": {
                "message": "Sell shoes",
                "author": {"name": "Mona Lisa", "date": "2020-01-01T00:00:00Z"},
                "committer": {"name": "GitHub", "date": "2026-02-03T04:05:06Z"},
            },
        },
    }
    for key, value in changes.items():
        *parents, last = key.split("__")
        inner = body
        for parent in parents:
            inner = inner[parent]
        if value is ...:
            del inner[last]
        else:
            inner[last] = value
    return body


@pytest.mark.parametrize(
    ("message", "first"),
    [
        ("Sell shoes", "Sell shoes"),
        ("Sell shoes\n\nAnd laces.", "Sell shoes"),
        ("Sell shoes\r\n\r\nAnd laces.", "Sell shoes"),
        ("\n\n  Sell shoes  \n", "Sell shoes"),
        ("", ""),
        ("\n", ""),
        ("half \ud83d\nx", "half ?"),
        ("é" * 20_000, "é" * 16_383),
    ],
)
def test_the_message_is_its_first_line_and_fits_65535_bytes(message: str, first: str) -> None:
    assert read_commit(branch(commit__commit__message=message)).message == first


def test_texts_are_cut_to_their_columns() -> None:
    account = {"login": "o" * 300, "avatar_url": "https://example.com/" + "u" * 492}
    commit = read_commit(branch(name="b" * 300, commit__author=account))

    assert commit.author_handle == "o" * 256
    assert commit.branch == "b" * 256
    assert len(commit.author_avatar_url) == 512


def test_an_avatar_that_does_not_fit_is_left_out_for_half_an_address_leads_nowhere() -> None:
    account = {"login": "octocat", "avatar_url": "https://example.com/" + "u" * 493}

    assert read_commit(branch(commit__author=account)).author_avatar_url == ""


@pytest.mark.parametrize("account", [None, {}, ...])
def test_an_author_without_an_account_is_called_as_git_calls_him(account: Any) -> None:
    commit = read_commit(branch(commit__author=account))

    assert (commit.author_handle, commit.author_avatar_url) == ("Mona Lisa", "")


@pytest.mark.parametrize(
    ("date", "at_ms"),
    [
        ("2026-02-03T04:05:06Z", 1_770_091_506_000),
        ("2026-02-03T06:05:06+02:00", 1_770_091_506_000),
        ("2026-02-03T04:05:06.789Z", 1_770_091_506_789),
        ("2026-02-03T04:05:06", 1_770_091_506_000),
        ("1969-12-31T23:59:59Z", -1000),
    ],
)
def test_the_time_is_when_it_was_committed(date: str, at_ms: int) -> None:
    assert read_commit(branch(commit__commit__committer__date=date)).committed_at_ms == at_ms


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        "main",
        branch(name=...),
        branch(commit=None),
        branch(commit__sha="abc"),
        branch(commit__sha=SHA.upper()),
        branch(commit__sha=SHA + "\n"),
        branch(commit__commit__message=...),
        branch(commit__commit__message=7),
        branch(commit__commit__committer=None),
        branch(commit__commit__committer__date="yesterday"),
        branch(commit__author="octocat"),
        branch(commit__author={"login": "octocat"}),
        branch(commit__author=None, commit__commit__author=None),
    ],
)
def test_an_answer_that_lacks_something_is_an_outage(body: Any) -> None:
    with pytest.raises(Transient) as caught:
        read_commit(body)

    assert caught.value.reason == "GITHUB_UNAVAILABLE"
