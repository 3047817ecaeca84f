"""Requests to GitHub's REST API: who asks, for how long, through which redirects, and how much may come back."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx
import structlog

from service.github.answers import Answer
from service.github.rate_limits import RateLimits
from service.github.refusals import unavailable, unusable

log = structlog.get_logger(__name__)

_HEADERS = {
    "Accept": "application/vnd.github+json",
    "Accept-Encoding": "identity",  # so that the bound below is one of what is unpacked, too
    "User-Agent": "hydra-deploy",
    "X-GitHub-Api-Version": "2022-11-28",
}
_LIMITS = httpx.Limits(max_connections=10, max_keepalive_connections=5)
_REDIRECTS = 5
# A repository or branch that was renamed; the request is repeated verbatim, its method included.
# https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects
_MOVED = (301, 302, 307, 308)


@dataclass(frozen=True)
class Credential:
    """Who asks: a name for logs and limits, and the token; without one, nobody."""

    name: str
    token: str = field(repr=False)


NOBODY = Credential("nobody", "")


@dataclass(frozen=True)
class Request:
    """What is asked: a quoted path that begins with a slash, and how large the answer may be."""

    method: str
    path: str
    body: Any = None
    most_bytes: int = 1 << 20


class GitHubClient:
    """A small pool of connections to one GitHub. Proxies and authorities are those of the environment."""

    def __init__(self, api_url: str, timeout: timedelta, now_ms: Callable[[], int]) -> None:
        self._api = httpx.URL(api_url.rstrip("/"))
        self._timeout = timeout
        self._limits = RateLimits(now_ms)
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        # The deadline is one for all of a request: a timeout for each read would never end a slow trickle.
        self._http = httpx.AsyncClient(headers=_HEADERS, limits=_LIMITS, timeout=None, cookies=no_cookies)  # noqa: S113

    async def close(self) -> None:
        await self._http.aclose()

    async def send(self, request: Request, credential: Credential) -> Answer:
        """Send a request, and return any answer below 500.

        Raises Transient where there is no usable answer in time, or GitHub asks for patience.
        """
        self._limits.check(credential.name)
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                response, payload = await self._exchange(request, credential)
        except TimeoutError:
            raise unavailable("GitHub did not answer in time") from None
        # Beside its own errors httpx lets some of TLS pass, and some of addresses that are none.
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
            raise unavailable("GitHub cannot be reached") from None
        if not response.is_success:
            _report(request, credential, response)
        self._limits.heed(credential.name, response.status_code, response.headers, payload)
        return _read(response, payload)

    async def _exchange(self, request: Request, credential: Credential) -> tuple[httpx.Response, bytes]:
        """Send the request, again where it is told to go to another path, and read the last answer."""
        headers = {"Authorization": f"Bearer {credential.token}"} if credential.token else {}
        url = httpx.URL(f"{self._api}{request.path}")
        for _ in range(_REDIRECTS + 1):
            async with self._http.stream(request.method, url, json=request.body, headers=headers) as response:
                payload = await _bounded(response, request.most_bytes)
            if response.status_code not in _MOVED:
                return response, payload
            url = self._moved(url, response.headers)
        raise unavailable("GitHub redirects in circles")

    def _moved(self, url: httpx.URL, headers: Mapping[str, str]) -> httpx.URL:
        """Return where a redirect leads. The token is for this host alone, so no other is asked."""
        to = url.join(headers.get("location", ""))
        if (to.scheme, to.host, to.port) != (self._api.scheme, self._api.host, self._api.port):
            raise unavailable("GitHub redirects to another host: see that github.api_url is its API")
        # Where it names a path alone, a repository has moved, and the same is asked of it.
        query = b"?" + url.query if url.query and not to.query else b""
        return self._api.copy_with(raw_path=to.raw_path + query)


async def _bounded(response: httpx.Response, most_bytes: int) -> bytes:
    payload = bytearray()
    async for chunk in response.aiter_raw():
        payload += chunk
        if len(payload) > most_bytes:
            raise unusable()
    return bytes(payload)


def _read(response: httpx.Response, payload: bytes) -> Answer:
    status = response.status_code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise unavailable("GitHub has an error of its own")
    is_refusal = status >= HTTPStatus.BAD_REQUEST
    if not is_refusal and status >= HTTPStatus.MULTIPLE_CHOICES:
        raise unusable()
    try:
        return Answer(status, json.loads(payload) if payload else None, response.headers)
    except (ValueError, RecursionError):
        if is_refusal:
            return Answer(status, None, response.headers)
        raise unusable() from None


def _report(request: Request, credential: Credential, response: httpx.Response) -> None:
    """Log what GitHub's support asks for; never what GitHub says, which may repeat what it was told."""
    log.info(
        "GitHub refuses",
        method=request.method,
        path=request.path,
        who=credential.name,
        status=response.status_code,
        request_id=response.headers.get("x-github-request-id", "")[:64],
    )
