"""Deploy over gRPC: with generated stubs, and with nothing but reflection."""

import asyncio
import uuid
from typing import Any

import grpc.aio
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status
from hydra.v1 import deploy_pb2

from service.database import tables
from tests.installation import IMAGE, Installation, deploy_request
from tests.waiting import appears


async def metadata_of(call: Any) -> dict[str, str]:
    return dict(await call.initial_metadata())


async def test_a_call_waits_and_names_invocation_and_deployment(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)

    call = installation.stub.Deploy(deploy_request(deployment_id), timeout=30)
    assert await call == deploy_pb2.DeployResponse()

    metadata = await metadata_of(call)
    assert metadata["x-hydra-deployment-id"] == deployment_id
    operation = await installation.row(tables.hydra_operations, id=metadata["x-restate-invocation-id"])
    assert (operation["deployment_id"], operation["state"]) == (deployment_id, "succeeded")


async def test_submit_answers_at_once_and_a_call_then_attaches(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)

    submitted = installation.stub.Deploy(deploy_request(deployment_id), metadata=[("x-hydra-mode", "submit")])
    await submitted
    waited = installation.stub.Deploy(deploy_request(deployment_id), timeout=30)
    await waited

    ids = [(await metadata_of(call))["x-restate-invocation-id"] for call in (submitted, waited)]
    assert ids[0] == ids[1]
    assert await installation.status(deployment_id) == "ready"


async def test_a_deadline_ends_the_wait_and_not_the_deploy(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    async with installation.held("await healthy regions.before"):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await installation.deploy(deployment_id, timeout=0.5)
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert await installation.status(deployment_id) != "ready"
    await installation.deploy(deployment_id)

    assert await installation.status(deployment_id) == "ready"
    assert len(await installation.rows(tables.hydra_operations, deployment_id=deployment_id)) == 1


async def test_a_repeat_after_success_attaches_and_after_failure_begins_anew(installation: Installation) -> None:
    world = await installation.world(regions=("us-east-1",), quota_cpu_millicores=10)
    deployment_id = await installation.deployment(world)
    for _ in range(2):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await installation.deploy(deployment_id)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await installation.set(tables.quota, {"workspace_id": world.workspace_id}, allocated_cpu_millicores_total=10_000)
    await installation.deploy(deployment_id)
    await installation.deploy(deployment_id)

    attempt = await installation.row(tables.hydra_deployment_attempts, deployment_id=deployment_id)
    assert (attempt["attempt"], attempt["state"]) == (3, "succeeded")
    operations = await installation.rows(tables.hydra_operations, deployment_id=deployment_id)
    assert sorted(row["state"] for row in operations) == ["failed", "failed", "succeeded"]
    deployment = await installation.row(tables.deployments, id=deployment_id)
    assert (deployment["status"], deployment["desired_state"]) == ("ready", "running")
    assert all(step["error"] is None for step in (await installation.steps(deployment_id)).values())


async def test_the_callers_own_keys_are_used(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    mine = f"mine-{uuid.uuid4()}"
    options = [("idempotency-key", mine), ("x-restate-key", "a/key with ünreserved".encode("ascii", "ignore").decode())]

    call = installation.stub.Deploy(
        deploy_request(deployment_id), timeout=30, metadata=[*options, ("x-hydra-caller", "release-bot")]
    )
    await call

    invocation_id = (await metadata_of(call))["x-restate-invocation-id"]
    (invocation,) = await installation.admin_query(
        f"select target_service_key, idempotency_key from sys_invocation where id = '{invocation_id}'"
    )
    assert invocation == {"target_service_key": "a/key with nreserved", "idempotency_key": mine}
    assert (await installation.row(tables.hydra_operations, id=invocation_id))["caller"] == "release-bot"


async def test_a_killed_attempt_is_replaced_by_the_next_call(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    async with installation.held("reserve names.before") as reached:
        call = asyncio.ensure_future(installation.stub.Deploy(deploy_request(deployment_id), timeout=30))
        await appears(reached)
        invocation_id = await installation.operation(deployment_id)
        assert await installation.kill(invocation_id) == 200
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
    assert raised.value.code() is grpc.StatusCode.ABORTED

    await installation.deploy(deployment_id)

    attempt = await installation.row(tables.hydra_deployment_attempts, deployment_id=deployment_id)
    assert (attempt["attempt"], attempt["state"]) == (2, "succeeded")
    assert await installation.status(deployment_id) == "ready"


CASES = [
    (deploy_pb2.DeployRequest(), "INVALID_ARGUMENT", "deployment_id"),
    (deploy_pb2.DeployRequest(deployment_id="d_1"), "INVALID_ARGUMENT", "source"),
    (deploy_request("d_1", ""), "INVALID_ARGUMENT", "docker_image.image"),
    (deploy_request("d_1", "bad image"), "INVALID_ARGUMENT", "docker_image.image"),
    (deploy_request("d_" + "1" * 300), "INVALID_ARGUMENT", "deployment_id"),
    (deploy_request("d_none"), "NOT_FOUND", None),
    (deploy_pb2.DeployRequest(deployment_id="d_1", git=deploy_pb2.GitSource()), "INVALID_ARGUMENT", "git.repository"),
]


@pytest.mark.parametrize(("request_message", "code", "field"), CASES)
async def test_errors_carry_their_details(
    installation: Installation, request_message: deploy_pb2.DeployRequest, code: str, field: str | None
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await installation.stub.Deploy(request_message, timeout=10)

    assert raised.value.code().name == code
    status = rpc_status.from_call(raised.value)  # type: ignore[arg-type] # an AioRpcError has what a call has
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, status.message) == ("hydra.v1", raised.value.details())
    if field is not None:
        bad = error_details_pb2.BadRequest()
        assert status.details[1].Unpack(bad)
        assert bad.field_violations[0].field == field


async def test_a_call_made_too_early_is_not_remembered_as_failed(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    await installation.set(tables.deployments, {"id": deployment_id}, id=f"{deployment_id}x")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await installation.deploy(deployment_id)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    await installation.set(tables.deployments, {"id": f"{deployment_id}x"}, id=deployment_id)

    await installation.deploy(deployment_id)
    assert await installation.status(deployment_id) == "ready"


async def test_a_sweep_without_clickhouse_is_refused(installation: Installation) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await installation.stub.ScaleDownIdlePreviewDeployments(
            deploy_pb2.ScaleDownIdlePreviewDeploymentsRequest(), timeout=10
        )
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("service", ["", "hydra.v1.DeployService"])
async def test_health_is_served_per_service(installation: Installation, service: str) -> None:
    stub: Any = health_pb2_grpc.HealthStub(installation.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_alone_is_enough_to_deploy(installation: Installation, version: str) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    pool = await reflected(installation.channel, version, "hydra.v1.DeployService")
    method = pool.FindServiceByName("hydra.v1.DeployService").methods_by_name["Deploy"]
    request_type = message_factory.GetMessageClass(method.input_type)
    response_type = message_factory.GetMessageClass(method.output_type)
    call = installation.channel.unary_unary(
        "/hydra.v1.DeployService/Deploy",
        request_serializer=request_type.SerializeToString,
        response_deserializer=response_type.FromString,
    )

    await call(request_type(deployment_id=deployment_id, docker_image={"image": IMAGE}), timeout=30)

    assert await installation.status(deployment_id) == "ready"


async def reflected(channel: grpc.aio.Channel, version: str, symbol: str) -> descriptor_pool.DescriptorPool:
    """Ask the server for the file of a symbol and for all that it imports."""
    ask: Any = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    stream = ask()
    await stream.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    listed = await stream.read()
    assert symbol in {service.name for service in listed.list_services_response.service}
    await stream.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    wanted: set[str] = set()
    while True:
        for serialized in (await stream.read()).file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(serialized)
            files[file.name] = file
            wanted |= set(file.dependency)
        missing = wanted - set(files)
        if not missing:
            break
        await stream.write(reflection_pb2.ServerReflectionRequest(file_by_filename=min(missing)))
    await stream.done_writing()
    pool = descriptor_pool.DescriptorPool()
    while files:
        name = next(name for name, file in files.items() if not set(file.dependency) & set(files))
        pool.Add(files.pop(name))
    return pool


async def test_unknown_modes_are_refused(installation: Installation) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await installation.deploy("d_1", x_hydra_mode="later")
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert isinstance(rpc_status.from_call(raised.value), status_pb2.Status)  # type: ignore[arg-type] # as above
