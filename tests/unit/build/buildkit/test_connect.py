import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from service.build.buildkit import Address, Tls, Unreachable, connect
from service.dev.ports import free_port
from tests.servers.certificates import Authority
from tests.servers.fake_build import digest_of
from tests.servers.fake_buildkit import SERVER_NAME, FakeBuildKit, Listen
from tests.unit.build.buildkit.orders import QUICK, Watcher, order

SHORT = timedelta(seconds=1)
LONG = timedelta(seconds=60)


@pytest.mark.parametrize("listen", ["unix", "tcp", "mtls", "docker"])
async def test_a_daemon_is_reached_in_every_way(listen: Listen) -> None:
    async with (
        FakeBuildKit(listen) as daemon,
        connect(Address.parse(daemon.address), daemon.tls, QUICK) as client,
    ):
        await client.wait_ready(LONG)
        build = order()
        assert (await client.build(build, Watcher())).digest == digest_of(build.ref)
        assert daemon.builds[0].secrets == build.secrets


async def test_a_daemon_that_is_not_ready_is_asked_again() -> None:
    async with FakeBuildKit() as daemon, connect(Address.parse(daemon.address), timeouts=QUICK) as client:
        daemon.not_ready = 3
        await client.wait_ready(LONG)
        assert daemon.probes == 4


async def test_a_daemon_that_is_ready_is_asked_once() -> None:
    async with FakeBuildKit() as daemon, connect(Address.parse(daemon.address)) as client:
        await client.wait_ready(LONG)
        assert daemon.probes == 1


async def test_a_slow_answer_is_given_up_for_another_question() -> None:
    hasty = replace(QUICK, answer=timedelta(milliseconds=100))
    async with FakeBuildKit() as daemon, connect(Address.parse(daemon.address), timeouts=hasty) as client:
        daemon.slow = timedelta(hours=1)
        with pytest.raises(Unreachable, match="DEADLINE_EXCEEDED"):
            await client.wait_ready(SHORT)
        assert daemon.probes > 1


async def test_what_was_last_heard_is_told() -> None:
    async with FakeBuildKit() as daemon, connect(Address.parse(daemon.address), timeouts=QUICK) as client:
        daemon.not_ready = 10_000
        with pytest.raises(Unreachable, match="UNAVAILABLE: not ready at probe") as unreachable:
            await client.wait_ready(SHORT)
        assert int(unreachable.value.text.rpartition(" ")[2]) > 1


async def test_nobody_there_is_unreachable() -> None:
    async with connect(Address.parse(f"tcp://127.0.0.1:{free_port()}"), timeouts=QUICK) as client:
        with pytest.raises(Unreachable, match="UNAVAILABLE"):
            await client.wait_ready(SHORT)


async def test_a_daemon_that_comes_up_late_is_found() -> None:
    port = free_port()
    async with connect(Address.parse(f"tcp://127.0.0.1:{port}"), timeouts=QUICK) as client:
        ready = asyncio.create_task(client.wait_ready(LONG))
        done, _ = await asyncio.wait((ready,), timeout=1)
        assert not done
        async with FakeBuildKit("tcp", port=port):
            await ready


async def test_waiting_can_be_cancelled() -> None:
    async with connect(Address.parse(f"tcp://127.0.0.1:{free_port()}")) as client:
        ready = asyncio.create_task(client.wait_ready(LONG))
        await asyncio.sleep(0)
        ready.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ready


async def test_a_daemon_is_dialled_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    for name in ("grpc_proxy", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, nobody)
    for name in ("no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with FakeBuildKit("tcp") as daemon, connect(Address.parse(daemon.address), timeouts=QUICK) as client:
        await client.wait_ready(SHORT)


def another_name(tls: Tls) -> Tls:
    return replace(tls, server_name="another.test")


def another_authority(tls: Tls) -> Tls:
    return replace(tls, ca=Authority().cert)


def another_client(tls: Tls) -> Tls:
    stranger = Authority().client()
    return replace(tls, cert=stranger.cert, key=stranger.key)


@pytest.mark.parametrize("wrong", [another_name, another_authority, another_client])
async def test_tls_lets_in_only_who_fits(wrong: Callable[[Tls], Tls]) -> None:
    async with FakeBuildKit("mtls") as daemon:
        assert daemon.tls is not None
        async with connect(Address.parse(daemon.address), wrong(daemon.tls), QUICK) as client:
            with pytest.raises(Unreachable):
                await client.wait_ready(SHORT)
        assert daemon.probes == 0


async def test_a_daemon_behind_tls_does_not_answer_in_the_clear() -> None:
    async with FakeBuildKit("mtls") as daemon, connect(Address.parse(daemon.address), timeouts=QUICK) as client:
        with pytest.raises(Unreachable):
            await client.wait_ready(SHORT)
        assert daemon.probes == 0


async def test_tls_is_for_tcp_alone() -> None:
    async with FakeBuildKit("mtls") as daemon:
        with pytest.raises(ValueError, match="TLS is for tcp:// alone"):
            async with connect(Address.parse("unix:///run/b.sock"), daemon.tls):
                pass


def test_tls_shows_no_key() -> None:
    pair = Authority().client()
    assert "PRIVATE" not in repr(Tls(b"ca", pair.cert, pair.key, SERVER_NAME))
