"""The registry of development and tests: pushed to and read back over its API, with and without the gate before it."""

import json
import sys
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from service.dev.process import ProcessFailed
from service.dev.registry import Account, RegistryServer
from service.errors import FailedPrecondition
from tests.servers.registry_gate import RegistryGate, RegistryRequest

ACCOUNT = Account("x-token", "p:ss wörd")
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG = {"architecture": "amd64", "os": "linux", "config": {"Labels": {"name": "value"}}}


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[RegistryServer]:
    async with RegistryServer(tmp_path / "registry", ACCOUNT) as server:
        yield server


def client(host: str, account: Account = ACCOUNT) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://{host}", auth=(account.username, account.password), trust_env=False)


async def push(host: str, name: str, tag: str, layer: bytes) -> str:
    """Push an image of one layer, and return the digest of its manifest."""
    async with client(host) as http:
        parts = []
        for kind, content in (("config", json.dumps(CONFIG).encode()), ("layer.tar", layer)):
            upload = await http.post(f"/v2/{name}/blobs/uploads/")
            place = httpx.URL(upload.raise_for_status().headers["Location"])
            assert f"{place.host}:{place.port}" == host
            more = await http.patch(place, content=_in_parts(content))
            digest = f"sha256:{sha256(content).hexdigest()}"
            place = httpx.URL(more.raise_for_status().headers["Location"]).copy_add_param("digest", digest)
            (await http.put(place)).raise_for_status()
            parts.append({"mediaType": f"application/x.{kind}", "digest": digest, "size": len(content)})
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": parts[0], "layers": parts[1:]}
        body = json.dumps(manifest).encode()
        headers = {"Content-Type": MANIFEST_TYPE}
        (await http.put(f"/v2/{name}/manifests/{tag}", content=body, headers=headers)).raise_for_status()
        return f"sha256:{sha256(body).hexdigest()}"


async def _in_parts(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 2**16):
        yield content[start : start + 2**16]


async def test_what_is_pushed_is_read_back(registry: RegistryServer) -> None:
    digest = await push(registry.host, "acme/shop", "v1", b"layer")

    by_tag = await registry.manifest("acme/shop", "v1")
    assert by_tag is not None
    assert by_tag.digest == digest
    assert by_tag.config == CONFIG
    assert [layer["size"] for layer in by_tag.manifest["layers"]] == [5]
    assert await registry.manifest("acme/shop", digest) == by_tag
    assert await registry.manifest("acme/shop", "v2") is None
    assert await registry.manifest("acme/none", "v1") is None


@pytest.mark.parametrize("account", [Account("x-token", "wrong"), Account("other", ACCOUNT.password), Account("", "")])
async def test_only_its_account_is_let_in(registry: RegistryServer, account: Account) -> None:
    async with client(registry.host, account) as http:
        answer = await http.get("/v2/")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_its_password_is_for_nobody_to_see(registry: RegistryServer) -> None:
    await push(registry.host, "acme/shop", "v1", b"layer")
    files = [path for path in registry.folder.rglob("*") if path.is_file()]
    process = Path("/proc") / str(registry.pid)
    seen = [path.read_bytes() for path in (*files, process / "cmdline", process / "environ")]
    assert str(registry.folder).encode() in seen[-2]
    assert not any(ACCOUNT.password.encode() in content for content in seen)
    assert ACCOUNT.password not in repr(ACCOUNT)


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_it_comes_back_on_its_port_with_its_images(tmp_path: Path, end: str) -> None:
    server = RegistryServer(tmp_path, ACCOUNT)
    assert not await server.healthy()
    await server.start()
    with pytest.raises(FailedPrecondition, match="runs already"):
        await server.start()
    digest = await push(server.host, "acme/shop", "v1", b"layer")

    await (server.stop() if end == "stop" else server.kill())
    assert server.pid is None
    assert not await server.healthy()
    await server.stop()
    await server.start()

    image = await server.manifest("acme/shop", "v1")
    assert image is not None
    assert image.digest == digest
    await server.stop()


async def test_one_that_cannot_start_says_why_and_is_gone(registry: RegistryServer, tmp_path: Path) -> None:
    other = RegistryServer(tmp_path / "other", Account("other", "other"))
    other.port = registry.port
    with pytest.raises(ProcessFailed, match=r"(?s)the registry ended with exit code .*address already in use"):
        await other.start()
    assert other.pid is None


async def test_the_gate_passes_everything_on(registry: RegistryServer) -> None:
    async with RegistryGate(registry.host) as gate:
        layer = bytes(range(256)) * 2**12
        digest = await push(gate.host, "acme/gated", "v1", layer)
        async with client(gate.host) as http:
            head = await http.head("/v2/acme/gated/manifests/v1", headers={"Accept": MANIFEST_TYPE})
            blob = await http.get(f"/v2/acme/gated/blobs/sha256:{sha256(layer).hexdigest()}")
    image = await registry.manifest("acme/gated", "v1")
    assert image is not None
    assert image.digest == digest == head.headers["Docker-Content-Digest"]
    assert int(head.headers["Content-Length"]) > 100
    assert blob.content == layer
    assert gate.requests[0] == RegistryRequest("POST", "/v2/acme/gated/blobs/uploads/", 202)
    assert gate.requests[-3] == RegistryRequest("PUT", "/v2/acme/gated/manifests/v1", 201)


async def test_the_gate_turns_away_what_it_is_told_to(registry: RegistryServer) -> None:
    async with RegistryGate(registry.host) as gate, client(gate.host) as http:
        gate.refuse(503, 2, {"GET"})
        assert (await http.post("/v2/acme/shop/blobs/uploads/")).status_code == 202
        assert [(await http.get("/v2/")).status_code for _ in range(3)] == [503, 503, 200]
        gate.refuse(401, 1)
        assert (await http.post("/v2/acme/shop/blobs/uploads/")).status_code == 401
        await registry.stop()
        assert (await http.get("/v2/")).status_code == 502
    assert [asked.status for asked in gate.requests] == [202, 503, 503, 200, 401, 502]
