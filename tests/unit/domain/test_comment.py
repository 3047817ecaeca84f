"""The comment keeps one line per project, app and environment, and shows what anybody wrote without obeying it."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, permutations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from service.domain.comment import MARKER, Line, Row, body_of, line_of, lines_in, merge
from service.domain.markdown import one_line

LIMIT = 65_536
MONDAY_MS = 1795395723000  # 2026-11-23 01:02:03 UTC
SHA = "0123456789abcdef0123456789abcdef01234567"
SEEN = "\u200b"  # what keeps GitHub from finding a reference

ROW = Row(
    project="shop",
    app="default",
    environment="preview",
    deployment_id="d_1",
    created_at_ms=MONDAY_MS - 90_000,
    status="Ready",
    description="",
    preview_url="https://shop-preview-acme.example.app",
    inspect_url="https://dash.example.com/acme/projects/proj_shop/deployments/d_1",
    commit_sha=SHA,
    commit_url=f"https://github.com/acme/shop/commit/{SHA}",
    updated_at_ms=MONDAY_MS,
)
REFERENCE_LINE = (
    "| <!-- row:default:preview --> **default** (preview) | Ready | [Visit](https://old.example.app) "
    "| [Inspect](https://dash.example.com/acme/projects/proj_shop/deployments/d_0) | Nov 22, 2026 |"
)

ANY_TEXT = (
    st.text(st.characters(exclude_categories=()), max_size=40)
    | st.sampled_from(
        ["", "\ud83d", "--", "->", "a:b", "-->", "\\|", "`", "<b>", "\n| a | b |\n", "%2D", "$x$", "**", "&#124;"]
    )
    | st.builds("https://a.example/{}".format, st.text(max_size=20))
    | st.sampled_from(["Ready", "Failed"])
)
SLUGS = st.sampled_from(["shop", "api", "a--b"])
INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
ANY_ROW = st.builds(Row, *([ANY_TEXT] * 4), INT64, *([ANY_TEXT] * 6), INT64)


@st.composite
def reports(draw: st.DrawFn) -> Line:
    """Draw a line as the platform writes them: a project has one page, and a few deployments report at a few times."""
    project, age = draw(SLUGS), draw(st.integers(0, 3))
    about = replace(ROW, project=project, app=draw(SLUGS), environment=draw(SLUGS), deployment_id=f"d_{age}")
    page = f"https://dash.example.com/acme/projects/proj_{project}/deployments/d_{age}"
    return line_of(replace(about, created_at_ms=age, updated_at_ms=draw(st.integers(0, 9)), inspect_url=page))


def reference_line(app: str, environment: str, project: str) -> Line:
    page = f"[Inspect](https://dash.example.com/acme/projects/proj_{project}/deployments/d_0)" if project else "—"
    [line] = lines_in(f"| <!-- row:{app}:{environment} --> {app} | Ready | {page} |")
    return line


REPORTS = st.lists(reports(), max_size=6)
LINES = st.lists(
    reports() | st.builds(reference_line, SLUGS, SLUGS, st.sampled_from(["", "shop", "api", "gone"])), max_size=6
)


def cells(body: str) -> list[list[Sequence[Token]]]:
    """Read the table's rows below its head as an independent reader of Markdown does: per cell, what is in it."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(body)
    rows: list[list[Sequence[Token]]] = []
    for before, token in pairwise(tokens):
        if token.type == "tr_open":
            rows.append([])
        if before.type in ("th_open", "td_open"):
            rows[-1].append(token.children or [])
    return rows[1:]


def text_of(cell: Sequence[Token]) -> str:
    return "".join(token.content for token in cell if token.type in ("text", "text_special")).replace(SEEN, "")


def status_cell(description: str, status: str = "Failed") -> str:
    return line_of(replace(ROW, status=status, description=description)).text.split(" | ")[1]


GOLDEN = """\
<!-- unkey-deploy -->
### Deployments

| App | Status | Preview | Inspect | Commit | Updated (UTC) |
| :-- | :-- | :-- | :-- | :-- | :-- |
| <!-- row:blog:default:preview d_4 1795395720000 1795395723000 --> **blog**<br>preview | ⏳ Queued | — | \
[Inspect](https://dash.example.com/acme/projects/proj_blog/deployments/d_4) | — | 2026-11-23 01:02:03 |
| <!-- row:shop:default:preview d_1 1795395633000 1795395723000 --> **shop**<br>preview | ✅ Ready | \
[Visit](https://shop-preview-acme.example.app) | \
[Inspect](https://dash.example.com/acme/projects/proj_shop/deployments/d_1) | \
[`0123456`](https://github.com/acme/shop/commit/0123456789abcdef0123456789abcdef01234567) | 2026-11-23 01:02:03 |
| <!-- row:shop:api:preview d_2 1795395633000 1795395693000 --> **shop/api**<br>preview | ❌ Failed<br><sub>npm run \
build:&#8203; exit code 1 &#124; see &#60;App&#62; by @&#8203;octocat in #&#8203;12</sub> | — | \
[Inspect](https://dash.example.com/acme/projects/proj_shop/deployments/d_2) | \
[`0123456`](https://github.com/acme/shop/commit/0123456789abcdef0123456789abcdef01234567) | 2026-11-23 01:01:33 |
| <!-- row:shop:worker:preview d_3 1795395633000 1795395663000 --> **shop/worker**<br>preview | 🔄 In Progress<br><sub>\
1 of 2 regions healthy</sub> | — | [Inspect](https://dash.example.com/acme/projects/proj_shop/deployments/d_3) | \
[`0123456`](https://github.com/acme/shop/commit/0123456789abcdef0123456789abcdef01234567) | 2026-11-23 01:01:03 |"""


def test_the_whole_comment() -> None:
    failed = replace(
        ROW,
        app="api",
        deployment_id="d_2",
        status="Failed",
        description="npm run build:\nexit code 1 | see <App> by @octocat in #12",
        inspect_url=ROW.inspect_url.replace("d_1", "d_2"),
        updated_at_ms=MONDAY_MS - 30_000,
    )
    going_on = replace(
        ROW,
        app="worker",
        deployment_id="d_3",
        status="In Progress",
        description="1 of 2 regions healthy",
        inspect_url=ROW.inspect_url.replace("d_1", "d_3"),
        updated_at_ms=MONDAY_MS - 60_000,
    )
    queued = replace(
        ROW,
        project="blog",
        deployment_id="d_4",
        created_at_ms=MONDAY_MS - 3_000,
        status="Queued",
        inspect_url="https://dash.example.com/acme/projects/proj_blog/deployments/d_4",
        commit_sha="",
    )
    assert body_of(merge(map(line_of, [going_on, ROW, queued, failed]))) == GOLDEN


@pytest.mark.parametrize(
    ("description", "shown"),
    [
        ("a | b", "a &#124; b"),
        ("a \\| b \\", "a &#92;&#124; b &#92;"),
        ("`rm` *now* __all__ ~~s~~", "&#96;rm&#96; &#42;now&#42; &#95;&#95;all&#95;&#95; &#126;&#126;s&#126;&#126;"),
        ("[a](b) ![c](d)", "&#91;a&#93;(b) !&#91;c&#93;(d)"),
        ("<!-- x --> &lt;", "&#60;!-- x --&#62; &#38;lt;"),
        ("one\r\ntwo\n\n\tthree\u2028four\x0bfive", "one two three four five"),
        ("\x00no\x1b control\x7f \u202eor\u200b format \ud83d", "no control or format"),
        ("@octocat @acme/team a@b.co", "@&#8203;octocat @&#8203;acme/team a@&#8203;b.co"),
        ("#12 acme/shop#3 GH-4 gh-5", "#&#8203;12 acme/shop#&#8203;3 GH&#8203;-4 gh&#8203;-5"),
        ("https://github.com/acme/shop/issues/1", "https:&#8203;//github.com/acme/shop/issues/1"),
        ("www.example.com", "www&#8203;.example.com"),
        ("at 0123456 or abcdef", "at 012345&#8203;6 or abcdef"),
        (SHA.upper(), "&#8203;".join(re.findall(".{1,6}", SHA.upper()))),
        (":tada: $x$", ":&#8203;tada:&#8203; <span>&#36;</span>x<span>&#36;</span>"),
        ("x" * 400, "x" * 400),
        ("x" * 401, "x" * 399 + "…"),
        ("<" * 100_000, "&#60;" * 399 + "…"),
        ("y" * 398 + " " + "z" * 9, "y" * 398 + "…"),
    ],
)
def test_description(description: str, shown: str) -> None:
    assert status_cell(description) == f"❌ Failed<br><sub>{shown}</sub>"


@pytest.mark.parametrize(
    ("status", "cell"),
    [
        ("Queued", "⏳ Queued<br><sub>why</sub>"),
        ("Building", "🔨 Building<br><sub>why</sub>"),
        ("In Progress", "🔄 In Progress<br><sub>why</sub>"),
        ("Ready", "✅ Ready"),
        ("Failed", "❌ Failed<br><sub>why</sub>"),
        ("Inactive", "💤 Inactive<br><sub>why</sub>"),
        ("<New>", "&#60;New&#62;<br><sub>why</sub>"),
    ],
)
def test_status(status: str, cell: str) -> None:
    assert status_cell("why", status) == cell


def test_a_status_without_a_description_stands_alone() -> None:
    assert status_cell("") == "❌ Failed"
    assert status_cell("\x00 \n") == "❌ Failed"


@pytest.mark.parametrize("status", ["Queued", "Building", "Failed", "In Progress", "Inactive"])
def test_nothing_is_visited_before_it_is_ready(status: str) -> None:
    assert ROW.preview_url in line_of(ROW).text
    assert ROW.preview_url not in line_of(replace(ROW, status=status)).text


@pytest.mark.parametrize(
    ("url", "cell"),
    [
        ("", "—"),
        ("javascript:alert(1)", "—"),
        ("//example.com", "—"),
        ("https://", "—"),
        (" https://example.com", "—"),
        ("HTTP://example.com", "[Inspect](HTTP://example.com)"),
        ("https://a.example/b?c=1&d=%20#e", "[Inspect](https://a.example/b?c=1&d=%20#e)"),
        ("https://a.example/x) | <b> `y`\n\\", "[Inspect](https://a.example/x%29%20%7C%20%3Cb%3E%20%60y%60%0A%5C)"),
        ("https://a.example/&copy;[z]@y$", "[Inspect](https://a.example/&copy%3B%5Bz%5D%40y%24)"),
        ("https://a.example/\u00e9\ud83d", "[Inspect](https://a.example/%C3%A9?)"),
    ],
)
def test_address(url: str, cell: str) -> None:
    assert line_of(replace(ROW, inspect_url=url)).text.split(" | ")[3] == cell


@pytest.mark.parametrize(
    ("sha", "url", "cell"),
    [
        (SHA, "", "`0123456`"),
        (SHA.upper()[10:], "https://a.example", "[`abcdef0`](https://a.example)"),
        ("", "https://a.example", "—"),
        ("012345", "https://a.example", "—"),
        ("main`|`", "https://a.example", "—"),
    ],
)
def test_commit(sha: str, url: str, cell: str) -> None:
    assert line_of(replace(ROW, commit_sha=sha, commit_url=url)).text.split(" | ")[4] == cell


@pytest.mark.parametrize(
    ("updated_at_ms", "cell"),
    [
        (MONDAY_MS + 999, "2026-11-23 01:02:03"),
        (1, "1970-01-01 00:00:00"),
        (253_402_300_799_999, "9999-12-31 23:59:59"),
        (253_402_300_800_000, "—"),
        (0, "—"),
        (-(2**63), "—"),
    ],
)
def test_time(updated_at_ms: int, cell: str) -> None:
    assert line_of(replace(ROW, updated_at_ms=updated_at_ms)).text.endswith(f" | {cell} |")


def test_names_are_shown_and_marked_whatever_they_are() -> None:
    line = line_of(replace(ROW, project="a--b\n", app="|:>", environment=""))
    assert line.text.startswith("| <!-- row:a-%2Db%0A:%7C%3A%3E: d_1 ")
    assert " --> **a--b /&#124;:&#8203;&#62;**<br> | " in line.text
    assert lines_in(line.text) == (line,)


def test_what_is_no_line_is_passed_over() -> None:
    line = line_of(ROW)
    text = f"""{MARKER}\r
<!-- row:default:preview -->
<!-- row:shop:default:preview d_1 1 2 -->
| <!-- row:shop:default:preview d_1 1 {"9" * 5000} --> too old to be true |
| <!-- row:shop:default:preview d_1 --> half a mark |
| nothing | at | all |\r
  {line.text}\r

{MARKER}"""
    assert lines_in(text) == (line,)
    assert lines_in("") == ()


def test_a_line_of_the_reference_is_kept_as_it_is() -> None:
    [line] = lines_in(f"{MARKER}\n| Name |\n|---|\n{REFERENCE_LINE}\n")
    assert line == Line(None, "default", "preview", "", 0, 0, REFERENCE_LINE)
    other = line_of(replace(ROW, app="api"))
    assert merge([line], [other]) == (line, other)
    assert lines_in(body_of([line, other])) == (line, other)


def test_a_line_of_the_reference_is_taken_over_by_ours_alone() -> None:
    ours = line_of(ROW)
    same = lines_in(REFERENCE_LINE)
    others = lines_in(REFERENCE_LINE.replace("proj_shop", "proj_blog"))
    unknown = lines_in(REFERENCE_LINE.replace("/projects/", "/p/"))
    for old, kept in ((same, ()), (others, others), (unknown, ())):
        assert merge(old, [ours]) == merge([ours], old) == (*kept, ours)
    nameless = line_of(replace(ROW, project="", created_at_ms=-1, inspect_url=""))
    assert merge([nameless], unknown) == (nameless,)
    # Nothing but the link to the dashboard says which project's page it is.
    planted = replace(ROW, status="Failed", description="see /projects/proj_blog/", commit_url="https://x/projects/y/z")
    assert line_of(planted).page == "proj_shop"


def test_projects_of_one_name_are_told_apart_by_their_ids() -> None:
    lines = [line_of(replace(ROW, project_id=project_id)) for project_id in ("proj_b", "proj_a")]

    assert [line.project for line in merge(lines)] == ["proj_a", "proj_b"]
    assert {line.name for line in lines} == {"**shop**<br>preview"}
    assert lines_in(body_of(lines)) == tuple(lines)


def test_two_apps_of_two_projects_with_equal_names_keep_their_lines() -> None:
    rows = [
        replace(ROW, project=project, app=app, deployment_id=f"d_{project}_{app}")
        for project in ("blog", "shop")
        for app in ("default", "api")
    ]
    kept: tuple[Line, ...] = ()
    for row in [*reversed(rows), *rows]:
        kept = merge(lines_in(body_of(kept)), [line_of(row)])
    assert kept == tuple(map(line_of, rows))


def test_the_newest_deployment_keeps_the_line_however_reports_arrive() -> None:
    old_failed = replace(ROW, status="Failed", updated_at_ms=MONDAY_MS + 60_000)
    new_queued = replace(ROW, deployment_id="d_2", created_at_ms=MONDAY_MS, status="Queued")
    new_ready = replace(new_queued, status="Ready", updated_at_ms=MONDAY_MS + 30_000)
    for arrived in permutations((ROW, old_failed, new_queued, new_ready)):
        kept: tuple[Line, ...] = ()
        for row in arrived:
            kept = merge(kept, [line_of(row)])
        assert kept == (line_of(new_ready),)


def test_of_a_full_tie_the_later_source_is_kept() -> None:
    one, other = line_of(ROW), line_of(replace(ROW, status="Failed"))
    assert merge([one], [other]) == (other,)
    assert merge([other], [one]) == (one,)


def test_reports_of_one_millisecond_do_not_take_turns() -> None:
    later = line_of(replace(ROW, updated_at_ms=MONDAY_MS + 1))
    twin = line_of(replace(ROW, deployment_id="d_2"))
    assert merge([later], [twin]) == merge([twin], [later]) == (twin,)


def test_lines_updated_longest_ago_give_way() -> None:
    lines = merge(
        line_of(replace(ROW, app=f"app-{number:03}", updated_at_ms=MONDAY_MS + number * 7919 % 300))
        for number in range(300)
    )
    body = body_of(lines)
    shown = lines_in(body)
    hidden = set(lines) - set(shown)
    assert LIMIT - 500 < len(body) <= LIMIT
    assert shown == tuple(line for line in lines if line in shown)
    assert max(line.updated_at_ms for line in hidden) < min(line.updated_at_ms for line in shown)
    assert body.endswith(f"|\n\nRows not shown for lack of space, the least recently updated: {len(hidden)}")
    assert body == body_of(lines)


def test_a_comment_of_just_the_limit_is_whole() -> None:
    [old] = lines_in(REFERENCE_LINE)
    room = LIMIT - len(body_of([old]))
    fits = replace(old, text=f"{REFERENCE_LINE[:-1]}{'x' * room}|")
    assert len(body_of([fits])) == LIMIT
    assert lines_in(body_of([fits])) == (fits,)
    one_more = replace(old, text=f"{REFERENCE_LINE[:-1]}{'x' * (room + 1)}|")
    assert lines_in(body_of([one_more])) == ()
    assert body_of([one_more]).endswith(": 1")


@given(st.lists(ANY_ROW, max_size=5))
def test_a_comment_reads_back_as_it_was_written(rows: list[Row]) -> None:
    lines = merge(map(line_of, rows))
    assert lines_in(body_of(lines)) == lines
    assert lines_in("\n".join(line.text for line in lines)) == lines
    assert body_of(lines_in(body_of(lines))) == body_of(lines)


@given(LINES)
def test_a_comment_with_old_lines_reads_back_too(lines: list[Line]) -> None:
    assert lines_in(body_of(merge(lines))) == merge(lines)


@given(ANY_ROW)
@example(replace(ROW, status="Failed", description="| x\\|", project="\\", inspect_url="https://a.example/\\|"))
@example(replace(ROW, preview_url="https://a.example/)|", commit_url="https://a.example/\n|"))
def test_no_row_adds_or_removes_a_column_or_a_line(row: Row) -> None:
    line = line_of(row)
    assert line.text.count("|") == 7
    assert len(line.text.splitlines()) == 1
    [read] = cells(body_of([line]))
    assert len(read) == 6
    mark, *_ = read[0]
    assert mark.content.startswith("<!-- ")
    assert "--" not in mark.content[4:-3]


@given(ANY_ROW)
@example(replace(ROW, app="**", status="Failed", description="$ @a #1 www.x 0123456789 <!-- --> &amp; https://x.y"))
def test_what_is_shown_is_what_was_said(row: Row) -> None:
    row = replace(row, status="Failed")
    [[app, status, *others]] = cells(body_of([line_of(row)]))
    name = one_line(row.project if row.app == "default" else f"{row.project}/{row.app}", 100)
    assert text_of(app).lstrip() == (name or "—") + one_line(row.environment, 100)
    assert text_of(status) == "❌ Failed" + one_line(row.description, 400)
    tags = {token.content for cell in (app, status) for token in cell if token.type == "html_inline"}
    assert {tag for tag in tags if not tag.startswith("<!--")} <= {"<br>", "<sub>", "</sub>", "<span>", "</span>"}
    known = {"text", "text_special", "html_inline", "strong_open", "strong_close", "link_open", "link_close"}
    assert {token.type for cell in (app, status, *others) for token in cell} <= known | {"code_inline"}


@given(st.text(st.sampled_from("@#:wG.-h/0123456789abcdefABCDEF x"), max_size=60))
def test_nothing_in_a_description_is_looked_up(description: str) -> None:
    [[_, status, *_]] = cells(body_of([line_of(replace(ROW, status="Failed", description=description))]))
    shown = "".join(token.content for token in status if token.type == "text").removeprefix("❌ Failed")
    assert not re.search(r"[@#:][^\u200b]|www\.|gh-[0-9]|[0-9a-f]{7}", shown, re.IGNORECASE)


@given(st.lists(ANY_ROW, min_size=1, max_size=3), st.integers(1, 400), st.integers(0, 2**40))
def test_no_comment_is_too_long(rows: list[Row], copies: int, updated_at_ms: int) -> None:
    lines = [replace(line_of(row), updated_at_ms=updated_at_ms + copy % 5) for row in rows for copy in range(copies)]
    assert len(body_of(lines)) <= LIMIT
    assert body_of(lines).startswith(f"{MARKER}\n")


@given(LINES)
def test_merging_again_changes_nothing(lines: list[Line]) -> None:
    once = merge(lines)
    assert merge(once) == merge(once, once) == once


@given(REPORTS, REPORTS)
def test_sources_of_different_age_merge_in_any_order(one: list[Line], other: list[Line]) -> None:
    # Lines of one age are equal here: what they say depends on nothing else.
    assert merge(one, other) == merge(other, one) == merge(reversed(other), reversed(one))


@given(LINES, LINES, LINES)
def test_sources_may_be_merged_in_steps(one: list[Line], two: list[Line], three: list[Line]) -> None:
    assert merge(merge(one, two), three) == merge(one, merge(two, three)) == merge(one, two, three)


@given(REPORTS)
def test_the_newest_report_of_each_is_kept(lines: list[Line]) -> None:
    oldest_first = sorted(lines, key=lambda line: (line.created_at_ms, line.updated_at_ms))
    newest = {(line.project, line.app, line.environment): line for line in oldest_first}
    assert set(merge(lines)) == set(newest.values())
    assert [line.name for line in merge(lines)] == sorted(line.name for line in newest.values())
