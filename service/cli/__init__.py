"""The `hydra-deploy` command: one module per subcommand; each prints and exits, nothing else."""

import sys
from io import TextIOWrapper

import typer

from service.cli import (
    agent,
    demo,
    deploy,
    dev,
    history,
    logs,
    migrate,
    operations,
    promote,
    rollback,
    scale_down,
    seed,
    serve,
    status,
)
from service.config import ConfigError
from service.errors import HydraError

app = typer.Typer(
    name="hydra-deploy",
    help="Deployment control plane: gRPC server, durable workflows on Restate, and tools for operators.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("serve")(serve.serve)
app.command("migrate")(migrate.migrate)
app.command("deploy")(deploy.deploy)
app.command("status")(status.status)
app.command("logs")(logs.logs)
app.command("rollback")(rollback.rollback)
app.command("promote")(promote.promote)
app.command("scale-down")(scale_down.scale_down)
app.command("operations")(operations.operations)
app.command("history")(history.history)
app.command("seed")(seed.seed)
app.command("agent")(agent.agent)
app.command("demo")(demo.demo)
app.command("dev")(dev.dev)


def main() -> None:
    """Run the command line. An error of ours is a line on standard error.

    Exit codes: 0 done, 1 failed, 2 wrong options or configuration, 128 + n ended by signal n.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a mark is no reason to fail
    try:
        app()
    except ConfigError as error:
        print(error.message, file=sys.stderr)
        sys.exit(2)
    except HydraError as error:
        print(f"hydra-deploy: {error.message} [{error.reason}]", file=sys.stderr)
        sys.exit(1)
