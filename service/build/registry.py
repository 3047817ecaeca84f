"""Looking up what was pushed to a registry: the few calls of the OCI distribution API that this takes.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md, with the two ways to log in that registries have:
basic, and a token from the address that the challenge names (https://distribution.github.io/distribution/spec/auth/token/).
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import httpx

from service.errors import FailedPrecondition, Transient

_MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
_LARGEST_BYTES = 4 * 1024 * 1024  # the limit that registries put on manifests
_DIGEST = re.compile(r"[a-z0-9]+:[0-9a-f]{32,128}")
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_NOT_FOUND = (404, 410)
_DENIED = (401, 403)
# Asked seldom: a connection that is kept would be dead by the next time, and until then nobody would notice.
_LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=0)


@dataclass(frozen=True)
class RegistryAccess:
    """Where images go: `url` is host and port, perhaps with a path below; `insecure` means plain HTTP."""

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    insecure: bool = False

    @property
    def host(self) -> str:
        """Host and port, as BuildKit asks for credentials."""
        return self.url.partition("/")[0]


@dataclass(frozen=True)
class Pushed:
    """An image in the registry, by the digest of its manifest."""

    digest: str
    labels: Mapping[str, str]


class Registry:
    """One registry, asked over HTTP; every call is bounded in time and size."""

    def __init__(self, access: RegistryAccess, answer_within: timedelta = timedelta(seconds=10)) -> None:
        self.access = access
        self._answer_within_s = answer_within.total_seconds()
        self._http = httpx.AsyncClient(
            base_url=f"{'http' if access.insecure else 'https'}://{access.host}",
            timeout=None,  # noqa: S113 - of each read; there is one for a whole answer, as a trickle would never end
            limits=_LIMITS,
            follow_redirects=True,  # blobs are often elsewhere; httpx drops the credentials on the way to another host
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def log_in(self) -> None:
        """See that the registry takes the credentials, without asking for an image. Raises as `find`."""
        await self._get("/v2/", "", accept="*/*")

    async def find(self, image: str) -> Pushed | None:
        """Look an image up by `host/name:tag`; None where the registry has none of that name.

        Raises Transient where it cannot tell, FailedPrecondition where it refuses the credentials.
        """
        name, _, tag = image.removeprefix(f"{self.access.host}/").rpartition(":")
        manifest = await self._get(f"/v2/{name}/manifests/{tag}", name, accept=_MANIFESTS)
        if manifest is None:
            return None
        config = await self._get(f"/v2/{name}/blobs/{_config_digest(manifest)}", name, accept="*/*")
        return Pushed(f"sha256:{sha256(manifest).hexdigest()}", _labels(config or b"{}"))

    async def _get(self, path: str, name: str, accept: str) -> bytes | None:
        headers = {"accept": accept}
        try:
            async with asyncio.timeout(self._answer_within_s):
                status, challenge, body = await self._ask(path, headers)
                if status == httpx.codes.UNAUTHORIZED:
                    status, _, body = await self._ask(path, headers | await self._authorization(challenge, name))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:  # ValueError: of a strange realm
            raise _unavailable(type(error).__name__) from None
        if status in _NOT_FOUND:
            return None
        if status in _DENIED:
            raise _refused()
        if status != httpx.codes.OK:
            raise _unavailable(f"HTTP {status}")
        return body

    async def _ask(self, path: str, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
        body = b""
        async with self._http.stream("GET", path, headers=dict(headers)) as answer:
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > _LARGEST_BYTES:
                    raise _unavailable("an answer without end")
        return answer.status_code, answer.headers.get("www-authenticate", ""), body

    async def _authorization(self, challenge: str, name: str) -> dict[str, str]:
        scheme, _, rest = challenge.partition(" ")
        basic = httpx.BasicAuth(self.access.username, self.access.password)
        if scheme.lower() != "bearer":
            request = next(basic.auth_flow(httpx.Request("GET", "http://registry")))
            return {"authorization": request.headers["authorization"]}
        given = dict(_PARAMETER.findall(rest))
        realm = urlsplit(given.get("realm", ""))
        if realm.scheme != "https" and not self.access.insecure:
            raise FailedPrecondition(
                "the registry wants its password sent without TLS: that is refused", reason="REGISTRY_AUTH_FAILED"
            )
        wanted = {"service": given.get("service", "")} | ({"scope": f"repository:{name}:pull"} if name else {})
        answer = await self._http.get(realm.geturl(), params=wanted, auth=basic)
        if answer.status_code in _DENIED:
            raise _refused()
        token = _object(answer.content)
        return {"authorization": f"Bearer {token.get('token') or token.get('access_token', '')}"}


def _labels(config: bytes) -> dict[str, str]:
    """Read the labels of an image's configuration; none where it has none."""
    within = _object(config).get("config")
    labels = within.get("Labels") if isinstance(within, dict) else None
    return {name: str(label) for name, label in labels.items()} if isinstance(labels, dict) else {}


def _config_digest(manifest: bytes) -> str:
    config = _object(manifest).get("config")
    digest = str(config.get("digest", "")) if isinstance(config, dict) else ""
    if not _DIGEST.fullmatch(digest):
        raise _unavailable("a manifest without a config")
    return digest


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise _unavailable("an answer that is no JSON") from None
    return found if isinstance(found, dict) else {}


def _refused() -> FailedPrecondition:
    return FailedPrecondition(
        "the registry refuses registry.username and registry.password: check them", reason="REGISTRY_AUTH_FAILED"
    )


def _unavailable(what: str) -> Transient:
    return Transient(f"the registry did not answer as it should: {what}", reason="REGISTRY_UNAVAILABLE")
