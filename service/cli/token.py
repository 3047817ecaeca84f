"""`hydra-deploy token`: a new token for callers of the gRPC server."""

import json
import secrets
import sys
from hashlib import sha256
from typing import Annotated

import typer
from pydantic import ValidationError

from service.cli.options import AsJson
from service.config import TokenSettings
from service.config.own import Role

_BYTES = 32
_PREFIX = "hydra_"  # by which a token that leaked can be searched for


def token(
    *,
    name: Annotated[str, typer.Argument(help="Whose it is: the caller in the records of operations.")],
    role: Annotated[Role, typer.Option(help="deploy: Deploy alone; operate: every rpc; read: health and reflection.")],
    as_json: AsJson = False,
) -> None:
    """Draw a token. It is printed once and kept nowhere: the configuration holds its SHA-256.

    The token is on standard output; the table for the configuration of the server goes to standard error.
    """
    drawn = _PREFIX + secrets.token_urlsafe(_BYTES)
    settings = _settings(name, role, drawn)
    if as_json:
        print(json.dumps({"token": drawn, **settings.model_dump(exclude_none=True)}, indent=2))
        return
    print(drawn)
    print(f"\nKeep it; it is not shown again. For the server's configuration:\n\n{table(settings)}", file=sys.stderr)


def _settings(name: str, role: Role, drawn: str) -> TokenSettings:
    digest = sha256(drawn.encode()).hexdigest()
    try:
        return TokenSettings(name=name, role=role, sha256=digest)
    except ValidationError as error:
        raise typer.BadParameter(str(error.errors()[0]["ctx"]["error"]), param_hint="NAME") from None


def table(token: TokenSettings) -> str:
    """Write the table of the configuration file."""
    return f'[[grpc.tokens]]\nname = "{token.name}"\nrole = "{token.role}"\nsha256 = "{token.sha256}"'
