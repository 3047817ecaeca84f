"""One GET for an app's OpenAPI document: where the request may go, for how long, and how much may come back.

Proxies of the environment are not used: what a proxy reaches is not what was checked here, and an instance of a local
stack is behind none.
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus

import httpx

from service.openapi import refusals
from service.openapi.addresses import EVERYWHERE, Address, Network, Resolver, checked_addresses, system_resolver

_HEADERS = {
    "Accept": "application/json, application/yaml, */*;q=0.5",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": "hydra-deploy",
}
# No connection is used again: apps share the addresses of the frontline, and a certificate is verified once for each.
_LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=0)
_ADDRESSES = 4
_LAST_PORT = 65535
_REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)
_ABSENT = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


@dataclass(frozen=True)
class Page:
    """Where a document is. `local`: on an instance of a local stack, whose address may be any."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    local: bool = False


@dataclass(frozen=True)
class FetchOptions:
    """The bounds of a request, redirects and body included, and what it may reach beside the public internet.

    `tls` says whose certificates count; None means those of the environment (SSL_CERT_FILE), else of certifi.
    """

    timeout: timedelta = timedelta(seconds=10)
    max_bytes: int = 5 << 20
    allowed_networks: Sequence[Network] = ()
    tls: ssl.SSLContext | None = None


class Fetcher:
    """Fetches documents, some at a time."""

    def __init__(self, options: FetchOptions, resolve: Resolver = system_resolver) -> None:
        self._options = options
        self._resolve = resolve
        # The transport alone: it knows no proxies and no cookies, and no redirects, over which a client stumbles even
        # when it is not to follow them.
        self._http = httpx.AsyncHTTPTransport(verify=options.tls or httpx.create_ssl_context(), limits=_LIMITS)

    async def close(self) -> None:
        await self._http.aclose()

    async def fetch(self, page: Page) -> bytes | None:
        """Return what the app sent, which may be no document at all; None where the app has none (404, 410).

        Raises FailedPrecondition for what another try does not cure, else Transient.
        """
        try:
            async with asyncio.timeout(self._options.timeout.total_seconds()):
                return await self._get(page)
        except TimeoutError:
            raise refusals.unavailable("the app did not send its OpenAPI document in time") from None
        except (httpx.HTTPError, OSError):  # the latter from TLS that breaks later than its beginning
            raise refusals.unavailable("the app cannot be reached, or does not speak HTTP") from None

    async def _get(self, page: Page) -> bytes | None:
        url = _url(page.url)
        # Asked for once, and not for each redirect: those that are followed stay on the host.
        allowed = EVERYWHERE if page.local else self._options.allowed_networks
        addresses = await checked_addresses(url.raw_host.decode("ascii"), self._resolve, allowed)
        for _ in range(_REDIRECTS + 1):
            async with aclosing(await self._send(url, page.headers, addresses)) as response:
                if response.status_code not in _MOVED:
                    return await self._read(response)
                url = _moved(url, response.headers.get("location", ""))
        raise refusals.redirected(f"more than {_REDIRECTS} times")

    async def _send(self, url: httpx.URL, headers: Mapping[str, str], addresses: Sequence[Address]) -> httpx.Response:
        """Ask at the first address that can be connected to, of a few, each with its share of the time."""
        tried = addresses[:_ADDRESSES]
        share_s = self._options.timeout.total_seconds() / len(tried)
        *requests, last = (_request(url, headers, address, share_s) for address in tried)
        for request in requests:
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._http.handle_async_request(request)
        return await self._http.handle_async_request(last)

    async def _read(self, response: httpx.Response) -> bytes | None:
        if response.status_code in _ABSENT:
            return None
        if response.status_code != HTTPStatus.OK:
            raise refusals.refused(response.status_code)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise refusals.encoded()
        content = bytearray()
        async for chunk in response.aiter_raw():
            if len(content) + len(chunk) > self._options.max_bytes:
                raise refusals.too_large(self._options.max_bytes)
            content += chunk
        return bytes(content)


def _url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise refusals.host_invalid() from None
    if url.userinfo or url.scheme not in ("http", "https") or (url.port or 0) > _LAST_PORT:
        raise refusals.host_invalid()
    return url


def _request(url: httpx.URL, headers: Mapping[str, str], address: Address, connect_s: float) -> httpx.Request:
    """Build a request to an address that goes by its name: in the header, and for the certificate."""
    return httpx.Request(
        "GET",
        url.copy_with(host=str(address)),
        headers={**_HEADERS, **headers, "Host": url.netloc.decode("ascii")},
        extensions={"sni_hostname": url.raw_host.decode("ascii"), "timeout": {"connect": connect_s}},
    )


def _moved(url: httpx.URL, location: str) -> httpx.URL:
    """Return where a redirect leads, if that is another path of the same host."""
    try:
        to = url.join(location)
    except (httpx.InvalidURL, ValueError):  # the latter from urllib, which joins them
        raise refusals.redirected("to what is no address") from None
    if (to.scheme, to.raw_host, to.port) != (url.scheme, url.raw_host, url.port):
        raise refusals.redirected("to another host")
    return to
