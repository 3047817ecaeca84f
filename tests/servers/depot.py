"""A fake Depot: its Connect API as JSON over HTTP (04 · 7), with projects, builds and tokens, and faults on demand.

async with FakeDepot(FakeMachine("127.0.0.1:1234")) as depot:
    depot.program("CreateBuild", Refuse("unavailable"))
"""

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from aiohttp import web

from tests.servers.depot_faults import Fault, meet, refusal

_PROJECTS = "depot.core.v1.ProjectService"
_BUILDS = "depot.cli.v1.BuildService"
_PLATFORMS = ("BUILDER_PLATFORM_AMD64", "BUILDER_PLATFORM_ARM64")
_RESULTS = ("success", "error", "canceled")


@dataclass(frozen=True)
class FakeMachine:
    """What builds get: where a BuildKit listens, `host:port`, and the PEMs to talk to it, if any."""

    endpoint: str
    server_name: str = ""
    ca_pem: str = ""
    cert_pem: str = ""
    key_pem: str = ""


@dataclass(frozen=True)
class FakeProject:
    project_id: str
    name: str
    region: str
    keep_gb: int = 0
    keep_days: int = 0


@dataclass
class FakeBuild:
    """A build; `events` are its calls in order. `result` is empty until it is finished."""

    build_id: str
    project_id: str
    token: str
    events: list[str] = field(default_factory=list)
    platforms: set[str] = field(default_factory=set)
    result: str = ""
    error: str = ""

    @property
    def heartbeats(self) -> int:
        return self.events.count("ReportBuildHealth")


@dataclass(frozen=True)
class Call:
    """A request as it came, good or bad; `at_s` is the event loop's time."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at_s: float

    @property
    def method(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")


class _Refused(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class FakeDepot:
    """Projects and builds of one organization; `token` is the organization's.

    A build's first `pending` questions for a machine are put off. `repeated_name` is what a second project of the same
    name gets. All attributes may be changed at any time.
    """

    def __init__(self, machine: FakeMachine | None = None) -> None:
        self.token = "depot-organization-token"  # noqa: S105 - the fake's own
        self.machine = machine
        self.pending = 0
        self.wait_ms = 1
        self.cancels_at = ""
        self.page_size = 100
        self.repeated_name: Literal["new", "same", "refused"] = "new"
        self.projects: dict[str, FakeProject] = {}
        self.builds: dict[str, FakeBuild] = {}
        self.calls: list[Call] = []
        self._faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._lasting: dict[str, Fault] = {}
        self._closed = asyncio.Event()
        self._runner: web.AppRunner
        self._port = 0

    @property
    def url(self) -> str:
        """What `depot.api_url` takes."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def open_builds(self) -> list[str]:
        """The ids of builds whose end nobody reported."""
        return [build.build_id for build in self.builds.values() if not build.result]

    @property
    def silent_builds(self) -> list[str]:
        """The ids of builds that never had a heartbeat."""
        return [build.build_id for build in self.builds.values() if not build.heartbeats]

    def program(self, method: str, *faults: Fault) -> None:
        """Let the next calls of a method, such as `CreateBuild`, meet these faults, one each."""
        self._faults[method].extend(faults)

    def program_always(self, method: str, fault: Fault | None) -> None:
        """Let every call of a method meet this fault once those of `program` are used up; None ends that."""
        self._lasting.pop(method, None)
        if fault is not None:
            self._lasting[method] = fault

    def add_project(self, name: str, region: str = "us-east-1", keep_gb: int = 0, keep_days: int = 0) -> str:
        """Make a project as if somebody else had; return its id."""
        project = FakeProject(f"dp{len(self.projects) + 1}", name, region, keep_gb, keep_days)
        self.projects[project.project_id] = project
        return project.project_id

    def called(self, method: str) -> list[Call]:
        return [call for call in self.calls if call.method == method]

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed.set()
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        call = Call(request.path[1:], dict(request.headers), await request.read(), asyncio.get_running_loop().time())
        self.calls.append(call)
        waiting = self._faults[call.method]
        fault = waiting.popleft() if waiting else self._lasting.get(call.method)
        if fault is None:
            return self._answer(request, call)
        return await meet(fault, request, lambda: self._answer(request, call), self._closed)

    def _answer(self, request: web.Request, call: Call) -> web.Response:
        work = self._work().get(call.path)
        if work is None:  # as the service answers, not as Connect would (04 · 7)
            odd = {"message": f"Route POST:/{call.path} not found", "error": "Not Found", "statusCode": 404}
            return web.json_response(odd, status=404)
        if request.method != "POST":
            return web.Response(status=405)
        if request.content_type != "application/json":
            return web.Response(status=415)
        try:
            _expect(call.headers.get("Connect-Protocol-Version") == "1", "Connect-Protocol-Version")
            asked = json.loads(call.body)
            _expect(isinstance(asked, dict), "body")
            return web.json_response(work(asked, call.token))
        except _Refused as error:
            return refusal(error.code, str(error))

    def _work(self) -> dict[str, Callable[[dict[str, Any], str], dict[str, Any]]]:
        return {
            f"{_PROJECTS}/ListProjects": self._list_projects,
            f"{_PROJECTS}/CreateProject": self._create_project,
            f"{_BUILDS}/CreateBuild": self._create_build,
            f"{_BUILDS}/GetBuildKitConnection": self._connect,
            f"{_BUILDS}/ReportBuildHealth": self._report_health,
            f"{_BUILDS}/FinishBuild": self._finish,
        }

    def _list_projects(self, asked: dict[str, Any], token: str) -> dict[str, Any]:
        self._check_organization(token)
        first = int(asked.get("pageToken") or 0)
        size = min(asked.get("pageSize") or self.page_size, self.page_size)
        rest = list(self.projects.values())[first:]
        more = {"nextPageToken": str(first + size)} if len(rest) > size else {}
        return {"projects": [_project(project) for project in rest[:size]], **more}

    def _create_project(self, asked: dict[str, Any], token: str) -> dict[str, Any]:
        self._check_organization(token)
        name, region, cache = asked.get("name"), asked.get("regionId"), asked.get("cachePolicy", {})
        _expect(bool(name), "name")
        _expect(bool(region), "region_id")
        known = next((project for project in self.projects.values() if project.name == name), None)
        if known is not None and self.repeated_name == "refused":
            raise _Refused("already_exists", "a project of that name exists")
        if known is not None and self.repeated_name == "same":
            return {"project": _project(known)}
        made = self.add_project(str(name), str(region), cache.get("keepGb", 0), cache.get("keepDays", 0))
        return {"project": _project(self.projects[made])}

    def _create_build(self, asked: dict[str, Any], token: str) -> dict[str, Any]:
        self._check_organization(token)
        project_id = str(asked.get("projectId"))
        if project_id not in self.projects:
            raise _Refused("not_found", "project not found")
        number = len(self.builds) + 1
        build = FakeBuild(f"build{number}", project_id, f"depot-build-token-{number}")
        self.builds[build.build_id] = build
        return {"buildId": build.build_id, "buildToken": build.token, "projectId": project_id}

    def _connect(self, asked: dict[str, Any], token: str) -> dict[str, Any]:
        build = self._running(asked, token, "GetBuildKitConnection")
        _expect(asked.get("requiredEngine") == {"buildkit": {}}, "required_engine")
        if self.machine is None or build.events.count("GetBuildKitConnection") <= self.pending:
            return {"pending": {"waitMs": self.wait_ms}}
        active: dict[str, Any] = {"endpoint": f"tcp://{self.machine.endpoint}", "serverName": self.machine.server_name}
        if self.machine.cert_pem:
            active["cert"] = {"cert": self.machine.cert_pem, "key": self.machine.key_pem}
            active["caCert"] = {"cert": self.machine.ca_pem}
        return {"active": active}

    def _report_health(self, asked: dict[str, Any], token: str) -> dict[str, Any]:
        self._running(asked, token, "ReportBuildHealth")
        return {"cancelsAt": self.cancels_at} if self.cancels_at else {}

    def _finish(self, asked: dict[str, Any], token: str) -> dict[str, Any]:
        build = self._build(asked, token, "FinishBuild")
        results = [result for result in _RESULTS if result in asked]
        _expect(len(results) == 1, "result")
        if build.result:
            raise _Refused("failed_precondition", "the build has ended")
        build.result = results[0]
        build.error = asked[build.result].get("error", "")
        return {}

    def _running(self, asked: dict[str, Any], token: str, event: str) -> FakeBuild:
        build = self._build(asked, token, event)
        _expect(asked.get("platform") in _PLATFORMS, "platform")
        build.platforms.add(asked["platform"])
        if build.result:
            raise _Refused("failed_precondition", "the build has ended")
        return build

    def _build(self, asked: dict[str, Any], token: str, event: str) -> FakeBuild:
        build = self.builds.get(str(asked.get("buildId")))
        if build is None:
            raise _Refused("not_found", "build not found")
        if token != build.token:
            raise _Refused("unauthenticated", "invalid token")
        build.events.append(event)
        return build

    def _check_organization(self, token: str) -> None:
        if token != self.token:
            raise _Refused("unauthenticated", "invalid token")


def _expect(holds: bool, name: str) -> None:
    if not holds:
        raise _Refused("invalid_argument", f"{name} is missing or wrong")


def _project(project: FakeProject) -> dict[str, Any]:
    policy = {"keepGb": project.keep_gb, "keepDays": project.keep_days}
    named = {"projectId": project.project_id, "name": project.name, "regionId": project.region}
    return {**named, "organizationId": "org", "cachePolicy": policy}
