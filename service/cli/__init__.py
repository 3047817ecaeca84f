"""The `hydra-deploy` command: one module per subcommand; each prints and exits, nothing else."""

import sys

import typer

from service.cli import migrate, serve
from service.errors import HydraError

app = typer.Typer(
    name="hydra-deploy",
    help="Deployment control plane: gRPC server, durable workflows on Restate, and tools for operators.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("migrate")(migrate.migrate)


def main() -> None:
    """Run the command line; an error of ours is a line on standard error and exit code 1."""
    try:
        app()
    except HydraError as error:
        print(f"hydra-deploy: {error.message} [{error.reason}]", file=sys.stderr)
        sys.exit(1)
