"""`hydra-deploy doctor`: what is wrong with an installation, and what to do about it."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.text import Text

from service import log
from service.app.doctor.checks import Finding, Level
from service.app.doctor.examine import examine
from service.cli import interrupt, terminal
from service.cli.options import AsJson, Config, settings_from

_MARKS = {Level.OK: "✓", Level.WARNING: "!", Level.FAULT: "✗", Level.OFF: "·"}
_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.FAULT: "red", Level.OFF: "dim"}


def doctor(*, config: Config = None, as_json: AsJson = False) -> None:
    """Check the whole installation that the configuration describes, and say what to do. Nothing is changed.

    Looks at the configuration, the database, Restate, ClickHouse, the registry, the builder and GitHub, from this
    machine. The exit code is 1 where there is a fault.
    """
    settings = settings_from(config)
    log.configure("critical", "text")  # what goes wrong is what is found, and found but once
    found = interrupt.run(examine(settings))
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], indent=2, ensure_ascii=False))
    else:
        console = terminal.console()
        for finding in found:
            console.print(line(finding), soft_wrap=True)
        console.print(verdict(found), style="bold")
    if any(finding.level is Level.FAULT for finding in found):
        raise typer.Exit(1)


def line(finding: Finding) -> Text:
    """Write a finding in one line."""
    style = _STYLES[finding.level]
    said = Text(f"{_MARKS[finding.level]} {finding.level:<14} ", style)
    said.append(f"{finding.part} · {finding.check}: ", "" if finding.level is Level.OK else style)
    said.append(finding.found, "" if finding.level is not Level.OFF else style)
    if finding.advice:
        said.append(f" → {finding.advice}", "bold")
    return said


def verdict(found: Sequence[Finding]) -> str:
    """Count what was found."""
    counts = {level: sum(finding.level is level for finding in found) for level in Level}
    faults = terminal.counted(counts[Level.FAULT], "fault")
    warnings = terminal.counted(counts[Level.WARNING], "warning")
    return f"{faults}, {warnings}, {counts[Level.OK]} ok, {counts[Level.OFF]} not configured"
