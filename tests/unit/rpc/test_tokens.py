from hashlib import sha256

import pytest

from service.clock import now_ms
from service.errors import PermissionDenied, Unauthenticated
from service.rpc.tokens import Role, Token, Tokens, require

HOUR_MS = 3_600_000
RPCS = ("Deploy", "Rollback", "Promote", "ScaleDownIdlePreviewDeployments")


def token(text: str, role: Role = Role.OPERATE, expires_ms: int | None = None) -> Token:
    return Token(f"the {text}", role, sha256(text.encode()).digest(), expires_ms)


def refusal(tokens: Tokens, authorization: str | None) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as raised:
        tokens.find(authorization)
    return raised.value


@pytest.mark.parametrize("authorization", ["Bearer second", "bearer second", "BEARER second", "Bearer  second "])
def test_finds_a_token_by_its_text(authorization: str) -> None:
    first, second, third = (token(text) for text in ("first", "second", "third"))

    assert Tokens([first, second, third]).find(authorization) is second


@pytest.mark.parametrize(
    "authorization", [None, "", "first", "Bearer", "Bearer ", "Basic first", "Bearerfirst", " first"]
)
def test_asks_for_a_token_where_there_is_none(authorization: str | None) -> None:
    assert refusal(Tokens([token("first")]), authorization).reason == "TOKEN_MISSING"


@pytest.mark.parametrize(
    "text",
    ["second", "First", "firs", "firstt", "first first", "the first", sha256(b"first").hexdigest(), "ﬁrst", "\udc80"],
)
def test_knows_no_other_token_and_does_not_repeat_it(text: str) -> None:
    error = refusal(Tokens([token("first")]), f"Bearer {text}")

    assert error.reason == "TOKEN_UNKNOWN"
    assert (error.message, error.facts) == ("this server knows no such token", {})


def test_a_token_is_good_until_it_expires() -> None:
    late, early = token("late", expires_ms=now_ms() - 1), token("early", expires_ms=now_ms() + HOUR_MS)
    tokens = Tokens([late, early])

    assert refusal(tokens, "Bearer late").reason == "TOKEN_EXPIRED"
    assert tokens.find("Bearer early") is early


def test_no_token_is_asked_for_where_there_never_was_one() -> None:
    tokens = Tokens()
    assert not tokens.required
    tokens.replace([])
    assert not tokens.required
    tokens.replace([token("first")])
    assert tokens.required


def test_without_any_left_none_is_good_and_one_is_asked_for_still() -> None:
    tokens = Tokens([token("first")])
    tokens.replace([])

    assert tokens.required
    assert refusal(tokens, "Bearer first").reason == "TOKEN_UNKNOWN"
    assert refusal(tokens, None).reason == "TOKEN_MISSING"


def test_a_new_list_takes_the_place_of_the_old() -> None:
    tokens = Tokens([token("first", Role.DEPLOY), token("second")])
    tokens.replace([token("first", Role.READ)])

    assert tokens.find("Bearer first").role is Role.READ
    assert refusal(tokens, "Bearer second").reason == "TOKEN_UNKNOWN"


@pytest.mark.parametrize("rpc", [*RPCS, "deploy", "Deploy/", "", "OfTomorrow"])
@pytest.mark.parametrize("role", Role)
def test_a_role_is_good_for(role: Role, rpc: str) -> None:
    if role is Role.OPERATE or (role is Role.DEPLOY and rpc == "Deploy"):
        require(token("first", role), rpc)
        return
    with pytest.raises(PermissionDenied) as raised:
        require(token("first", role), rpc)
    assert raised.value.reason == "ROLE_INSUFFICIENT"
    assert raised.value.facts == {"role": role.value, "rpc": rpc}
    assert "the first" in raised.value.message


def test_a_token_shows_nothing_of_its_hash() -> None:
    hashed = token("first")

    assert repr(hashed.sha256) not in repr(hashed)
    assert hashed.sha256.hex() not in repr(hashed)
