from moby.buildkit.v1.control_pb2 import Vertex as WireVertex
from moby.buildkit.v1.control_pb2 import VertexLog

from service.build.buildkit import BuildKit, Log, Step, Vertex
from tests.servers.fake_build import FakeBuild, Script, at_ms, digest_of
from tests.servers.fake_buildkit import FakeBuildKit
from tests.unit.build.buildkit.orders import PASSWORD, TOKEN, Watcher, order


def telling(*vertexes: WireVertex, logs: tuple[VertexLog, ...] = ()) -> Script:
    """Play a build of one update."""

    async def script(build: FakeBuild) -> str:
        build.tell(*vertexes, logs=logs)
        return digest_of("image")

    return script


async def test_logs_come_before_the_steps_of_the_same_update(daemon: FakeBuildKit, client: BuildKit) -> None:
    step = WireVertex(digest="sha256:1", name="RUN make", started=at_ms(1000), completed=at_ms(2500))
    daemon.script(telling(step, logs=(VertexLog(vertex="sha256:1", timestamp=at_ms(2000), stream=2, msg=b"out\n"),)))
    watcher = Watcher()
    await client.build(order(), watcher)
    assert watcher.told == [
        Log("sha256:1", 2000, "out\n"),
        Vertex("sha256:1", "RUN make", 1000, 2500, cached=False, error=""),
    ]
    assert watcher.steps() == [Step("sha256:1", "RUN make", 1000, 2500, cached=False, error="", has_logs=True)]


async def test_times_that_are_not_there_are_none(daemon: FakeBuildKit, client: BuildKit) -> None:
    daemon.script(telling(WireVertex(digest="sha256:1"), WireVertex(digest="sha256:2", completed=at_ms(0))))
    watcher = Watcher()
    await client.build(order(), watcher)
    assert watcher.told == [
        Vertex("sha256:1", "", None, None, cached=False, error=""),
        Vertex("sha256:2", "", None, 0, cached=False, error=""),
    ]


async def test_a_chunk_that_is_cut_within_a_character_is_still_text(daemon: FakeBuildKit, client: BuildKit) -> None:
    daemon.script(telling(logs=(VertexLog(vertex="sha256:1", msg="né".encode()[:-1]),)))
    watcher = Watcher()
    await client.build(order(), watcher)
    assert watcher.text() == "n\ufffd"


async def test_an_update_may_be_large(daemon: FakeBuildKit, client: BuildKit) -> None:
    daemon.script(telling(logs=(VertexLog(vertex="sha256:1", msg=b"x" * 8 * 1024 * 1024),)))
    watcher = Watcher()
    await client.build(order(), watcher)
    assert len(watcher.text()) == 8 * 1024 * 1024


async def test_nothing_that_is_told_holds_a_secret(daemon: FakeBuildKit, client: BuildKit) -> None:
    async def indiscreet(build: FakeBuild) -> str:
        step = build.step(f"RUN curl -u robot:{PASSWORD} https://host")
        step.start()
        step.log(f"token is {TOKEN}, password {PASSWORD}\n")
        step.complete(f"curl -u robot:{PASSWORD} failed")
        return digest_of("image")

    daemon.script(indiscreet)
    watcher = Watcher()
    await client.build(order(), watcher)
    assert TOKEN not in repr(watcher.told)
    assert PASSWORD not in repr(watcher.told)
    assert watcher.text() == "token is ***, password ***\n"
    assert [(step.name, step.error) for step in watcher.steps()] == [
        ("RUN curl -u robot:*** https://host", "curl -u robot:*** failed")
    ]


async def test_a_build_without_progress_is_solved_all_the_same(daemon: FakeBuildKit, client: BuildKit) -> None:
    daemon.tells_progress = False
    watcher = Watcher()
    build = order()
    assert (await client.build(build, watcher)).digest == digest_of(build.ref)
    assert watcher.told == []


async def test_the_last_of_the_progress_is_waited_for(daemon: FakeBuildKit, client: BuildKit) -> None:
    many = 100

    async def chatty(build: FakeBuild) -> str:
        step = build.step("RUN chat")
        step.start()
        for number in range(many):
            step.log(f"{number}\n")
        step.complete()
        return digest_of("image")

    daemon.script(chatty)
    watcher = Watcher()
    await client.build(order(), watcher)
    assert watcher.text() == "".join(f"{number}\n" for number in range(many))
    assert len(watcher.steps()) == 1
