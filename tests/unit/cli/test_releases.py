import io
from dataclasses import replace

import pytest
from rich.console import Console

from service.cli.releases import document, said, table
from service.durable.registered import Deployment
from service.durable.releases import InFlight, Release, Verdict, remove
from tests.documentation import documented_keys

MOMENT_MS = 1_700_000_000_000
HOST = "http://worker:9080"
NEW = Release(
    Deployment("dp_2", f"{HOST}/r/00000000000b", MOMENT_MS, frozenset({"hydra.v1.A"})),
    ("hydra.v1.A",),
    (),
    answers=True,
)
OLD = Release(
    Deployment("dp_1", f"{HOST}/r/00000000000a", MOMENT_MS, frozenset({"hydra.v1.A"})),
    (),
    (InFlight("hydra.v1.A", "Do", "suspended", 2), InFlight("hydra.v1.A", "Do", "running", 1)),
    answers=True,
)
GO = replace(OLD, in_flight=(), answers=False)
STRANGER = replace(GO, deployment=replace(OLD.deployment, uri="http://other:9080/"))


@pytest.mark.parametrize(
    ("release", "verdict", "removable"),
    [
        (NEW, Verdict.SERVING, False),
        (replace(NEW, answers=False), Verdict.SERVING, False),
        (replace(NEW, in_flight=OLD.in_flight), Verdict.SERVING, False),
        (replace(NEW, in_flight=OLD.in_flight, answers=False), Verdict.STUCK, False),
        (OLD, Verdict.DRAINING, False),
        (replace(OLD, answers=False), Verdict.STUCK, False),
        (replace(OLD, in_flight=()), Verdict.DRAINED, False),  # its worker would register again
        (GO, Verdict.DRAINED, True),
        (STRANGER, Verdict.DRAINED, False),
    ],
)
def test_a_release_goes_when_nothing_needs_it(release: Release, verdict: Verdict, removable: bool) -> None:
    assert (release.verdict, release.is_removable) == (verdict, removable)


async def test_what_is_needed_cannot_be_removed() -> None:
    with pytest.raises(ValueError, match="dp_1 is draining"):
        await remove(None, OLD)  # type: ignore[arg-type] # it is not asked


@pytest.mark.parametrize(
    ("uri", "release"),
    [
        (f"{HOST}/r/0123456789ab", "0123456789ab"),
        (f"{HOST}/below/r/0123456789ab/", "0123456789ab"),
        (f"{HOST}/r/0123456789ab/more", ""),
        (f"{HOST}/", ""),
    ],
)
def test_an_address_tells_the_release(uri: str, release: str) -> None:
    assert replace(OLD.deployment, uri=uri).release == release


def test_the_table_says_what_to_do() -> None:
    console = Console(file=io.StringIO(), width=160)
    with console.capture() as captured:
        console.print(table([OLD, replace(OLD, answers=False), GO, NEW], removed=set()))
    lines = [" ".join(line.split()) for line in captured.get().splitlines()]
    assert lines[0] == f"draining {OLD.deployment.uri} 3 in flight: keep its worker"
    assert lines[1:4] == ["dp_1, registered 2023-11-14 22:13:20 UTC", "2 suspended: A/Do", "1 running: A/Do"]
    assert lines[4].startswith("stuck ")
    assert lines[4].endswith("3 in flight, and nobody answers there: start its worker again")
    assert said(GO) == "nothing in flight, and nobody answers there: it may be removed with --remove-drained"
    assert said(replace(GO, answers=True)) == "nothing in flight: its worker may be stopped"
    assert said(STRANGER).endswith("it is another program's")
    assert lines[-2] == f"serving {NEW.deployment.uri} serves 1 service, 0 in flight"


def test_the_documented_keys_are_those_of_a_release() -> None:
    written = document(OLD, removed={"dp_1"})
    keys = set(written) | {f"in_flight[].{key}" for key in written["in_flight"][0]}
    assert documented_keys("releases") == keys
    assert (written["removed"], written["verdict"]) == (True, "draining")
