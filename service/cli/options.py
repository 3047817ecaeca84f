"""Options that several commands share, and the checks of their values."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from service.config import Settings, load
from service.config.values import parse_duration

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")

ConfigPath = Path | None
Config = Annotated[
    ConfigPath, typer.Option("--config", help="The configuration file; UNKEY_CONFIG or unkey.toml without it.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on standard output.")]
Grpc = Annotated[str, typer.Option(metavar="HOST:PORT", help="The gRPC server; grpc.listen without it.")]
Project = Annotated[str, typer.Option(help="The project, where several have such an app.")]
Workspace = Annotated[str, typer.Option(help="The workspace, where several have such a project.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and say what would happen; change nothing.")]
Image = Annotated[str, typer.Option(help="An image that exists, such as registry.example.com/acme/shop:1.0.")]
Repository = Annotated[
    str, typer.Option(metavar="OWNER/NAME", help="The git repository to build the image from, in place of --image.")
]
Branch = Annotated[str, typer.Option(help="The branch to build the head of, or that the image or the commit is of.")]
Commit = Annotated[str, typer.Option(help="The commit to build, or that the image was built from.")]
Context = Annotated[str, typer.Option(metavar="PATH", help="The repository's folder to build in; its root without it.")]
Dockerfile = Annotated[str, typer.Option(metavar="PATH", help="The Dockerfile below that; Dockerfile without it.")]
PullRequest = Annotated[
    int, typer.Option(metavar="N", min=0, help="The pull request to build the head of, which --commit has to be.")
]
Installation = Annotated[
    int,
    typer.Option(
        metavar="ID", min=0, help="The GitHub App's installation that may read it; public ones may do without."
    ),
]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many to show at most.")]


def settings_from(path: ConfigPath) -> Settings:
    """Load the settings. Raises ConfigError, which ends the command with exit code 2."""
    return load(path)


def duration(text: str) -> timedelta:
    """Read a duration as the configuration writes it."""
    try:
        value = parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if value < timedelta():
        raise typer.BadParameter(f"is negative (got {text!r})")
    return value


def slug(text: str) -> str:
    """Check a name that ends up in host names."""
    if not _SLUG.fullmatch(text):
        raise typer.BadParameter(f"takes a-z, 0-9 and -, at most 64 of them (got {text!r})")
    return text


def each_slug(texts: list[str] | None) -> list[str]:
    """Check several such names."""
    return [slug(text) for text in texts or ()]


def split(text: str) -> list[str]:
    """Take a list apart that is written with commas."""
    return [part.strip() for part in text.split(",")]


def slugs(text: str) -> str:
    """Check a list, written with commas, of such names."""
    return ",".join(each_slug(split(text)))
