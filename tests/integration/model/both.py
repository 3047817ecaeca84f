"""An app and its model side by side: each operation is done to both, and then they are compared."""

import asyncio
from collections.abc import Iterable
from typing import Any

from tests.integration.model.driver import Driver
from tests.integration.model.expected import Expected

Operation = tuple[Any, ...]  # the name that it has in Expected and in Driver, and its arguments


class Both:
    """`expected` is the model's state, which the app has been found in."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.expected = Expected()

    async def do(self, name: str, *arguments: Any, **more: Any) -> Any:
        """Do one operation to both, compare, and tell whether it was accepted."""
        after, wanted = self.expected.would(name, *arguments, **more)
        accepted = await getattr(self.driver, name)(*arguments, **more)
        assert accepted == wanted, f"{name} {arguments}: accepted {accepted}, and expected {wanted}"
        await self._agree([after])
        return wanted

    async def undone(self, how: str, point: str, *operation: Any) -> None:
        """Begin an operation that is undone, around its switch."""
        after, _ = self.expected.would("undone", point, *operation)
        if how == "killed":
            after.round(thorough=False)
        assert not await self.driver.undone(how, point, *operation)
        await self._agree([after])

    async def interrupted(self, how: str, point: str, *operation: Any) -> None:
        """Do an operation that is accepted, and let the worker vanish meanwhile: nothing comes of that."""
        assert await self.driver.interrupted(how, point, *operation)
        await self.turned_out(operation)

    async def repeated(self, number: int) -> None:
        """Do a call again that Restate has forgotten: nothing comes of that."""
        await self.driver.repeated(number)
        await self._agree([self.expected])

    async def race(self, *operations: Operation) -> None:
        """Do two operations at once: the outcome must be that of one after the other, in either order.

        The second is refused at once, or has to be undone.
        """
        outcomes = [
            outcome for first, second in (operations, operations[::-1]) for outcome in self._outcomes(first, second)
        ]
        await asyncio.gather(*(getattr(self.driver, name)(*arguments) for name, *arguments in operations))
        await self._agree(outcomes)

    def _outcomes(self, first: Operation, second: Operation) -> Iterable[Expected]:
        after_first, _ = self.expected.would(*first)
        after_both, accepted = after_first.would(*second)
        yield after_both
        if accepted is False:
            yield after_first.would("undone", "before", *second)[0]

    async def turned_out(self, operation: Operation) -> None:
        """Compare after an operation that was done to the app alone, and accepted."""
        after, wanted = self.expected.would(*operation)
        assert wanted
        await self._agree([after])

    async def in_order(self) -> None:
        """Check the promises, of the model and of the app."""
        self.expected.check()
        await self.driver.in_order()

    async def _agree(self, expected: list[Expected]) -> None:
        agreed = await self.driver.agrees(*expected)
        if agreed is None:
            seen = await self.driver.seen()
            raise AssertionError("\n".join([f"seen     {seen}", *(f"expected {one.seen()}" for one in expected)]))
        self.expected = agreed
