"""The state machine: random operations on one app, each done to the installation and to the model."""

import asyncio
from collections.abc import Coroutine
from copy import deepcopy
from typing import Any, ClassVar, TypeVar

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.inside_caller import InsideCaller
from tests.installation import Installation
from tests.integration.model.driver import REGION, Driver
from tests.integration.model.expected import PREVIEW, PRODUCTION, Expected, Status

T = TypeVar("T")
Operation = tuple[Any, ...]  # the name that it has in Expected and in Driver, and its arguments
ENVIRONMENTS = st.sampled_from([PRODUCTION, PRODUCTION, PREVIEW])


class Bridge:
    """Runs what is asynchronous on the tests' loop: hypothesis calls from a thread of its own."""

    def __init__(self, installation: Installation, inside: InsideCaller) -> None:
        self._loop = asyncio.get_running_loop()
        self._installation = installation
        self._inside = inside

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def driver(self) -> Driver:
        """Make an app of its own."""
        quota = {"quota_cpu_millicores": 10**6, "quota_memory_mib": 10**6}
        world = self.run(self._installation.world(regions=(REGION,), **quota))
        return Driver(self._installation, self._inside, world)


class AppMachine(RuleBasedStateMachine):
    """One app under random operations, one at a time, and now and then two at once."""

    bridge: ClassVar[Bridge]  # set by a subclass: hypothesis makes the machines itself

    def __init__(self) -> None:
        super().__init__()
        self.driver = self.bridge.driver()
        self.expected = Expected()

    # ------------------------------------------------------------------------------------------------------- rules

    @rule(environment=ENVIRONMENTS)
    def deploy(self, environment: str) -> None:
        self.begin(environment)
        self.do("finish", len(self.expected.deployments) - 1)

    @precondition(lambda self: len(self.waiting()) < 2)
    @rule(environment=ENVIRONMENTS)
    def begin(self, environment: str) -> None:
        self.expected.begin(environment)
        self.bridge.run(self.driver.begin(environment))

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), end=st.sampled_from(["finish", "finish", "fail", "cancel"]))
    def end(self, data: st.DataObject, end: str) -> None:
        self.do(end, data.draw(st.sampled_from(self.waiting()), label=end))

    @precondition(lambda self: len(self.expected.deployments) > 1)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        self.do(*data.draw(self.a_rollback(), label="rollback"))

    @precondition(lambda self: self.expected.deployments)
    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        self.do(*data.draw(self.a_promote(), label="promote"))

    @precondition(lambda self: self.expected.rolled_back)
    @rule()
    def confirm(self) -> None:
        self.do("promote", self.expected.live)

    @precondition(lambda self: self.expected.pending)
    @rule(data=st.data())
    def rest(self, data: st.DataObject) -> None:
        self.do("rest", data.draw(st.sampled_from(sorted(self.expected.pending)), label="rest"))

    @precondition(lambda self: self.expected.routed[PREVIEW] is not None)
    @rule()
    def sweep(self) -> None:
        self.do("sweep")

    @precondition(lambda self: self.expected.live is not None and len(self.expected.deployments) > 1)
    @rule(data=st.data())
    def two_at_once(self, data: st.DataObject) -> None:
        kinds = [self.a_rollback(), self.a_promote()]
        if self.waiting():
            kinds.append(st.tuples(st.just("finish"), st.sampled_from(self.waiting())))
        first, second = data.draw(st.one_of(kinds), label="first"), data.draw(st.one_of(kinds), label="second")
        if first != second:
            self.race(first, second)

    # -------------------------------------------------------------------------------------------------- what holds

    @invariant()
    def promises_are_kept(self) -> None:
        self.expected.check()
        for environment, number in self.expected.routed.items():
            if number is not None and self.expected.deployments[number].desired == "running":
                assert self.bridge.run(self.driver.instances(number)), f"{environment} leads to {number}, without"

    def teardown(self) -> None:
        self.bridge.run(self.driver.close())

    # ------------------------------------------------------------------------------------------------------ pieces

    def waiting(self) -> list[int]:
        return self.expected.numbers(lambda one: one.status is Status.DEPLOYING)

    def a_rollback(self) -> st.SearchStrategy[Operation]:
        """From the live one mostly, to one of production mostly."""
        everything = list(range(len(self.expected.deployments)))
        live = [self.expected.live] * 5 if self.expected.live is not None else []
        pairs = st.tuples(st.just("rollback"), st.sampled_from([*live, *everything]), self._targets())
        return pairs.filter(lambda pair: pair[1] != pair[2])

    def a_promote(self) -> st.SearchStrategy[Operation]:
        return st.tuples(st.just("promote"), self._targets())

    def _targets(self) -> st.SearchStrategy[int]:
        ready = self.expected.numbers(lambda one: one.environment == PRODUCTION and one.status is Status.READY)
        return st.sampled_from([*ready * 3, *range(len(self.expected.deployments))])

    def do(self, name: str, *arguments: Any) -> None:
        """Do one operation to both, and compare."""
        wanted = getattr(self.expected, name)(*arguments)
        accepted = self.bridge.run(getattr(self.driver, name)(*arguments))
        assert accepted == wanted, f"{name} {arguments}: accepted {accepted}, and expected {wanted}"
        self._agree(self.expected)

    def race(self, *operations: Operation) -> None:
        """Do two operations at once: the outcome must be that of one after the other, in either order."""
        orders = []
        for order in (operations, operations[::-1]):
            expected = deepcopy(self.expected)
            for name, *arguments in order:
                getattr(expected, name)(*arguments)
            orders.append(expected)

        async def at_once() -> None:
            await asyncio.gather(*(getattr(self.driver, name)(*arguments) for name, *arguments in operations))

        self.bridge.run(at_once())
        self._agree(*orders)

    def _agree(self, *expected: Expected) -> None:
        agreed = self.bridge.run(self.driver.agrees(*expected))
        if agreed is None:
            seen = self.bridge.run(self.driver.seen())
            raise AssertionError("\n".join([f"seen     {seen}", *(f"expected {one.seen()}" for one in expected)]))
        self.expected = agreed
