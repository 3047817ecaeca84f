"""Telling Restate where this worker's handlers are."""

import asyncio
from dataclasses import dataclass, field

import httpx
import structlog

log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0


@dataclass(frozen=True)
class Registration:
    """`uri` is this release's own address; `api_key` the admin API's, empty for none."""

    admin_url: str
    uri: str
    api_key: str = field(default="", repr=False)

    async def register(self) -> None:
        """Register until Restate has taken it; a worker may be up before Restate is.

        Not forced: a release has an address of its own, and one that Restate knows already is this very release.
        """
        pause = _FIRST_PAUSE_SECONDS
        while not await self._try():
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _try(self) -> bool:
        headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        url = f"{self.admin_url.rstrip('/')}/deployments"
        try:
            # One deadline for all of it: httpx has one for each read, and a trickle would never end.
            async with (
                asyncio.timeout(_TIMEOUT_SECONDS),
                httpx.AsyncClient(timeout=None, trust_env=False) as client,  # noqa: S113 - see above
            ):
                answer = await client.post(url, json={"uri": self.uri, "force": False}, headers=headers)
        except (httpx.HTTPError, TimeoutError, ValueError) as error:  # ValueError: of a key that no header can hold
            log.warning("Restate's admin API cannot be reached", admin_url=self.admin_url, error=type(error).__name__)
            return False
        if answer.is_success:
            log.info("registered at Restate", uri=self.uri, known=answer.status_code == httpx.codes.OK)
            return True
        said = answer.text.replace(self.api_key, "[key]") if self.api_key else answer.text
        log.error("Restate refused the registration", uri=self.uri, status=answer.status_code, answer=said[:300])
        return False
