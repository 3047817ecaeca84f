"""grpcurl, which knows of the service only what reflection tells: by v1 and by v1alpha, every message and every rpc."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from service.database import tables
from tests.descriptors import OPTIONS_FILE, as_contract, contract
from tests.installation import IMAGE, Installation
from tests.interop.curls import Grpcurl
from tests.interop.relay import Relay
from tests.waiting import until
from tests.wire_contract import FILES

pytestmark = pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session")

SERVICE = "hydra.v1.DeployService"
HEALTH = "grpc.health.v1.Health/Check"
REFLECTION = {"v1": "grpc.reflection.v1.ServerReflection", "v1alpha": "grpc.reflection.v1alpha.ServerReflection"}
DEPLOY = FILES["deploy"]
RPCS = DEPLOY.services["DeployService"].rpcs
PRIVATE = [
    (file, f"hydra.v1.{service}/{rpc}")
    for file, table in FILES.items()
    for service, of_it in table.services.items()
    for rpc in of_it.rpcs
    if file != "deploy"
]


@pytest.fixture
def grpcurl(programs: Path, installation: Installation) -> Grpcurl:
    return Grpcurl(programs / "grpcurl", installation.stack.grpc_address)


@pytest.fixture(params=list(REFLECTION))
async def reflected(
    request: pytest.FixtureRequest, programs: Path, installation: Installation
) -> AsyncIterator[Grpcurl]:
    """Let grpcurl have one version of reflection alone: it tries v1 first, and v1alpha where there is no v1."""
    (other,) = REFLECTION.keys() - {request.param}
    async with Relay(installation.stack.grpc_address, unknown=f"/{REFLECTION[other]}/") as relay:
        yield Grpcurl(programs / "grpcurl", relay.address)
        assert f"/{REFLECTION[request.param]}/ServerReflectionInfo" in relay.called


def image(deployment_id: str) -> dict[str, Any]:
    """Ask for the deploy of an image, in snake case as grpcurl's own templates are."""
    return {"deployment_id": deployment_id, "docker_image": {"image": IMAGE}}


async def test_lists_what_is_served(reflected: Grpcurl) -> None:
    services = await reflected.ask("list")
    rpcs = await reflected.ask("list", SERVICE)

    assert services.out.split() == sorted({"grpc.health.v1.Health", *REFLECTION.values(), SERVICE})
    assert rpcs.out.split() == sorted(f"{SERVICE}.{rpc}" for rpc in RPCS)


async def test_describes_the_service(reflected: Grpcurl) -> None:
    described = await reflected.ask("describe", SERVICE)

    assert "option (.dev.restate.sdk.go.service_type) = VIRTUAL_OBJECT;" in described.out
    for rpc in RPCS:
        assert f"rpc {rpc} ( .hydra.v1.{rpc}Request ) returns ( .hydra.v1.{rpc}Response )" in described.out
    assert described.out.count("option (.dev.restate.sdk.go.handler_type) = SHARED;") == len(RPCS)


@pytest.mark.parametrize("message", DEPLOY.messages)
async def test_describes_every_message(reflected: Grpcurl, message: str) -> None:
    described = await reflected.ask("describe", f"hydra.v1.{message}")

    assert described.out.startswith(f"hydra.v1.{message} is a message:\n")
    fields = {int(number): name for name, number in re.findall(r"(\w+) = (\d+);", described.out)}
    assert fields == {number: name for number, (name, _) in DEPLOY.messages[message].items()}


async def test_what_reflection_serves_is_the_contract(reflected: Grpcurl, tmp_path: Path) -> None:
    """As in tests/unit/test_proto.py, of what a client is told."""
    told = tmp_path / "told.binpb"
    assert (await reflected.ask("describe", SERVICE, options=("-protoset-out", str(told)))).code == 0

    files = as_contract(FileDescriptorSet.FromString(told.read_bytes()).file)

    assert files == {name: contract()[name] for name in ("hydra/v1/deploy.proto", OPTIONS_FILE)}


async def test_calls_every_rpc(reflected: Grpcurl, installation: Installation) -> None:
    world = await installation.world()
    a, b = [await installation.deployment(world) for _ in range(2)]

    for deployment_id in (a, b):
        assert (await reflected.call(f"{SERVICE}/Deploy", image(deployment_id))).document == {}
        assert await installation.live(world) == deployment_id
    there_and_back = {"source_deployment_id": b, "target_deployment_id": a}
    assert (await reflected.call(f"{SERVICE}/Rollback", there_and_back)).document == {}
    assert await installation.live(world) == a
    assert (await reflected.call(f"{SERVICE}/Promote", {"target_deployment_id": b})).document == {}
    assert await installation.live(world) == b
    swept = await reflected.call(f"{SERVICE}/ScaleDownIdlePreviewDeployments")
    assert json.loads(swept.err)["details"][0]["reason"] == "CLICKHOUSE_NOT_CONFIGURED"


async def test_metadata_go_both_ways(grpcurl: Grpcurl, installation: Installation) -> None:
    deployment_id = await installation.deployment(await installation.world())
    given = ("-H", "x-hydra-mode: submit", "-H", "x-restate-key: of the caller", "-H", "x-hydra-caller: release-bot")

    async def begun() -> bool:
        return bool(await installation.rows(tables.hydra_operations, deployment_id=deployment_id))

    submitted = await grpcurl.call(f"{SERVICE}/Deploy", image(deployment_id), "-v", *given)
    await until(begun)  # another key does not wait for it, and would be the operation if it came first
    waited = await grpcurl.call(f"{SERVICE}/Deploy", image(deployment_id))

    assert (submitted.code, waited.code) == (0, 0)
    received = dict(re.findall(r"^([\w-]+): (.+)$", submitted.out, re.MULTILINE))
    assert received["x-hydra-deployment-id"] == deployment_id
    operation = await installation.row(tables.hydra_operations, deployment_id=deployment_id)
    assert (operation["id"], operation["caller"]) == (received["x-restate-invocation-id"], "release-bot")
    assert operation["state"] == "succeeded"


ERRORS = [
    ("Deploy", {}, "INVALID_ARGUMENT"),
    ("Deploy", {"deployment_id": "d_1"}, "SOURCE_MISSING"),
    ("Rollback", {"source_deployment_id": "d_1", "target_deployment_id": "d_1"}, "INVALID_ARGUMENT"),
    ("Deploy", image("d_nobody"), "DEPLOYMENT_NOT_FOUND"),
    ("Promote", {"target_deployment_id": "d_nobody"}, "DEPLOYMENT_NOT_FOUND"),
    ("ScaleDownIdlePreviewDeployments", {}, "CLICKHOUSE_NOT_CONFIGURED"),
]
DETAILS = {3: ["ErrorInfo", "BadRequest"], 5: ["ErrorInfo"], 9: ["ErrorInfo", "PreconditionFailure"]}


@pytest.mark.parametrize(("rpc", "request_message", "reason"), ERRORS)
async def test_errors_are_shown_with_their_details(
    grpcurl: Grpcurl, rpc: str, request_message: dict[str, Any], reason: str
) -> None:
    ended = await grpcurl.call(f"{SERVICE}/{rpc}", request_message)

    status = json.loads(ended.err)
    info, *more = status["details"]
    assert ended.code == 64 + status["code"]
    assert [detail["@type"].rpartition(".")[2] for detail in status["details"]] == DETAILS[status["code"]]
    assert (info["domain"], info["reason"]) == ("hydra.v1", reason)
    for bad_request in more if status["code"] == 3 else []:
        assert bad_request["field_violations"][0]["field"] == info["metadata"]["field"]


async def test_errors_are_shown_to_people_as_well(grpcurl: Grpcurl) -> None:
    ended = await grpcurl.ask(f"{SERVICE}/Deploy")

    assert "Code: InvalidArgument" in ended.err
    assert '"reason": "INVALID_ARGUMENT"' in ended.err


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_health(reflected: Grpcurl, service: str) -> None:
    assert (await reflected.call(HEALTH, {"service": service})).document == {"status": "SERVING"}


async def test_health_of_what_is_not_served(grpcurl: Grpcurl) -> None:
    assert (await grpcurl.call(HEALTH, {"service": "hydra.v1.RoutingService"})).code == 64 + 5


@pytest.mark.parametrize(("file", "method"), PRIVATE)
async def test_private_services_are_not_served(grpcurl: Grpcurl, file: str, method: str) -> None:
    proto = str(Path(__file__).parents[2] / "proto")

    ended = await grpcurl.ask(method, options=("-import-path", proto, "-proto", f"hydra/v1/{file}.proto"))

    assert "Code: Unimplemented" in ended.err
