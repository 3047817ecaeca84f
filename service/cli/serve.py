"""`hydra-deploy serve`: run the service."""

from typing import Annotated

import typer
import uvloop

from service import log
from service.app.serve import Role
from service.app.serve import serve as run_service
from service.cli.options import Config, settings_from
from service.errors import HydraError


def serve(
    config: Config = None,
    role: Annotated[Role, typer.Option(help="grpc: the gRPC server; worker: the workflows; all: both.")] = Role.ALL,
) -> None:
    """Run the gRPC server, the workflow worker, or both, until SIGTERM."""
    settings = settings_from(config)
    log.configure(settings.log.level, settings.log.format)
    try:
        uvloop.run(run_service(settings, role))
    except OSError as error:
        raise HydraError(str(error), reason="SYSTEM_ERROR") from None  # such as an address that is taken
