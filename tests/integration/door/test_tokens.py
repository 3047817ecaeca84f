"""X1: who shows no token, or not a good one, gets nothing from any method; who shows one gets what its role is for."""

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc.aio
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from hydra.v1 import deploy_pb2

from service.database import tables
from service.rpc.call import SERVICE
from service.rpc.reflection import V1
from tests.installation import Installation, deploy_request
from tests.integration.door.callers import (
    DEPLOYER,
    EXPIRED,
    FORBIDDEN,
    LATE,
    MISSING,
    OK,
    OPERATOR,
    READER,
    UNKNOWN,
    Answer,
    Metadata,
    Secret,
    ask,
    bearer,
    trusting,
)
from tests.integration.door.doors import Door, only
from tests.servers.certificates import Authority
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("door")

HEALTH = "/grpc.health.v1.Health"
REFLECTION = ("/grpc.reflection.v1.ServerReflection", "/grpc.reflection.v1alpha.ServerReflection")
LISTING = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
PLANTED = "hydra_planted-by-this-test"
GOOD = OPERATOR.text
REFUSED: Mapping[str, tuple[Metadata, Answer]] = {
    "none": ((), MISSING),
    "empty": ((("authorization", ""),), MISSING),
    "no scheme": ((("authorization", GOOD),), MISSING),
    "another scheme": ((("authorization", f"Basic {base64.b64encode(GOOD.encode()).decode()}"),), MISSING),
    "a scheme alone": ((("authorization", "Bearer "),), MISSING),
    "two": (OPERATOR.metadata * 2, MISSING),
    "a good one and a bad one": ((*OPERATOR.metadata, *bearer(PLANTED)), MISSING),
    "in another place": ((("x-authorization", f"Bearer {GOOD}"), ("token", GOOD)), MISSING),
    "unknown": (bearer(PLANTED), UNKNOWN),
    "of another case": (bearer(GOOD.upper()), UNKNOWN),
    "too short": (bearer(GOOD[:-1]), UNKNOWN),
    "too long": (bearer(f"{GOOD} {PLANTED}"), UNKNOWN),
    "its own hash": (bearer(OPERATOR.digest), UNKNOWN),
    "its name": (bearer(OPERATOR.name), UNKNOWN),
    "7 KB": (bearer(PLANTED + "x" * 7000), UNKNOWN),  # from 8 KB on gRPC itself refuses some, and from 16 KB all
    "expired": (LATE.metadata, EXPIRED),
}


@pytest.fixture
async def channel(locked: Door, authority: Authority) -> grpc.aio.Channel:
    return await locked.channel(trusting(authority))


async def methods(channel: grpc.aio.Channel) -> set[str]:
    """List all methods of all services that the server says it has."""
    path = f"{REFLECTION[0]}/ServerReflectionInfo"
    call: Any = channel.unary_stream(path, None, None)(LISTING, metadata=OPERATOR.metadata, timeout=30)
    listed = reflection_pb2.ServerReflectionResponse.FromString(await anext(aiter(call)))
    call.cancel()
    found = set()
    for service in listed.list_services_response.service:
        known = "grpc.reflection.v1alpha.ServerReflection" if service.name == V1 else service.name
        described = descriptor_pool.Default().FindServiceByName(known)
        found |= {f"/{service.name}/{method.name}" for method in described.methods}
    return found


async def test_the_server_has_these_methods(channel: grpc.aio.Channel) -> None:
    rpcs = {f"/{SERVICE}/{method.name}" for method in deploy_pb2.DESCRIPTOR.services_by_name["DeployService"].methods}
    assert len(rpcs) == 4

    found = await methods(channel)

    others = {f"{HEALTH}/Check", f"{HEALTH}/Watch", *(f"{name}/ServerReflectionInfo" for name in REFLECTION)}
    assert rpcs | others <= found


@pytest.mark.parametrize("case", REFUSED)
async def test_no_method_answers_without_a_good_token(
    house: Installation, locked: Door, channel: grpc.aio.Channel, case: str
) -> None:
    metadata, expected = REFUSED[case]
    mark = f"refused-{uuid.uuid4().hex}"
    asked = sorted(await methods(channel))
    before = len(locked.events())

    answers = {path: await ask(channel, path, marked(mark, metadata), message_for(path, mark)) for path in asked}

    assert answers == dict.fromkeys(asked, expected)
    events = locked.events(skip=before)
    told = [(event["event"], event.get("method"), event.get("reason")) for event in events]
    assert told == [("call refused", path, expected.reason) for path in asked]
    assert all(only(event) == {"method", "reason"} for event in events)
    assert all(secret not in locked.log.read_text() for secret in secrets_of(metadata))
    await assert_nothing_came_of_it(house, mark)


async def test_the_same_calls_reach_restate_with_a_good_one(house: Installation, channel: grpc.aio.Channel) -> None:
    mark = f"let-in-{uuid.uuid4().hex}"
    path = f"/{SERVICE}/Deploy"

    answer = await ask(channel, path, marked(mark, OPERATOR.metadata), message_for(path, mark))

    assert answer == Answer("NOT_FOUND", "DEPLOYMENT_NOT_FOUND")
    assert await invocations(house, mark) == 1


def marked(mark: str, metadata: Metadata) -> Metadata:
    """Give a call a key by which it can be found at Restate."""
    return (*metadata, ("idempotency-key", mark), ("x-restate-key", mark))


def message_for(path: str, deployment_id: str) -> bytes:
    """Make a request that the method would have taken."""
    messages: dict[str, Message] = {
        "Deploy": deploy_request(deployment_id[:40]),
        "Rollback": deploy_pb2.RollbackRequest(source_deployment_id="d_1", target_deployment_id=deployment_id[:40]),
        "Promote": deploy_pb2.PromoteRequest(target_deployment_id=deployment_id[:40]),
        "ScaleDownIdlePreviewDeployments": deploy_pb2.ScaleDownIdlePreviewDeploymentsRequest(),
        "ServerReflectionInfo": reflection_pb2.ServerReflectionRequest(list_services=""),
    }
    chosen = messages.get(path.rpartition("/")[2], health_pb2.HealthCheckRequest())
    return bytes(chosen.SerializeToString())


def secrets_of(metadata: Metadata) -> set[str]:
    values = {value.partition(" ")[2] or value for _, value in metadata}
    tokens = {value for value in values if len(value) > 20} | {GOOD, LATE.text, PLANTED}
    return tokens | {secret.digest for secret in (OPERATOR, LATE, Secret("", "", PLANTED))}


async def invocations(house: Installation, mark: str) -> int:
    found = await house.admin_query(
        f"select id from sys_invocation where idempotency_key = '{mark}' or target_service_key = '{mark}'"
    )
    return len(found)


async def assert_nothing_came_of_it(house: Installation, mark: str) -> None:
    assert await invocations(house, mark) == 0
    assert await house.rows(tables.hydra_deployment_attempts, deployment_id=mark[:40]) == []
    assert await house.rows(tables.hydra_operations, deployment_id=mark[:40]) == []


async def test_a_token_of_100_kb_is_refused_by_grpc_itself(
    house: Installation, locked: Door, channel: grpc.aio.Channel
) -> None:
    mark = f"refused-{uuid.uuid4().hex}"
    large = "x" * 100_000
    answer = await ask(channel, f"/{SERVICE}/Deploy", marked(mark, bearer(large)), message_for("Deploy", mark))

    assert answer == Answer("RESOURCE_EXHAUSTED")
    assert large[:100] not in locked.log.read_text()
    await assert_nothing_came_of_it(house, mark)
    assert await ask(channel, f"{HEALTH}/Check", READER.metadata) == OK


async def test_the_scheme_may_be_written_as_anybody_likes(channel: grpc.aio.Channel) -> None:
    for scheme in ("bearer", "BEARER", "Bearer "):
        assert await ask(channel, f"{HEALTH}/Check", (("authorization", f"{scheme} {READER.text}"),)) == OK


ENTERS = {
    "Deploy": Answer("NOT_FOUND", "DEPLOYMENT_NOT_FOUND"),
    "Rollback": Answer("NOT_FOUND", "DEPLOYMENT_NOT_FOUND"),
    "Promote": Answer("NOT_FOUND", "DEPLOYMENT_NOT_FOUND"),
    "ScaleDownIdlePreviewDeployments": Answer("FAILED_PRECONDITION", "CLICKHOUSE_NOT_CONFIGURED"),
}
ROLES = [
    (OPERATOR, ENTERS),
    (DEPLOYER, {rpc: answer if rpc == "Deploy" else FORBIDDEN for rpc, answer in ENTERS.items()}),
    (READER, dict.fromkeys(ENTERS, FORBIDDEN)),
]


@pytest.mark.parametrize(("secret", "expected"), ROLES, ids=[secret.role for secret, _ in ROLES])
async def test_a_role_is_good_for(
    house: Installation, channel: grpc.aio.Channel, secret: Secret, expected: Mapping[str, Answer]
) -> None:
    mark = f"{secret.role}-{uuid.uuid4().hex}"

    answers = {
        rpc: await ask(
            channel,
            f"/{SERVICE}/{rpc}",
            marked(f"{mark}-{rpc}", secret.metadata),
            message_for(f"/{SERVICE}/{rpc}", mark),
        )
        for rpc in expected
    }

    assert answers == expected
    reached = {rpc for rpc in expected if await invocations(house, f"{mark}-{rpc}")}
    assert reached == {rpc for rpc, answer in expected.items() if answer != FORBIDDEN}


@pytest.mark.parametrize("secret", [OPERATOR, DEPLOYER, READER], ids=lambda secret: secret.role)
async def test_every_role_is_good_for_health_and_reflection(channel: grpc.aio.Channel, secret: Secret) -> None:
    assert await ask(channel, f"{HEALTH}/Check", secret.metadata) == OK
    assert await ask(channel, f"{HEALTH}/Watch", secret.metadata) == OK
    for name in REFLECTION:
        assert await ask(channel, f"{name}/ServerReflectionInfo", secret.metadata, LISTING) == OK


async def test_calls_side_by_side_are_each_their_own_caller_s(house: Installation, channel: grpc.aio.Channel) -> None:
    world = await house.world()
    callers = {await house.deployment(world): secret for secret in (DEPLOYER, OPERATOR) * 3}

    async def submit(deployment_id: str, secret: Secret) -> None:
        told = (("x-hydra-mode", "submit"), ("x-hydra-caller", "somebody else"))
        message = deploy_request(deployment_id).SerializeToString()
        assert await ask(channel, f"/{SERVICE}/Deploy", (*secret.metadata, *told), message) == OK

    await asyncio.gather(*(submit(deployment_id, secret) for deployment_id, secret in callers.items()))

    async def all_began() -> bool:
        rows = await house.rows(tables.hydra_operations, workspace_id=world.workspace_id)
        return len(rows) == len(callers)

    await until(all_began)
    rows = await house.rows(tables.hydra_operations, workspace_id=world.workspace_id)
    assert {row["deployment_id"]: row["caller"] for row in rows} == {
        deployment_id: secret.name for deployment_id, secret in callers.items()
    }


async def test_a_message_is_not_waited_for_where_the_call_is_refused(channel: grpc.aio.Channel) -> None:
    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    call = channel.stream_stream(f"/{SERVICE}/Deploy", None, None)(never(), metadata=bearer(PLANTED), timeout=60)

    assert await call.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_message_above_the_limit_gets_the_answer_of_its_token(channel: grpc.aio.Channel) -> None:
    large = bytes(20 * 1024 * 1024)

    assert await ask(channel, f"/{SERVICE}/Deploy", bearer(PLANTED), large) == UNKNOWN
    assert await ask(channel, f"/{SERVICE}/Deploy", DEPLOYER.metadata, large) == Answer("RESOURCE_EXHAUSTED")


async def test_refused_calls_shut_nobody_out(locked: Door, authority: Authority, channel: grpc.aio.Channel) -> None:
    path = f"/{SERVICE}/Deploy"
    answers = await asyncio.gather(*(ask(channel, path, bearer(f"{PLANTED}{n % 3}")) for n in range(60)))
    assert set(answers) == {UNKNOWN}

    message = message_for(path, "d_none")
    for connection in (channel, await locked.channel(trusting(authority))):
        assert await ask(connection, path, DEPLOYER.metadata, message) == ENTERS["Deploy"]
