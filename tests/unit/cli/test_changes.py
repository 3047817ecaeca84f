import io

from rich.console import Console

from service.cli.changes import changes_table, described, moves_table
from service.dev.snapshot import Snapshot, compare


def described_by_table(before: Snapshot, after: Snapshot) -> dict[str, list[str]]:
    return {change.table: described(change) for change in compare(before, after)}


def test_new_and_vanished_rows_are_counted_by_what_they_are() -> None:
    before: Snapshot = {"instances": {(1,): {"pk": 1, "status": "running"}}}
    after: Snapshot = {
        "instances": {
            (2,): {"pk": 2, "status": "running"},
            (3,): {"pk": 3, "status": "running"},
            (4,): {"pk": 4, "status": "failed"},
        },
        "hydra_route_moves": {(1,): {"pk": 1}},
    }
    assert described_by_table(before, after) == {
        "instances": ["+ status running x2, failed", "- status running"],
        "hydra_route_moves": [],
    }


def test_equal_changes_are_told_once_and_times_not_at_all() -> None:
    before: Snapshot = {"t": {key: {"version": 1, "status": "a", "updated_at": None} for key in (1, 2)}}
    after: Snapshot = {"t": {key: {"version": 8, "status": "b", "updated_at": key} for key in (1, 2)}}
    assert described_by_table(before, after) == {"t": ["~ version 1 → 8, status a → b x2"]}


def test_a_row_whose_times_alone_changed_says_so() -> None:
    assert described_by_table({"t": {1: {"beat_at": 1}}}, {"t": {1: {"beat_at": 2}}}) == {"t": ["~ beat_at"]}


def test_long_values_are_cut_and_nothing_is_called_null() -> None:
    change = described_by_table({"t": {1: {"image": None}}}, {"t": {1: {"image": "x" * 60}}})
    assert change == {"t": [f"~ image NULL → {'x' * 39}…"]}


def test_tables_that_stay_are_left_out() -> None:
    same: Snapshot = {"apps": {1: {"id": "app_1"}}}
    assert compare(same, same) == []


def test_routes_that_lead_elsewhere_are_listed() -> None:
    def routes(owner: str, sticky: str) -> Snapshot:
        return {
            "frontline_routes": {
                1: {"fully_qualified_domain_name": "shop.example.com", "deployment_id": owner, "sticky": "live"},
                2: {"fully_qualified_domain_name": "other.example.com", "deployment_id": "d_9", "sticky": sticky},
            }
        }

    console = Console(file=io.StringIO(), width=100)
    with console.capture() as shown:
        console.print(moves_table(compare(routes("d_1", "none"), routes("d_2", "branch"))))
    assert shown.get().split() == ["https://shop.example.com", "d_1", "→", "d_2"]


def test_the_table_shows_signs_and_counts() -> None:
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as shown:
        console.print(changes_table(compare({"t": {1: {"a": 1}, 2: {}}}, {"t": {1: {"a": 2}, 3: {}}})))
    assert shown.get().split() == ["t", "+1", "~1", "-1", "~", "a", "1", "→", "2"]
