"""The App itself at a fake GitHub, and the tokens that it is given."""

import secrets
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from tests.servers.github_answers import Refused, iso, not_found, said
from tests.servers.github_app import Installation, Token
from tests.servers.github_directory import Directory
from tests.servers.github_door import Door
from tests.servers.github_repository import Repository


class TokenDesk:
    """`/app` and its installations' tokens."""

    def __init__(self, directory: Directory, door: Door) -> None:
        self._directory = directory
        self._door = door

    def routes(self, prefix: str) -> Iterable[web.RouteDef]:
        yield web.get(f"{prefix}/app", self._app)
        yield web.post(rf"{prefix}/app/installations/{{id:\d+}}/access_tokens", self._create)

    async def _app(self, request: web.Request) -> web.Response:
        self._door.require_app(request)
        app = self._directory.app
        return web.json_response({"id": app.app_id, "slug": app.slug})

    async def _create(self, request: web.Request) -> web.Response:
        self._door.require_app(request)
        installation = self._directory.installations.get(int(request.match_info["id"]))
        if installation is None:
            raise not_found()
        if installation.suspended:
            raise Refused(403, "This installation has been suspended")
        wanted = await said(request)
        chosen = self._chosen(installation, wanted)
        permissions = wanted.get("permissions", installation.permissions)
        if any(installation.permissions.get(name) not in (level, "write") for name, level in permissions.items()):
            raise Refused(422, "The permissions requested are not granted to this installation.")
        return self._give(installation, {"metadata": "read", **permissions}, chosen)

    def _chosen(self, installation: Installation, wanted: dict[str, Any]) -> list[Repository]:
        covered = [each for each in self._directory.repositories.values() if installation.covers(each.full_name)]
        names, ids = wanted.get("repositories", []), wanted.get("repository_ids", [])
        chosen = [each for each in covered if each.name in names or each.repository_id in ids]
        if len(chosen) != len(names) + len(ids):
            raise Refused(
                422,
                "There is at least one repository that does not exist or is not accessible to the parent installation",
            )
        return chosen

    def _give(self, installation: Installation, permissions: dict[str, str], chosen: list[Repository]) -> web.Response:
        # As long as the tokens that GitHub has begun to give in 2026: nobody may count on 40 characters.
        value = f"ghs_{self._directory.app.app_id}_{secrets.token_urlsafe(360)}"
        tokens = self._directory.tokens
        ends_at_ms = self._directory.now_ms() + tokens.lifetime_ms
        ids = frozenset(each.repository_id for each in chosen) or None
        tokens.given[value] = Token(installation, permissions, ids, ends_at_ms)
        answer: dict[str, Any] = {"token": value, "expires_at": iso(ends_at_ms), "permissions": permissions}
        if chosen:
            answer["repositories"] = [each.described() for each in chosen]
        return web.json_response(answer, status=201)
