"""What a request says of its source is refused where it could mean something else to git or to the builder."""

import shutil
import subprocess
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

import pytest
from hydra.v1 import deploy_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.build import GitSource
from service.domain.git import context_url, git_host, git_ref, git_source, is_commit, is_repository
from service.errors import InvalidArgument

SHA = "0123456789abcdef0123456789abcdef01234567"
CYRILLIC = "\u0432\u0435\u0442\u043a\u0430"
GITHUB = "https://github.com"
HOSTILE = ["a#b", "a:b", "a..b", "..", "a b", "a\tb", "a\nb", "a\x00b", "a\x7fb", "a@b", "a\\b", "a\u202eb", "a\u00a0b"]


@dataclass
class Wanted:
    repository: str = "acme/shop"
    commit_sha: str = ""
    branch: str = "main"
    context_path: str = ""
    dockerfile_path: str = ""
    pr_number: int = 0
    installation_id: int = 7


def refusal(wanted: Wanted) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        git_source(wanted)
    return caught.value


def test_a_message_of_the_contract_is_taken() -> None:
    message = deploy_pb2.GitSource(
        installation_id=42,
        repository="acme/shop",
        commit_sha=SHA.upper(),
        context_path="/apps/web/",
        dockerfile_path="./docker/web.Dockerfile",
        branch="feature/login",
        pr_number=9,
    )
    assert git_source(message) == GitSource(
        repository="acme/shop",
        commit_sha=SHA,
        branch="feature/login",
        context_path="apps/web",
        dockerfile_path="docker/web.Dockerfile",
        pull_request=9,
        installation_id=42,
    )


@pytest.mark.parametrize(
    "repository", ["acme/shop", "a/b", "Acme-Inc/shop.js", "_/-", "a.b/.github", "x" * 39 + "/" + "y" * 100]
)
def test_good_repository(repository: str) -> None:
    assert git_source(Wanted(repository)).repository == repository


@pytest.mark.parametrize(
    ("repository", "message"),
    [
        ("", "git.repository is empty: give owner/name"),
        ("shop", "git.repository 'shop' is not owner/name"),
        ("acme/shop/web", "is not owner/name"),
        ("acme/", "is not owner/name"),
        ("/shop", "is not owner/name"),
        ("acme/..", "is not owner/name"),
        ("./shop", "is not owner/name"),
        ("acme/shop.git", "ends in .git: leave that out"),
        ("acme/shop.GIT", "ends in .git: leave that out"),
        ("https://github.com/acme/shop", "is not owner/name"),
        ("git@github.com:acme/shop", "is not owner/name"),
        ("acme/shop\n", r"git.repository 'acme/shop\n' is not owner/name"),
        ("acme/\u0455hop", r"git.repository 'acme/\u0455hop' is not owner/name"),
        ("acme/shop%2e", "is not owner/name"),
        ("x" * 40 + "/" + "y" * 100, "has 141 characters, at most 140 are possible"),
        *[(f"acme/{value}", "is not owner/name") for value in HOSTILE if value != "a..b"],
    ],
)
def test_bad_repository(repository: str, message: str) -> None:
    error = refusal(Wanted(repository))
    assert message in error.message
    assert error.facts == {"field": "git.repository"}


@pytest.mark.parametrize(
    ("sha", "message"),
    [
        (SHA[:7], "git.commit_sha '0123456' is not a whole commit id: give all 40 hexadecimal digits"),
        (SHA + "0", "is not a whole commit id"),
        (SHA + SHA[:24], "is not a whole commit id"),
        ("main", "is not a whole commit id"),
        (f"{SHA}\n", "is not a whole commit id"),
        (f" {SHA}", "is not a whole commit id"),
        (SHA[:-1] + "g", "is not a whole commit id"),
        (SHA[:-1] + "\u0661", "is not a whole commit id"),
        (SHA[:-2] + ":x", "is not a whole commit id"),
    ],
)
def test_bad_commit(sha: str, message: str) -> None:
    error = refusal(Wanted(commit_sha=sha))
    assert message in error.message
    assert error.facts == {"field": "git.commit_sha"}


GOOD_BRANCHES = [
    "main",
    "feature/login",
    "release-1.2",
    "a/b/c",
    "fix_it+now",
    "v1.0",
    CYRILLIC,
    "dependabot/npm_and_yarn/web/lodash-4.17.21",
    "it's,50%(off)!",
    "x" * 256,
]


@pytest.mark.parametrize("branch", GOOD_BRANCHES)
def test_good_branch(branch: str) -> None:
    assert git_source(Wanted(branch=branch)).branch == branch


@pytest.mark.parametrize(
    ("branch", "message"),
    [
        (" main", "git.branch ' main' contains white space or a control character"),
        ("main\n", r"git.branch 'main\n' contains white space or a control character"),
        ("fix#1", "git.branch 'fix#1' contains #: give the branch's name alone, or rename it"),
        ("@", "contains @"),
        ("a@{1}", "contains @"),
        ("https://github.com/acme/shop", "contains :"),
        ("a~1", "contains ~"),
        ("a^", "contains ^"),
        ("a?", "contains ?"),
        ("a*", "contains *"),
        ("a[1]", "contains ["),
        ("-d", "starts with -"),
        ("a.", "ends in ."),
        ("HEAD", "is HEAD"),
        ("/a", "a part between slashes is empty"),
        ("a/", "a part between slashes is empty"),
        ("a//b", "a part between slashes is empty"),
        ("a/.b", "starts with ."),
        (".a", "starts with ."),
        ("a.lock", "ends in .lock"),
        ("a.lock/b", "ends in .lock"),
        ("x" * 257, "has 257 characters, at most 256 fit"),
        *[(value, "git.branch ") for value in HOSTILE],
    ],
)
def test_bad_branch(branch: str, message: str) -> None:
    error = refusal(Wanted(branch=branch, commit_sha=SHA))
    assert message in error.message
    assert error.facts == {"field": "git.branch"}


def git_takes(branch: str) -> bool:
    git = shutil.which("git")
    assert git, "git is not installed"
    checked = subprocess.run([git, "check-ref-format", "--branch", branch], capture_output=True, check=False)  # noqa: S603 - git's own word
    return checked.returncode == 0


@settings(max_examples=200, deadline=None)
@given(st.text("ab/.-~@{^:lock\\ \u00e9", min_size=1, max_size=8))
def test_no_branch_passes_that_git_would_refuse(branch: str) -> None:
    try:
        git_source(Wanted(branch=branch))
    except InvalidArgument:
        return
    assert git_takes(branch)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ""),
        (".", ""),
        ("./", ""),
        ("/", ""),
        ("  apps/web ", "apps/web"),
        ("/apps/web", "apps/web"),
        ("apps/web/", "apps/web"),
        ("./apps/./web", "apps/web"),
        ("/./apps", "apps"),
        (".config/build_1-x+y,z=1~", ".config/build_1-x+y,z=1~"),
        ("...", "..."),
        (CYRILLIC, CYRILLIC),
        ("x" * 500, "x" * 500),
    ],
)
def test_good_directory(path: str, expected: str) -> None:
    assert git_source(Wanted(context_path=path)).context_path == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "Dockerfile"),
        ("./Dockerfile", "Dockerfile"),
        ("/Dockerfile.prod", "Dockerfile.prod"),
        (" docker/web.Dockerfile ", "docker/web.Dockerfile"),
    ],
)
def test_good_dockerfile(path: str, expected: str) -> None:
    assert git_source(Wanted(dockerfile_path=path)).dockerfile_path == expected


@pytest.mark.parametrize("name", ["context_path", "dockerfile_path"])
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("..", "leaves its directory: take out the .."),
        ("a/../b", "leaves its directory"),
        ("/../b", "leaves its directory"),
        ("a//b", "is not a plain path"),
        ("//a", "is not a plain path"),
        ("%2e%2e/b", "is not a plain path"),
        ("https://example.com/a", "is not a plain path"),
        ("C:\\a", "is not a plain path"),
        ("a\n", "is not a plain path"),
        ("$HOME", "is not a plain path"),
        ("x" * 501, "has 501 characters, at most 500 fit"),
        *[(f"x/{value}", "git.") for value in HOSTILE if value != "a..b"],
    ],
)
def test_bad_path(name: str, path: str, message: str) -> None:
    wanted = Wanted()
    setattr(wanted, name, path)
    error = refusal(wanted)
    assert message in error.message
    assert error.facts == {"field": f"git.{name}"}


def test_a_dockerfile_is_no_directory() -> None:
    assert "is not a plain path" in refusal(Wanted(dockerfile_path="docker/")).message


@pytest.mark.parametrize(("name", "value"), [("pr_number", -1), ("pr_number", 2**31), ("installation_id", -1)])
def test_bad_number(name: str, value: int) -> None:
    wanted = Wanted()
    setattr(wanted, name, value)
    error = refusal(wanted)
    assert error.message == f"git.{name} is {value}: give one from 1 on, or 0 for none"
    assert error.facts == {"field": f"git.{name}"}


@pytest.mark.parametrize("wanted", [Wanted(branch="", commit_sha=SHA), Wanted(branch="", pr_number=1), Wanted()])
def test_a_commit_a_branch_or_a_pull_request_is_enough(wanted: Wanted) -> None:
    git_source(wanted)


def test_something_must_say_what_to_build() -> None:
    error = refusal(Wanted(branch=""))
    assert error.reason == "SOURCE_INCOMPLETE"
    assert error.facts == {"field": "git.commit_sha"}


TEXT = st.text(max_size=12) | st.text("aZ0./-_:#@% ~\\\n", max_size=12)


@given(st.builds(Wanted, *[TEXT] * 5, st.integers(), st.integers()))
def test_a_refusal_is_plain_and_repeats_no_credentials(wanted: Wanted) -> None:
    wanted.repository = f"https://jane:hunter2@{wanted.repository}"
    message = refusal(wanted).message
    assert message.isascii()
    assert message.isprintable()
    assert "hunter2" not in message
    assert len(message) < 1000


def as_buildkit_reads(url: str) -> tuple[str, str, str]:
    """Take a git context apart as BuildKit's gitutil does: remote, ref, directory."""
    remote, _, fragment = url.partition("#")
    ref, _, below = unquote(fragment).partition(":")
    kept: list[str] = []
    for segment in below.split("/"):
        if segment == "..":
            kept = kept[:-1]
        elif segment not in ("", "."):
            kept.append(segment)
    return remote, ref, "/".join(kept)


def assert_meaning_is_kept(wanted: Wanted) -> None:
    """Where it passes at all, the builder reads what was meant."""
    try:
        source = git_source(wanted)
    except InvalidArgument:
        return
    url = context_url(GITHUB, replace(source, commit_sha=source.commit_sha or SHA))
    ref = f"refs/pull/{wanted.pr_number}/head" if wanted.pr_number else SHA
    assert as_buildkit_reads(url) == (f"https://github.com/{wanted.repository}.git", ref, source.context_path)
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.query) == ("https", "github.com", "")
    assert parts.path.count("/") == 2
    assert [part for part in parts.path.split("/") if part in {".", ".."}] == []


@settings(max_examples=300)
@given(st.text("a.-_/%#", max_size=5) | TEXT, st.integers(0, 1))
def test_no_repository_changes_the_meaning_of_the_address(name: str, pull: int) -> None:
    assert_meaning_is_kept(Wanted(f"acme/{name}", pr_number=pull))
    assert_meaning_is_kept(Wanted(f"{name}/shop", pr_number=pull))


@settings(max_examples=300)
@given(st.text("a.%2e3/:#", max_size=6) | TEXT, st.integers(0, 1))
def test_no_directory_changes_the_meaning_of_the_address(path: str, pull: int) -> None:
    assert_meaning_is_kept(Wanted(context_path=path, pr_number=pull))


@given(st.text("0aF#:", min_size=38, max_size=41) | TEXT)
def test_no_commit_changes_the_meaning_of_the_address(sha: str) -> None:
    try:
        source = git_source(Wanted(commit_sha=sha))
    except InvalidArgument:
        return
    url = context_url(GITHUB, replace(source, commit_sha=source.commit_sha or SHA))
    assert as_buildkit_reads(url)[1:] == (sha.lower() or SHA, "")


SOURCE = GitSource("acme/shop", SHA, "main")


def test_address_of_a_commit() -> None:
    assert context_url(GITHUB, SOURCE) == f"https://github.com/acme/shop.git#{SHA}"


def test_address_of_a_directory() -> None:
    source = replace(SOURCE, context_path="apps/web")
    assert context_url("https://git.example.com:8443/git/", source) == (
        f"https://git.example.com:8443/git/acme/shop.git#{SHA}:apps/web"
    )


def test_a_pull_request_goes_before_its_commit() -> None:
    source = replace(SOURCE, pull_request=12, context_path="web")
    assert git_ref(source) == "refs/pull/12/head"
    assert context_url(GITHUB, source) == "https://github.com/acme/shop.git#refs/pull/12/head:web"


def test_a_branch_is_never_fetched_by_name() -> None:
    with pytest.raises(ValueError, match="acme/shop is not known yet"):
        context_url(GITHUB, replace(SOURCE, commit_sha=""))


@pytest.mark.parametrize(
    ("clone_url", "host"),
    [
        ("https://github.com", "github.com"),
        ("https://git.example.com:8443/git/", "git.example.com:8443"),
        ("http://127.0.0.1:3000", "127.0.0.1:3000"),
        ("https://[2001:db8::1]:3000/", "[2001:db8::1]:3000"),
    ],
)
def test_host_that_a_token_is_for(clone_url: str, host: str) -> None:
    assert git_host(clone_url) == host


@pytest.mark.parametrize("text", ["acme/shop", "A-c_m.e/s.h-o_p", "acme/.github"])
def test_what_a_repository_is_called(text: str) -> None:
    assert is_repository(text)


@pytest.mark.parametrize(
    "text", ["", "acme", "acme/shop/x", "acme/..", "../shop", "acme/s hop", "acme/shop?x", "a/" + "b" * 140]
)
def test_what_none_is_called(text: str) -> None:
    assert not is_repository(text)


def test_a_commit_is_named_in_full() -> None:
    assert is_commit("0123456789abcdef" * 2 + "01234567")
    assert not any(map(is_commit, ("", "0123456", "main", "g" * 40)))
