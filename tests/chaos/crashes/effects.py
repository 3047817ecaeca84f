"""What a run did to the world outside, and what it left running or written down that it should not have."""

import re
from collections import Counter
from pathlib import Path

from service.clock import now_ms
from service.database import tables
from tests.chaos.crashes.outside import EDIT
from tests.chaos.crashes.runs import Invocation, Run, raw_journals, shown
from tests.chaos.crashes.site import CrashSite
from tests.servers.fake_build import FakeBuild

_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\b\d{13}\b")


def effects(site: CrashSite, run: Run) -> dict[str, list[str]]:
    """Describe what is to be seen at GitHub and in the registry, masked, and how often each thing was done there."""
    repository = run.repository
    deployments = [
        shown([one.ref, one.environment, one.payload, [(each.state, each.description) for each in one.statuses]])
        for one in repository.deployments
    ]
    comments = [_TIME.sub("<time>", one.body) for one in repository.all_comments.values()]
    done = Counter(_kind(one.what) for one in site.outside.done[run.before.done :] if _is_once(one.what))
    return {
        "deployments at GitHub": [run.names.mask(one) for one in deployments],
        "comments": [_drawn(run.names.mask(one)) for one in comments],
        "done outside": sorted(f"{what}: {count}" for what, count in done.items()),
        "images pushed": [run.names.mask(one.partition("/")[2]) for one in site.registry.pushes[run.before.pushes :]],
    }


def _is_once(what: str) -> bool:
    """Tell what happens once whatever befalls.

    A build that was cut short by the crash is begun again. Of two deployments the older one's row of a comment is shown
    for a moment, or not at all, as it comes before or after the newer one's.
    """
    return what != "build runs" and not what.startswith(f"{EDIT} ")


def _kind(what: str) -> str:
    return re.sub(r"/repos/[^/]+|\d+", "*", what)


def _drawn(text: str) -> str:
    return re.sub(r"\b(git-[0-9a-f]{7})-\d{4}\b", r"\1-<suffix>", text)


async def left_running(site: CrashSite, run: Run, found: list[Invocation]) -> list[str]:
    """Say what still runs, or looks like it."""
    installation = site.installation
    ids = {one.id for one in found}
    operations = [row for row in await installation.rows(tables.hydra_operations, state="running") if row["id"] in ids]
    of_world = [row for row in await installation.rows(tables.hydra_builds) if row["deployment_id"] in run.deployments]
    leases = [row["deployment_id"] for row in of_world if row["lease_until"] > now_ms()]
    open_builds = [one for one in _builds(site, run) if not one.ended.is_set()]
    faults = [f"the operation {row['id']} is `running`" for row in operations]
    faults += [f"the build of {one} has a lease" for one in leases]
    faults += [f"the build {one.request.Ref} runs at the builder" for one in open_builds]
    attempts = [row for row in await installation.rows(tables.hydra_deployment_attempts) if row["state"] == "running"]
    faults += [f"{row['deployment_id']} is claimed" for row in attempts if row["deployment_id"] in run.deployments]
    return faults


async def build_faults(site: CrashSite, run: Run) -> list[str]:
    """Say what is wrong between the builds of a run, the registry and the rows: one execution builds at a time."""
    rows = [row for row in await site.installation.rows(tables.hydra_builds) if row["deployment_id"] in run.deployments]
    faults = [
        f"the digest of {row['image']} is not the registry's"
        for row in rows
        if row["digest"] != site.registry.digest(row["image"])
    ]
    begun, executions = len(_builds(site, run)), sum(row["executions"] for row in rows)
    if begun > executions:
        faults.append(f"{begun} builds were begun in {executions} executions")
    return faults


def _builds(site: CrashSite, run: Run) -> list[FakeBuild]:
    return site.buildkit.builds[run.before.builds :]


async def secrets_seen(site: CrashSite, run: Run, found: list[Invocation]) -> list[str]:
    """Say which secret was written to the log since the run began, or is in its journal (06 · X3)."""
    stack = site.installation.stack
    written = {
        "the worker's log": stack.worker_log.read_bytes()[run.before.log :],
        "the journal": await raw_journals(site, [one.id for one in found]),
    }
    return [
        f"{what} is in {where}"
        for what, secret in site.secrets().items()
        for where, text in written.items()
        if secret.encode() in text
    ]


def log_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
