"""What the tests of the fetcher share: what an app publishes, who may fetch it, and what no error may say."""

from ipaddress import ip_network
from typing import Protocol

import pytest

from service.errors import HydraError
from service.openapi.addresses import Resolver, system_resolver
from service.openapi.fetch import Fetcher, FetchOptions, Page

DOCUMENT = b'\xef\xbb\xbf{"openapi": "3.1.0"}\r\n'
SAID_BY_THE_APP = "hunter2"
HERE = FetchOptions(allowed_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")))


class Opened(Protocol):
    """Opens a fetcher. It may reach this machine, unless the options say otherwise."""

    def __call__(self, options: FetchOptions = HERE, resolve: Resolver = system_resolver) -> Fetcher: ...


async def failure(fetcher: Fetcher, page: Page) -> HydraError:
    """Return why a page cannot be fetched, having seen that this tells neither addresses nor what the app said."""
    with pytest.raises(HydraError) as caught:
        await fetcher.fetch(page)
    error = caught.value
    assert error.__suppress_context__ or error.__context__ is None
    said = f"{error!s} {error!r} {error.facts}"
    assert SAID_BY_THE_APP not in said
    assert "127.0.0.1" not in said
    return error
