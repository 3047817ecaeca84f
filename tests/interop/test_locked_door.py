"""grpc-go and grpcurl before a server that wants TLS, a certificate of theirs and a token."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.database import tables
from tests.installation import IMAGE, Installation
from tests.integration.door.callers import DEPLOYER, OPERATOR
from tests.integration.door.callers import tables as token_tables
from tests.integration.door.doors import Door, Pem
from tests.interop.curls import run
from tests.interop_programs import GrpcCaller
from tests.servers.certificates import Authority

pytestmark = pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session")

SERVICE = "hydra.v1.DeployService"


@dataclass(frozen=True)
class Locked:
    """A door, and the files of a client that it lets in."""

    address: str
    authority: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="module")
async def locked(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Locked]:
    folder = tmp_path_factory.mktemp("locked-door")
    authority, clients = Authority(), Authority("clients")
    pair = clients.client("laptop")
    files = {"authority.crt": authority.cert, "client.crt": pair.cert, "client.key": pair.key}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    keys = Pem(folder / "server", authority, clients).keys
    async with Door(installation.stack, "locked-for-go", keys + token_tables((DEPLOYER, OPERATOR))) as door:
        yield Locked(f"127.0.0.1:{door.port}", *(folder / name for name in files))


def go(programs: Path, door: Locked, token: str, *, shows_certificate: bool = True) -> GrpcCaller:
    options = ["-ca", str(door.authority), "-server-name", "localhost", "-token-env", "TOKEN"]
    if shows_certificate:
        options += ["-cert", str(door.certificate), "-key", str(door.key)]
    return GrpcCaller(programs, door.address, *options, environ={"TOKEN": token})


async def test_go_is_let_in_and_is_who_its_token_says(
    installation: Installation, programs: Path, locked: Locked
) -> None:
    deployment_id = await installation.deployment(await installation.world())
    request = {"deploymentId": deployment_id, "dockerImage": {"image": IMAGE}}

    seen = await go(programs, locked, DEPLOYER.text)("Deploy", request, x_hydra_caller="somebody else")

    assert seen["code"] == "OK"
    assert await installation.status(deployment_id) == "ready"
    operation = await installation.row(tables.hydra_operations, deployment_id=deployment_id)
    assert operation["caller"] == DEPLOYER.name


async def test_go_is_refused_with_details(programs: Path, locked: Locked) -> None:
    unknown = await go(programs, locked, "hydra_nobodys-token")("Promote", {"targetDeploymentId": "d_locked"})
    forbidden = await go(programs, locked, DEPLOYER.text)("Promote", {"targetDeploymentId": "d_locked"})
    let_in = await go(programs, locked, OPERATOR.text)("Promote", {"targetDeploymentId": "d_locked"})

    assert (unknown["code"], unknown["details"]["reason"]) == ("Unauthenticated", "TOKEN_UNKNOWN")
    assert (forbidden["code"], forbidden["details"]["reason"]) == ("PermissionDenied", "ROLE_INSUFFICIENT")
    assert (let_in["code"], let_in["details"]["reason"]) == ("NotFound", "DEPLOYMENT_NOT_FOUND")


async def test_go_without_a_certificate_gets_no_connection(programs: Path, locked: Locked) -> None:
    seen = await go(programs, locked, OPERATOR.text, shows_certificate=False)(
        "Promote", {"targetDeploymentId": "d_locked"}
    )

    assert seen["code"] == "Unavailable"


async def test_grpcurl_lists_and_calls_with_certificate_and_token(programs: Path, locked: Locked) -> None:
    files = {"-cacert": locked.authority, "-cert": locked.certificate, "-key": locked.key}
    options = [str(word) for pair in files.items() for word in pair] + ["-servername", "localhost"]
    token = ("-H", f"authorization: Bearer {OPERATOR.text}")

    listed = await run(programs / "grpcurl", *options, *token, locked.address, "list")
    called = await run(programs / "grpcurl", *options, *token, locked.address, f"{SERVICE}/Promote")
    hidden = await run(programs / "grpcurl", *options, locked.address, "list")

    assert SERVICE in listed.out.split()
    assert "InvalidArgument" in called.err
    assert hidden.code != 0
    assert SERVICE not in hidden.out
