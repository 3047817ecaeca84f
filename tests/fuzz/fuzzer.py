"""Sends generated requests in batches, and looks at the installation after each."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import hypothesis.strategies as st
from hypothesis import example, given, seed

from tests.fuzz.bounds import FULL, LARGEST_BATCH, SEED, SETTINGS
from tests.fuzz.watch import Watch
from tests.installation import Installation

R = TypeVar("R")
T = TypeVar("T")
Send = Callable[[R], Awaitable[str]]  # what is wrong with the answer to a request, empty where nothing is

# Words of the inside: classes of exceptions, of Python objects and of codecs, files, lines.
_INSIDE = re.compile(
    r"[A-Z]\w*(?:Error|Exception|Warning)\b|\.py\b|\.so\b|/site-packages|\bTraceback\b|\bline \d+, in\b"
    r"|<[a-z]+ '|\bobjects?> |\bcodec\b|\bsys\.|\b(?:str|int|dict|list|NoneType)\b' |got '\w+'|\b_upb\b"
)


def leak(message: str) -> str:
    """Return what an error's message tells of the inside, empty where it tells nothing."""
    found = _INSIDE.search(message)
    return f"the message tells of the inside ({found[0]!r}): {message[:300]}" if found else ""


class Fuzzer:
    """Feeds one installation."""

    def __init__(self, installation: Installation, watch: Watch) -> None:
        self._installation = installation
        self._watch = watch
        self._loop = asyncio.get_running_loop()

    async def feed(self, requests: st.SearchStrategy[R], send: Send[R], known: Sequence[R] = ()) -> None:
        """Send what is known to be nasty, then what is drawn, and deploy at the end."""
        if FULL:
            print(f"HYDRA_TEST_SEED={SEED}")  # noqa: T201 - pytest shows it with a failure
        await self._watch.begin()
        await asyncio.to_thread(self._search, requests, send, known)
        await self._installation.deployed(await self._installation.world())

    def _search(self, requests: st.SearchStrategy[R], send: Send[R], known: Sequence[R]) -> None:
        @SETTINGS
        @given(st.lists(requests, min_size=1, max_size=LARGEST_BATCH))
        def batch(sent: list[R]) -> None:
            self._run(self._batch(sent, send))

        for start in range(0, len(known), LARGEST_BATCH):
            batch = example(list(known[start : start + LARGEST_BATCH]))(batch)
        if FULL:
            batch = seed(SEED)(batch)
        batch()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        # hypothesis calls from a thread of its own; what is asynchronous runs on the tests' loop.
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _batch(self, sent: list[R], send: Send[R]) -> None:
        wrong = await asyncio.gather(*(send(one) for one in sent))
        found = [f"{one}: {what}" for one, what in zip(sent, wrong, strict=True) if what]
        found += await self._watch.complaints()
        assert not found, "\n".join(found)
