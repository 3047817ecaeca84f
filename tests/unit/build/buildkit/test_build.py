import asyncio

from grpc_health.v1.health_pb2 import HealthCheckResponse

from service.build.buildkit import BuildKit
from tests.servers.fake_build import FakeBuild, digest_of
from tests.servers.fake_buildkit import FakeBuildKit
from tests.servers.fake_session import FakeSession
from tests.unit.build.buildkit.orders import CONTEXT, IMAGE, PASSWORD, REGISTRY, TOKEN, Watcher, order


def session_of(build: FakeBuild) -> FakeSession:
    assert build.session is not None
    return build.session


async def test_a_build_is_solved_with_the_digest_of_its_image(daemon: FakeBuildKit, client: BuildKit) -> None:
    build = order()
    solved = await client.build(build, Watcher())
    assert solved.digest == digest_of(build.ref)
    assert solved.response["image.name"] == IMAGE
    assert [known.request.Ref for known in daemon.builds] == [build.ref]


async def test_the_request_names_the_exporter_in_both_spellings(daemon: FakeBuildKit, client: BuildKit) -> None:
    await client.build(order(), Watcher())
    request = daemon.builds[0].request
    attrs = {"name": IMAGE, "push": "true"}
    assert [(exporter.Type, dict(exporter.Attrs)) for exporter in request.Exporters] == [("image", attrs)]
    assert (request.ExporterDeprecated, dict(request.ExporterAttrsDeprecated)) == ("image", attrs)
    assert request.Frontend == "dockerfile.v0"
    assert dict(request.FrontendAttrs) == {"context": CONTEXT, "filename": "Dockerfile"}
    assert request.HasField("Cache")
    assert request.Internal


async def test_an_old_exporter_answers_with_less(daemon: FakeBuildKit, client: BuildKit) -> None:
    async def silent(_: FakeBuild) -> str:
        return ""

    daemon.script(silent)
    assert (await client.build(order(), Watcher())).digest == ""


async def test_the_daemon_gets_secrets_and_log_ins_through_the_session(daemon: FakeBuildKit, client: BuildKit) -> None:
    await client.build(order(), Watcher())
    build = daemon.builds[0]
    assert build.asked == ["GIT_AUTH_HEADER.git.test", "GIT_AUTH_TOKEN.git.test", REGISTRY]
    assert build.secrets == {"GIT_AUTH_TOKEN.git.test": TOKEN.encode()}
    assert build.credentials == {REGISTRY: ("robot", PASSWORD)}


async def test_an_unknown_registry_is_visited_anonymously(daemon: FakeBuildKit, client: BuildKit) -> None:
    async def visit(build: FakeBuild) -> str:
        await build.log_in("elsewhere.test")
        return digest_of("image")

    daemon.script(visit)
    await client.build(order(), Watcher())
    assert daemon.builds[0].credentials == {"elsewhere.test": ("", "")}


async def test_health_is_answered_for_as_long_as_it_builds(daemon: FakeBuildKit, client: BuildKit) -> None:
    async def slow(build: FakeBuild) -> str:
        await session_of(build).asked_health(times=3)
        return digest_of("image")

    daemon.script(slow)
    await client.build(order(), Watcher())
    assert set(session_of(daemon.builds[0]).health) == {HealthCheckResponse.SERVING}


async def test_the_largest_secret_crosses_in_small_slices(daemon: FakeBuildKit, client: BuildKit) -> None:
    large = b"0123456789" * 50 * 1024  # the most that BuildKit takes

    async def take(build: FakeBuild) -> str:
        return digest_of(str(await build.secret("large") == large))

    daemon.script(take)
    solved = await client.build(order({"large": large}), Watcher())
    assert solved.digest == digest_of("True")
    assert 0 < session_of(daemon.builds[0]).largest_slice_bytes <= 32 * 1024


async def test_builds_at_once_get_what_is_their_own(daemon: FakeBuildKit, client: BuildKit) -> None:
    together = asyncio.Barrier(8)

    async def meet(build: FakeBuild) -> str:
        await together.wait()  # so that none ends before all have begun
        await build.secret("own")
        return digest_of(build.request.Ref)

    daemon.default = meet
    builds = [order({"own": str(number).encode()}) for number in range(8)]
    solved = await asyncio.gather(*(client.build(build, Watcher()) for build in builds))
    assert [one.digest for one in solved] == [digest_of(build.ref) for build in builds]
    assert {known.request.Ref: known.secrets for known in daemon.builds} == {
        build.ref: build.secrets for build in builds
    }
    assert len({known.request.Session for known in daemon.builds}) == 8


def test_an_order_shows_no_secret() -> None:
    shown = repr(order())
    assert TOKEN not in shown
    assert PASSWORD not in shown
    assert IMAGE in shown
