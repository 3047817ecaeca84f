"""The `hydra-deploy` command: one module per subcommand; each prints and exits, nothing else."""

import os
import sys
from importlib import import_module
from io import TextIOWrapper

import typer

from service.config import ConfigError
from service.errors import HydraError

# In the order in which they are listed: to run it, to use it, to look after it, to try it.
_COMMANDS = (
    *("serve", "migrate"),
    *("deploy", "status", "logs", "cancel", "rollback", "promote", "start"),
    *("scale-down", "operations", "history"),
    *("doctor", "reconcile", "releases"),
    *("token",),
    *("seed", "agent", "demo", "dev"),
)


def _app(asked: str) -> typer.Typer:
    """Make the program with the one command that is asked for: loading all of them takes a second more."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
    app.callback()(_program)
    for name in (asked,) if asked in _COMMANDS else _COMMANDS:
        function = name.replace("-", "_")
        app.command(name)(getattr(import_module(f"service.cli.{function}"), function))
    return app


def _program() -> None:
    """Deployment control plane: gRPC server, durable workflows on Restate, and tools for operators."""


def main() -> None:
    """Run the command line. An error of ours is a line on standard error.

    Exit codes: 0 done, 1 failed, 2 wrong options or configuration, 128 + n ended by signal n.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a mark is no reason to fail
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    if asked != "serve":  # gRPC reads it when it is imported, and would tell of handshakes beside our one line
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        _app(asked)(prog_name="hydra-deploy")
    except ConfigError as error:
        print(error.message, file=sys.stderr)
        sys.exit(2)
    except HydraError as error:
        print(f"hydra-deploy: {error.message} [{error.reason}]", file=sys.stderr)
        sys.exit(1)
