"""What commands show a gRPC server that asks for it, and what a person reads where that is not enough."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from service.database import tables
from service.database.dsn import parse as parse_dsn
from service.database.engine import Database
from service.database.migrations import migrate
from service.dev import snapshot
from service.dev.world import seed
from service.errors import PermissionDenied, Unauthenticated
from tests.command import hydra
from tests.installation import IMAGE
from tests.servers.certificates import Authority
from tests.servers.deploy_service import Server, serving

NAME = "deploy.example.com"
TOKEN = "hydra_s3cr3t"  # noqa: S105 - opens nothing
AUTHORITY = Authority()
PAIR, CLIENT = AUTHORITY.server(NAME), AUTHORITY.client()
MUTUAL_TLS = grpc.ssl_server_credentials([(PAIR.key, PAIR.cert)], AUTHORITY.cert, require_client_auth=True)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving(
        MUTUAL_TLS, Unauthenticated("this server knows no such token", reason="TOKEN_UNKNOWN")
    ) as served:
        yield served


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(parse_dsn(f"sqlite:///{tmp_path}/hydra.db"))
    await migrate(database)
    await seed(database)
    yield database
    await database.close()


def configuration(folder: Path, server: Server, **changed: str) -> Path:
    """Write a configuration whose client has all that the server asks for, but for what is changed."""
    material = {"ca": AUTHORITY.cert, "cert": CLIENT.cert, "key": CLIENT.key, "token": f"{TOKEN}\n".encode()}
    for name, content in material.items():
        (folder / name).write_bytes(content)
    client = {
        "token_file": f"{folder}/token",
        "tls_ca_file": f"{folder}/ca",
        "tls_cert_file": f"{folder}/cert",
        "tls_key_file": f"{folder}/key",
        "tls_server_name": NAME,
    }
    file = folder / "hydra.toml"
    file.write_text(
        f'[database]\nprimary = "sqlite:///{folder}/hydra.db"\n[grpc]\nlisten = "{server.address}"\n[client]\n'
        + "".join(f'{key} = "{value}"\n' for key, value in (client | changed).items())
    )
    return file


@pytest.mark.usefixtures("database")
async def test_a_command_shows_token_and_certificate(tmp_path: Path, server: Server) -> None:
    server.error = PermissionDenied("the token 'ci' has the role 'read'", reason="ROLE_INSUFFICIENT")
    ended = await hydra("scale-down", "--config", configuration(tmp_path, server))

    assert server.called_with["ScaleDownIdlePreviewDeployments"]["authorization"] == f"Bearer {TOKEN}"
    assert server.peers == {b"client"}
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        "hydra-deploy: the token 'ci' has the role 'read'; look at client.token_file or client.token "
        "[ROLE_INSUFFICIENT]\n"
    )


async def test_nothing_is_written_for_a_deploy_that_may_not_be(
    tmp_path: Path, server: Server, database: Database
) -> None:
    before = (await database.read(snapshot.take))[tables.deployments.name]
    deploy = ("deploy", "--app", "default", "--env", "production", "--image", IMAGE)
    ended = await hydra(*deploy, "--config", configuration(tmp_path, server))

    assert ended.err == (
        "hydra-deploy: this server knows no such token; look at client.token_file or client.token [TOKEN_UNKNOWN]\n"
    )
    assert (await database.read(snapshot.take))[tables.deployments.name] == before


@pytest.mark.usefixtures("database")
async def test_a_server_that_is_not_trusted_is_one_line(tmp_path: Path, server: Server) -> None:
    file = configuration(tmp_path, server)
    (tmp_path / "ca").write_bytes(Authority("a stranger").cert)
    ended = await hydra("scale-down", "--config", file)

    assert ended.err == (
        f"hydra-deploy: the gRPC server at {server.address} shows a certificate that is not trusted, unable to get "
        "local issuer certificate: look at client.tls_ca_file [TLS_FAILED]\n"
    )


@pytest.mark.usefixtures("database")
async def test_a_file_that_is_not_there_is_a_fault_of_its_key(tmp_path: Path, server: Server) -> None:
    missing = str(tmp_path / "none")
    ended = await hydra("scale-down", "--config", configuration(tmp_path, server, tls_ca_file=missing))

    assert (ended.code, ended.out) == (2, "")
    assert "client.tls_ca_file: names a file that cannot be read: No such file or directory" in ended.err


@pytest.mark.usefixtures("database")
async def test_a_token_is_not_sent_elsewhere_in_the_clear(tmp_path: Path, server: Server) -> None:
    file = configuration(tmp_path, server, tls_ca_file="", tls_cert_file="", tls_key_file="", tls_server_name="")
    ended = await hydra("scale-down", "--config", file, "--grpc", "192.0.2.1:9090")

    assert ended.code == 1
    assert ended.err.startswith("hydra-deploy: the token of client.token is not sent to 192.0.2.1:9090 in the clear: ")
    assert ended.err.endswith(" [TOKEN_NEEDS_TLS]\n")
