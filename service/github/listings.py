"""GitHub's lists: pages that are looked through for what is wanted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from service.errors import HydraError
from service.github.access import Access
from service.github.client import Request
from service.github.refusals import unusable
from service.github.scopes import Grant

_PAGE_BYTES = 16 << 20


@dataclass(frozen=True)
class Listing:
    """A list by its quoted path, read in pages of `per_page`, at most 100, up to `most_pages`.

    `absent` is what it means that GitHub has no such list of a repository that is there; None: that it is empty.
    """

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    absent: HydraError | None = None
    per_page: int = 100
    most_pages: int = 10

    def page(self, number: int) -> Request:
        query = {**self.query, "per_page": str(self.per_page), "page": str(number)}
        return Request("GET", f"{self.path}?{urlencode(query, quote_via=quote, safe='')}", most_bytes=_PAGE_BYTES)


async def search(access: Access, grant: Grant, listing: Listing, wanted: Callable[[Any], bool]) -> list[Any]:
    """Return what is wanted of the first page with any of it, in GitHub's order; empty where no page has."""
    for number in range(1, listing.most_pages + 1):
        answer = await access.ask(listing.page(number), grant, (HTTPStatus.OK, HTTPStatus.NOT_FOUND))
        if answer.status == HTTPStatus.NOT_FOUND:
            await access.look(grant)
            if listing.absent is not None:
                raise listing.absent
            return []
        if not isinstance(answer.body, list):
            raise unusable()
        found = [each for each in answer.body if wanted(each)]
        if found or len(answer.body) < listing.per_page:
            return found
    return []
