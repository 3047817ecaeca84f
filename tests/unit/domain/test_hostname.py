"""Names are spelled as the reference spells them, always resolve, and tell apart what is different."""

import re
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.hostname import Name, NameInput, Sticky, disputed, draw_commit_suffix, names, prefix, slug

SHA = "0123456789abcdef0123456789abcdef01234567"
CYRILLIC = "\u0432\u0435\u0442\u043a\u0430"

PREVIEW = NameInput(
    project_slug="shop",
    app_slug="default",
    environment_slug="preview",
    workspace_slug="acme",
    deployment_id="d_AbCd1234",
    apex="example.app",
)


def fqdns(wanted: NameInput) -> dict[str, str]:
    return {name.sticky.value: name.fqdn for name in names(wanted)}


def branch_name(branch: str, of: NameInput = PREVIEW) -> Name:
    [name] = [name for name in names(replace(of, branch=branch)) if name.sticky is Sticky.BRANCH]
    return name


def label(name: Name) -> str:
    return name.fqdn.removesuffix(".example.app")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("main", "main"),
        ("feature/Login", "feature-login"),
        ("  spaced  out ", "spaced-out"),
        ("a/b", "a-b"),
        ("a-b", "a-b"),
        ("a__b..c", "a-b-c"),
        ("_private", "-private"),
        ("trailing!", "trailing"),
        ("x" * 90, "x" * 80),
        ("x" * 79 + "/y", "x" * 79),
        ("fix-" + CYRILLIC, "fix"),
        (CYRILLIC, ""),
        ("!!!", ""),
        ("", ""),
    ],
)
def test_slug(text: str, expected: str) -> None:
    assert slug(text) == expected


@pytest.mark.parametrize(
    ("project", "app", "fork", "expected"),
    [
        ("shop", "default", None, "shop"),
        ("shop", "default", "", "shop"),
        ("shop", "api", None, "shop-api"),
        ("shop", "default", "Jane-Doe/shop", "shop-fork-jane-doe"),
        ("shop", "api", "jane/shop", "shop-api-fork-jane"),
        ("my_shop", "a.pi", None, "my-shop-a-pi"),
        ("-shop-", "default", None, "shop"),
        ("two--dashes", "default", None, "two--dashes"),
        ("Shop", "default", None, "Shop"),
    ],
)
def test_prefix(project: str, app: str, fork: str | None, expected: str) -> None:
    assert prefix(project, app, fork) == expected


def test_names_of_a_first_preview() -> None:
    assert fqdns(PREVIEW) == {
        "environment": "shop-preview-acme.example.app",
        "deployment": "shop-dep-d-AbCd1234-acme.example.app",
    }


def test_names_of_a_git_build_in_production() -> None:
    wanted = replace(PREVIEW, environment_slug="production", app_slug="api", commit_sha=SHA, branch="feature/Login")
    assert [(name.sticky.value, name.fqdn) for name in names(wanted)] == [
        ("none", "shop-api-git-0123456-acme.example.app"),
        ("branch", "shop-api-git-feature-login-acme.example.app"),
        ("environment", "shop-api-production-acme.example.app"),
        ("live", "shop-api-acme.example.app"),
        ("deployment", "shop-api-dep-d-AbCd1234-acme.example.app"),
    ]


def test_names_of_a_fork() -> None:
    assert fqdns(replace(PREVIEW, fork_repository_full_name="Jane/shop", branch="main")) == {
        "branch": "shop-fork-jane-git-main-acme.example.app",
        "environment": "shop-fork-jane-preview-acme.example.app",
        "deployment": "shop-fork-jane-dep-d-AbCd1234-acme.example.app",
    }


def test_commit_of_an_image_carries_the_suffix() -> None:
    wanted = replace(PREVIEW, commit_sha=SHA, commit_suffix=4711)
    assert fqdns(wanted)["none"] == "shop-git-0123456-4711-acme.example.app"


def test_empty_strings_are_as_good_as_none() -> None:
    assert names(replace(PREVIEW, commit_sha="", branch="", fork_repository_full_name="")) == names(PREVIEW)


def test_commit_in_capitals_is_the_same_commit() -> None:
    assert names(replace(PREVIEW, commit_sha=SHA.upper())) == names(replace(PREVIEW, commit_sha=SHA))


def test_commit_of_an_image_is_drawn_with_four_digits() -> None:
    drawn = {draw_commit_suffix(Random(seed)) for seed in range(2000)}
    assert min(drawn) >= 1000
    assert max(drawn) <= 9999
    assert len(drawn) > 1000
    assert draw_commit_suffix(Random(5)) == draw_commit_suffix(Random(5))


def test_long_branches_with_an_equal_beginning_differ() -> None:
    one, other = (branch_name("b" * 80 + end * 120) for end in "xy")
    assert one != other
    for name in (one, other):
        assert re.fullmatch(r"shop-git-b{45}-[0-9a-f]{8}", label(name))


def test_the_longest_label_is_not_cut() -> None:
    fits = "b" * (63 - len("shop-git--acme"))
    assert label(branch_name(fits)) == f"shop-git-{fits}-acme"
    assert re.fullmatch(r"shop-git-b{45}-[0-9a-f]{8}", label(branch_name(fits + "b")))


def test_cut_at_a_dash_leaves_one_dash() -> None:
    cut = label(branch_name("b" * 44 + "/" + "c" * 40))
    assert re.fullmatch(r"shop-git-b{44}-[0-9a-f]{8}", cut)


def test_cut_names_of_different_apps_differ() -> None:
    long = replace(PREVIEW, project_slug="p" * 100)
    others = [
        replace(long, app_slug="api"),
        replace(long, workspace_slug="umbrella"),
        replace(long, project_slug="p" * 101),
        replace(long, fork_repository_full_name="jane/shop"),
    ]
    assert len({branch_name("main", of).fqdn for of in [long, *others]}) == 5


def test_branch_without_a_slug_is_known_by_its_hash() -> None:
    assert re.fullmatch(r"shop-git-[0-9a-f]{8}-acme", label(branch_name(CYRILLIC)))
    assert branch_name(CYRILLIC) == branch_name(CYRILLIC)
    assert branch_name(CYRILLIC).fqdn != branch_name(CYRILLIC * 2).fqdn


@pytest.mark.parametrize("branch", ["0123456", "ABCDEF0", "0123456-4711"])
def test_branch_that_looks_like_a_commit_is_told_apart(branch: str) -> None:
    assert re.fullmatch(rf"shop-git-{branch.lower()}-[0-9a-f]{{8}}-acme", label(branch_name(branch)))


@pytest.mark.parametrize("branch", ["012345", "01234567", "0123456-471", "012345g", "0123456-4711-1"])
def test_branch_that_is_only_nearly_a_commit_keeps_its_slug(branch: str) -> None:
    assert label(branch_name(branch)) == f"shop-git-{branch}-acme"


def test_commit_that_is_no_sha_is_known_by_its_hash() -> None:
    wanted = replace(PREVIEW, commit_sha="main", branch="main")
    assert re.fullmatch(r"shop-git-[0-9a-f]{7}-acme.example.app", fqdns(wanted)["none"])


@pytest.mark.parametrize("environment", ["git-main", "Dep-x", "git_main"])
def test_environment_that_looks_like_another_family_is_told_apart(environment: str) -> None:
    name = fqdns(replace(PREVIEW, environment_slug=environment))["environment"]
    mended = environment.replace("_", "-")
    assert re.fullmatch(rf"shop-[0-9a-f]{{8}}-{mended}-acme.example.app", name)


def test_equal_slugs_need_the_dispute() -> None:
    """Two branches, two workspaces: the plain names are equal, the alternatives are not."""
    one, other = branch_name("a/b"), branch_name("a-b")
    assert one.fqdn == other.fqdn == "shop-git-a-b-acme.example.app"
    assert disputed(one, "app_1").fqdn != disputed(other, "app_1").fqdn

    left = names(replace(PREVIEW, project_slug="a-b", workspace_slug="c"))[0]
    right = names(replace(PREVIEW, project_slug="a", environment_slug="b-preview", workspace_slug="c"))[0]
    assert left.fqdn == right.fqdn
    assert disputed(left, "app_1").fqdn != disputed(right, "app_1").fqdn


def test_disputed_name_keeps_its_label_and_gets_a_hash() -> None:
    name = branch_name("main")
    other = disputed(name, "app_2")
    assert re.fullmatch(r"shop-git-main-acme-[0-9a-f]{8}\.example\.app", other.fqdn)
    assert (other.sticky, other.identity) == (name.sticky, name.identity)


def test_disputed_name_depends_on_owner_and_name_alone() -> None:
    name = branch_name("main")
    assert disputed(name, "app_2") == disputed(branch_name("main"), "app_2")
    assert disputed(name, "app_2") != disputed(name, "app_3")


def test_alternative_that_is_held_too_has_an_alternative() -> None:
    first = disputed(branch_name("b" * 200), "app_2")
    second = disputed(first, "app_2")
    third = disputed(second, "app_2")
    assert len({first.fqdn, second.fqdn, third.fqdn}) == 3
    assert all(len(label(name)) <= 63 for name in (first, second, third))


LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")

texts = st.one_of(
    st.text(max_size=100),
    st.text("abcAB019-_/. ", max_size=100),
    st.from_regex(r"[0-9a-f]{7}", fullmatch=True),
)
slugs = st.from_regex(r"[a-z][a-z0-9]{0,3}(-[a-z0-9]{1,40})?", fullmatch=True)
optional = st.none() | texts
inputs = st.builds(
    NameInput,
    project_slug=slugs | texts,
    app_slug=st.just("default") | slugs | texts,
    environment_slug=st.sampled_from(["production", "preview", "git-main", "dep-d"]) | texts,
    workspace_slug=slugs | texts,
    deployment_id=st.from_regex(r"d_[A-Za-z0-9]{8}", fullmatch=True) | texts,
    apex=st.just("example.app"),
    commit_sha=optional,
    commit_suffix=st.none() | st.integers(1000, 9999),
    branch=optional,
    fork_repository_full_name=optional,
)


@given(inputs, texts)
def test_every_label_is_a_label(wanted: NameInput, owner_key: str) -> None:
    for name in names(wanted):
        for each in (name, disputed(name, owner_key)):
            assert each.fqdn.endswith(".example.app")
            assert LABEL.fullmatch(label(each)), each


@given(inputs)
def test_names_repeat_and_never_meet(wanted: NameInput) -> None:
    made = names(wanted)
    assert made == names(wanted)
    assert len({name.fqdn.lower() for name in made}) == len(made)
    assert len({name.identity for name in made}) == len(made)


@given(inputs, texts.filter(bool), texts.filter(bool))
def test_branches_with_different_slugs_have_different_names(of: NameInput, one: str, other: str) -> None:
    same_slug = slug(one) == slug(other)
    if one == other:
        assert branch_name(one, of) == branch_name(other, of)
    elif not same_slug:
        assert branch_name(one, of).fqdn != branch_name(other, of).fqdn
    assert (one == other) == (branch_name(one, of).identity == branch_name(other, of).identity)


@given(inputs, st.text(max_size=200), st.text(max_size=200))
def test_owners_in_dispute_have_different_names(wanted: NameInput, one: str, other: str) -> None:
    for name in names(wanted):
        assert (disputed(name, one) == disputed(name, other)) == (one == other)
