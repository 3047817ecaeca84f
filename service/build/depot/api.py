"""Depot's API as far as it is used: one method per call, JSON in and values out (04 · 7.1, 7.2).

Every method raises DepotFault.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from service.build.depot.faults import DepotFault
from service.build.depot.machine import Machine, builder_platform, part, read_machine, text
from service.build.depot.timing import Timing
from service.build.depot.wire import Wire

_PROJECTS = "depot.core.v1.ProjectService"
_BUILDS = "depot.cli.v1.BuildService"
_PAGE_SIZE = 100
_CACHE = {"keepGb": 50, "keepDays": 14}
_ERROR_CHARACTERS = 2_000
_INT32 = 2**31


@dataclass(frozen=True)
class ProjectPage:
    """A part of the organization's projects. `next_token` asks for the next one, empty on the last."""

    ids_by_name: dict[str, str]
    next_token: str


@dataclass(frozen=True)
class BuildTicket:
    """A build, and the token that its own calls take."""

    build_id: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class Pending:
    """No machine yet: ask again after `wait`."""

    wait: timedelta


@dataclass(frozen=True)
class Outcome:
    """How a build ended: `success`, `error` with a text, or `canceled`."""

    result: str
    error: str = ""


class DepotApi:
    """Calls to Depot: `token` is the organization's; what is about one build goes with that build's own."""

    def __init__(self, base_url: str, token: str, timing: Timing) -> None:
        self._wire = Wire(base_url)
        self._token = token
        self._timing = timing

    async def close(self) -> None:
        await self._wire.close()

    async def projects(self, page_token: str) -> ProjectPage:
        """List projects; an empty token asks for the first page."""
        asked = {"pageSize": _PAGE_SIZE, **({"pageToken": page_token} if page_token else {})}
        answer = await self._call(_PROJECTS, "ListProjects", asked)
        listed = answer.get("projects")
        projects = [project for project in listed if isinstance(project, dict)] if isinstance(listed, list) else []
        named = {text(project, "name"): text(project, "projectId") for project in reversed(projects)}
        ids_by_name = {name: project_id for name, project_id in named.items() if project_id}
        return ProjectPage(ids_by_name, text(answer, "nextPageToken"))

    async def create_project(self, name: str, region: str) -> str:
        """Return the new project's id."""
        asked = {"name": name, "regionId": region, "cachePolicy": _CACHE}
        answer = await self._call(_PROJECTS, "CreateProject", asked)
        return _present(text(part(answer, "project"), "projectId"), "CreateProject", "project.projectId")

    async def create_build(self, project_id: str) -> BuildTicket:
        answer = await self._call(_BUILDS, "CreateBuild", {"projectId": project_id})
        build_id = _present(text(answer, "buildId"), "CreateBuild", "buildId")
        return BuildTicket(build_id, _present(text(answer, "buildToken"), "CreateBuild", "buildToken"))

    async def connection(self, build: BuildTicket, platform: str) -> Machine | Pending:
        """Ask for a machine with BuildKit, for a platform such as `linux/amd64`."""
        method = "GetBuildKitConnection"
        asked = {
            "buildId": build.build_id,
            "platform": builder_platform(platform),
            "requiredEngine": {"buildkit": {}},
        }
        answer = await self._call(_BUILDS, method, asked, build)
        active = part(answer, "active")
        if not active:
            wait_ms = part(answer, "pending").get("waitMs")
            return Pending(timedelta(milliseconds=wait_ms if isinstance(wait_ms, int) and wait_ms < _INT32 else 0))
        try:
            return read_machine(active)
        except ValueError as error:
            raise DepotFault(method, "", str(error)) from None

    async def report_health(self, build: BuildTicket, platform: str) -> str:
        """Return when Depot will cancel the build, in its own words; empty where it does not say."""
        asked = {"buildId": build.build_id, "platform": builder_platform(platform)}
        answer = await self._call(_BUILDS, "ReportBuildHealth", asked, build)
        return text(answer, "cancelsAt")

    async def finish(self, build: BuildTicket, outcome: Outcome) -> None:
        """Report how a build ended; a long error is cut."""
        error = outcome.error[:_ERROR_CHARACTERS].encode(errors="replace").decode()  # half a surrogate is no JSON
        result = {"error": error} if error else {}
        await self._call(_BUILDS, "FinishBuild", {"buildId": build.build_id, outcome.result: result}, build)

    async def _call(
        self, service: str, method: str, asked: dict[str, Any], build: BuildTicket | None = None
    ) -> dict[str, Any]:
        within = self._timing.heartbeat if method == "ReportBuildHealth" else self._timing.answer
        return await self._wire.call(f"{service}/{method}", asked, build.token if build else self._token, within)


def _present(value: str, method: str, name: str) -> str:
    if not value:
        raise DepotFault(method, "", f"the answer holds no {name}")
    return value
