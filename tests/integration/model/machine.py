"""The state machine: random operations on one app, each done to the installation and to the model."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, TypeVar

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.integration.model.both import Both, Operation
from tests.integration.model.expected import PREVIEW, PRODUCTION, REGIONS, Deployment, Status

T = TypeVar("T")
ENVIRONMENTS = st.sampled_from([PRODUCTION, PRODUCTION, PREVIEW])
# Where an operation ends badly, and how: what takes long is rare.
ENDS = st.sampled_from(
    [
        *[("cancelled", "before"), ("cancelled", "after"), ("killed", "before")] * 5,
        *[("cut off", "before"), ("cut off", "after"), ("given up", "before")],
    ]
)
LONG = ("cut off", "given up")


class Bridge:
    """Runs what is asynchronous on the tests' loop: hypothesis calls from a thread of its own.

    `done` counts what was done over all sequences.
    """

    def __init__(self, make_both: Callable[[], Coroutine[Any, Any, Both]]) -> None:
        self.make_both = make_both
        self.done: Counter[str] = Counter()
        self._loop = asyncio.get_running_loop()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class AppMachine(RuleBasedStateMachine):
    """One app under random operations, one at a time, and now and then two at once."""

    bridge: ClassVar[Bridge]  # set by a subclass: hypothesis makes the machines itself
    patience: ClassVar[int]  # how often in a sequence something may take long

    def __init__(self) -> None:
        super().__init__()
        self.both = self.bridge.run(self.bridge.make_both())
        self.patience_left = self.patience

    # ------------------------------------------------------------------------------------------------------- rules

    @initialize(deploys=st.integers(0, 2))
    def some_are_there(self, deploys: int) -> None:
        for _ in range(deploys):
            self.deploy(PRODUCTION)

    @precondition(lambda self: self.open())
    @rule(environment=ENVIRONMENTS)
    def deploy(self, environment: str) -> None:
        self.do("begin", environment)
        self.do("finish", len(self.deployments) - 1)

    @precondition(lambda self: self.open() and len(self.waiting()) < 2)
    @rule(environment=ENVIRONMENTS)
    def begin(self, environment: str) -> None:
        self.do("begin", environment)

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), end=st.sampled_from(["finish", "finish", "fail", "cancel", "kill"]))
    def end(self, data: st.DataObject, end: str) -> None:
        self.do(end, self.one_of(data, self.waiting(), end))

    @precondition(lambda self: self.open() and self.failed())
    @rule(data=st.data())
    def again(self, data: st.DataObject) -> None:
        self.do("again", self.one_of(data, self.failed(), "again"))

    @precondition(lambda self: self.ready())
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        self.do("start", self.one_of(data, self.ready(), "start"))

    @precondition(lambda self: len(self.deployments) > 1)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        self.do(*data.draw(self.a_rollback(), label="rollback"))

    @precondition(lambda self: self.deployments)
    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        self.do(*data.draw(self.a_promote(), label="promote"))

    @precondition(lambda self: self.both.expected.rolled_back)
    @rule()
    def confirm(self) -> None:
        self.do("promote", self.both.expected.live)

    @precondition(lambda self: self.both.expected.pending)
    @rule(data=st.data())
    def rest(self, data: st.DataObject) -> None:
        self.do("rest", self.one_of(data, sorted(self.both.expected.pending), "rest"))

    @precondition(lambda self: self.both.expected.live is not None)
    @rule()
    def hours(self) -> None:
        self.do("hours")

    @precondition(lambda self: self.both.expected.routed[PREVIEW] is not None)
    @rule()
    def sweep(self) -> None:
        self.do("sweep")

    @precondition(lambda self: self.deployments)
    @rule(thorough=st.booleans())
    def round(self, thorough: bool) -> None:
        self.do("round", thorough=thorough)

    @precondition(lambda self: self.deployments)
    @rule(region=st.sampled_from(REGIONS))
    def drain_or_undrain(self, region: str) -> None:
        self.do("undrain" if region in self.both.expected.drained else "drain", region)

    @precondition(lambda self: self.both.driver.ended())
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        call = self.one_of(data, self.both.driver.ended(), "forget")
        self.run("forget", self.both.repeated(call))

    @precondition(lambda self: self.both.expected.live is not None and len(self.deployments) > 1)
    @rule(data=st.data())
    def two_at_once(self, data: st.DataObject) -> None:
        kinds = [self.a_rollback(), self.a_promote(), *self.others()]
        first, second = data.draw(st.one_of(kinds), label="first"), data.draw(st.one_of(kinds), label="second")
        if first != second:
            self.run("race", self.both.race(first, second))

    @precondition(lambda self: self.takeovers())
    @rule(data=st.data())
    def kill_takeover(self, data: st.DataObject) -> None:
        self.do("kill_takeover", *self.one_of(data, self.takeovers(), "kill_takeover"))

    @precondition(lambda self: self.unscheduled())
    @rule(data=st.data())
    def cut_short(self, data: st.DataObject) -> None:
        self.do("cut_short", *self.one_of(data, self.unscheduled(), "cut_short"))

    @precondition(lambda self: self.accepted())
    @rule(data=st.data(), how=ENDS)
    def undo(self, data: st.DataObject, how: tuple[str, str]) -> None:
        operation = self.one_of(data, self.accepted(), "undo")
        if how[0] in LONG:
            how = how if self.patience_left else ("cancelled", how[1])
            self.patience_left -= bool(self.patience_left)
        self.run(how[0], self.both.undone(*how, *operation))

    @precondition(lambda self: self.patience_left and self.accepted())
    @rule(data=st.data(), how=st.sampled_from(["dies", "pauses"]), point=st.sampled_from(["before", "after"]))
    def interrupt(self, data: st.DataObject, how: str, point: str) -> None:
        self.patience_left -= 1
        self.run(how, self.both.interrupted(how, point, *self.one_of(data, self.accepted(), "interrupt")))

    # -------------------------------------------------------------------------------------------------- what holds

    @invariant()
    def promises_are_kept(self) -> None:
        self.bridge.run(self.both.in_order())

    def teardown(self) -> None:
        self.bridge.run(self.both.driver.close())

    # ------------------------------------------------------------------------------------------------------ pieces

    @property
    def deployments(self) -> list[Deployment]:
        return self.both.expected.deployments

    def open(self) -> bool:
        return len(self.both.expected.drained) < len(REGIONS)

    def waiting(self) -> list[int]:
        return self.both.expected.waiting()

    def failed(self) -> list[int]:
        """Return what may be deployed again."""
        return [*self.both.expected.numbers(lambda one: one.status is Status.FAILED), *sorted(self.both.expected.dead)]

    def ready(self) -> list[int]:
        """Return what is ready; what rests is drawn more often."""
        resting = self.both.expected.numbers(lambda one: one.desired == "standby")
        return [*resting * 3, *self.both.expected.numbers(lambda one: one.status is Status.READY)]

    def a_rollback(self) -> st.SearchStrategy[Operation]:
        """From the live one mostly, to one of production mostly."""
        everything = list(range(len(self.deployments)))
        live = [self.both.expected.live] * 5 if self.both.expected.live is not None else []
        pairs = st.tuples(st.just("rollback"), st.sampled_from([*live, *everything]), self._targets())
        return pairs.filter(lambda pair: pair[1] != pair[2])

    def a_promote(self) -> st.SearchStrategy[Operation]:
        return st.tuples(st.just("promote"), self._targets())

    def others(self) -> list[st.SearchStrategy[Operation]]:
        """Return what else may happen at the same time as a rollback or a promotion."""
        some = {"finish": self.waiting(), "start": self.ready(), "rest": sorted(self.both.expected.pending)}
        kinds = [st.tuples(st.just(name), st.sampled_from(numbers)) for name, numbers in some.items() if numbers]
        return [*kinds, st.just(("round",))]

    def accepted(self) -> list[Operation]:
        """Return the operations that would move traffic now, but for those that a dead one was to move there."""
        numbers, live = range(len(self.deployments)), self.both.expected.live
        asked: list[Operation] = [("finish", each) for each in self.waiting()]
        asked += [("rollback", live, each) for each in numbers] + [("promote", each) for each in numbers]
        asked = [each for each in asked if each[-1] not in self.both.expected.haunted]
        return [each for each in asked if self.both.expected.would(*each)[1]]

    def unscheduled(self) -> list[Operation]:
        """Return those to what is not due to rest."""
        return [each for each in self.accepted() if each[-1] not in self.both.expected.pending]

    def takeovers(self) -> list[Operation]:
        """Return the operations that would make their target run and move traffic there."""
        return [each for each in self.accepted() if each[0] != "finish" and each[-1] != self.both.expected.live]

    def _targets(self) -> st.SearchStrategy[int]:
        ready = self.both.expected.numbers(lambda one: one.environment == PRODUCTION and one.status is Status.READY)
        return st.sampled_from([*ready * 3, *range(len(self.deployments))])

    @staticmethod
    def one_of(data: st.DataObject, choices: Sequence[T], label: str) -> T:
        return data.draw(st.sampled_from(choices), label=label)

    def do(self, name: str, *arguments: Any, **more: Any) -> None:
        self.run(name, self.both.do(name, *arguments, **more))

    def run(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        self.bridge.run(work)
        self.bridge.done[name] += 1
