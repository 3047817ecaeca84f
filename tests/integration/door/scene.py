"""An installation that is told a secret for everything; the vendors that it calls say back what they were shown."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.message import Message
from hydra.v1 import deploy_pb2_grpc

from service.dev.stack import LocalStack, StackPorts
from tests.installation import Installation, stack_options
from tests.integration.door.admin_gate import AdminGate
from tests.integration.door.callers import (
    DEPLOYER,
    LATE,
    OPERATOR,
    READER,
    Metadata,
    Secret,
    connect,
    tables,
    trusting,
)
from tests.integration.door.doors import Pem
from tests.integration.door.mirror import Mirror
from tests.servers.certificates import Authority

STOLEN = Secret("", "", "hydra_that-nobody-knows")
MISPLACED = "hydra_where-its-hash-belongs"
WRONG = "not-the-databases-password"
ADMIN_KEY = "admin-apis-own-key"
REGISTRY, CLICKHOUSE, VAULT = "registrys-own-password", "clickhouses-own-password", "vaults-own-token"
VARIABLES = "encrypted-variables-of-the-app"

_KNOWN = (OPERATOR, READER, DEPLOYER, LATE)
_VENDORS = ("github", "depot", "clickhouse", "admin")


@dataclass
class Scene:
    """An installation that was told secrets, by what they are; `seen` is what its callers got back."""

    house: Installation
    stub: Any
    secrets: dict[str, str]
    mirrors: Mapping[str, Mirror]
    seen: list[str] = field(default_factory=list)

    async def call(self, rpc: str, request: Message, metadata: Metadata) -> str:
        """Call, keep all that comes back, and return the status."""
        call = getattr(self.stub, rpc)(request, metadata=metadata, timeout=60)
        code = await call.code()
        self.seen.append(await call.details() or "")
        for key, value in (*(await call.initial_metadata()), *(await call.trailing_metadata())):
            self.seen.append(f"{key} {value!r}")
        return str(code.name)


@asynccontextmanager
async def scene(folder: Path, dsn: str, authority: Authority) -> AsyncIterator[Scene]:
    """Run it, on the database of a DSN."""
    github_key, pem = _private_key(), Pem(folder / "tls", authority)
    ports = StackPorts.of(folder)
    ports.keep(folder)
    options = stack_options(folder, dsn, {"step_timeout": '"2s"'})
    async with AsyncExitStack() as stack:
        mirrors = {name: await stack.enter_async_context(Mirror(403)) for name in _VENDORS}
        gate = await stack.enter_async_context(AdminGate(f"http://127.0.0.1:{ports.admin}", ADMIN_KEY))
        environ = {
            **options.environ,
            "HYDRA_RESTATE__ADMIN_URL": gate.url,
            "HYDRA_RESTATE__API_KEY": ADMIN_KEY,
            "HYDRA_CLICKHOUSE__URL": f"http://robot:{CLICKHOUSE}@{mirrors['clickhouse'].host}/default",
            "HYDRA_REGISTRY__PASSWORD": REGISTRY,
            "HYDRA_GITHUB__PRIVATE_KEY_PEM": github_key,
            "HYDRA_VAULT__TOKEN": VAULT,
            **{f"HYDRA_GRPC__{key.upper()}": path for key, path in pem.files.items()},
        }
        told = replace(options, environ=environ, configuration=_configuration(mirrors))
        house = await stack.enter_async_context(Installation(LocalStack(folder, told)))
        channel = await stack.enter_async_context(connect(house.stack.grpc_address, trusting(authority)))
        secrets = {
            "the database's password": dsn.partition("@tcp(")[0][-12:],  # what follows its odd letters
            "GitHub's key": github_key.splitlines()[3],
            "the certificate's key": pem.key_line,
            **_secrets(),
        }
        yield Scene(house, deploy_pb2_grpc.DeployServiceStub(channel), secrets, mirrors)


def _private_key() -> str:
    key = generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _configuration(mirrors: Mapping[str, Mirror]) -> str:
    return f"""
[registry]
url = "registry.example.com"
username = "robot"
[depot]
api_url = "http://{mirrors["depot"].host}"
[github]
app_id = 7
api_url = "http://{mirrors["github"].host}"
allow_unauthenticated_deployments = true
[build]
timeout = "5s"
{tables(_KNOWN)}"""


def _secrets() -> dict[str, str]:
    return {
        "the admin API's key": ADMIN_KEY,
        "the registry's password": REGISTRY,
        "ClickHouse's password": CLICKHOUSE,
        "the vault's token": VAULT,
        "the app's variables": VARIABLES,
        "a token where its hash belongs": MISPLACED,
        "a wrong password": WRONG,
        **{f"the token {secret.name!r}": secret.text for secret in (*_KNOWN, STOLEN)},
        **{f"the hash of {secret.name!r}": secret.digest for secret in (*_KNOWN, STOLEN)},
    }
