"""What an app with two environments is expected to be after each operation: a small model of 02 · 1 to 5."""

from collections.abc import Callable, Collection
from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

PRODUCTION, PREVIEW = "production", "preview"
REGIONS = ("us-east-1", "eu-central-1")

NOWHERE: frozenset[str] = frozenset()


class Status(StrEnum):
    DEPLOYING = "deploying"
    READY = "ready"
    FAILED = "failed"


@dataclass
class Deployment:
    """A deployment as its rows show it; its number in the order of creation is its name.

    `regions` are those that it was given, `runs` those where it is set to run.
    """

    environment: str
    regions: frozenset[str]
    runs: frozenset[str]
    status: Status = Status.DEPLOYING
    desired: str = "running"

    @property
    def shows(self) -> frozenset[str]:
        """Where instances run. While a deploy waits there are none: that is what it waits for."""
        return self.runs if self.status is Status.READY else NOWHERE


@dataclass(frozen=True)
class Seen:
    """What can be looked at: rows, routes, instances, and which deployments are due to rest."""

    live: int | None
    rolled_back: bool
    routed: dict[str, int | None]
    deployments: tuple[tuple[Any, ...], ...]  # status, desired state, where it is set to run, where it runs
    pending: frozenset[int]


@dataclass
class Expected:
    """The app's state. Every operation changes it and tells whether it is accepted.

    `routed` has who is behind the names that follow an environment: `live` and `environment` in production.
    `left` are the deployments that open rollbacks came from, `held_back` those that were deployed meanwhile.

    `lost` are those that ever lost their place for good. All of them are `pending`, or rest, but for these: `kept`,
    which somebody has started again; `astray`, whose stop was never scheduled, and `overdue`, where that was hours ago.

    `dead` are those whose deploy was killed, `haunted` the targets of killed rollbacks and promotions, and whether each
    was woken by that. `drained` are the regions that take nothing new.
    """

    live: int | None = None
    rolled_back: bool = False
    routed: dict[str, int | None] = field(default_factory=lambda: {PRODUCTION: None, PREVIEW: None})
    left: list[int] = field(default_factory=list)
    held_back: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    kept: set[int] = field(default_factory=set)
    astray: set[int] = field(default_factory=set)
    overdue: set[int] = field(default_factory=set)
    dead: set[int] = field(default_factory=set)
    haunted: dict[int, bool] = field(default_factory=dict)
    drained: set[str] = field(default_factory=set)
    deployments: list[Deployment] = field(default_factory=list)
    pending: set[int] = field(default_factory=set)

    # ---------------------------------------------------------------------------------------------------- operations

    def begin(self, environment: str) -> bool:
        """Begin a deploy, which waits for its instances."""
        self.deployments.append(Deployment(environment, self._open(), self._open()))
        return True

    def again(self, number: int) -> bool:
        """Begin another attempt at a deployment, whose last one failed or was killed."""
        one = self.deployments[number]
        one.status, one.desired = Status.DEPLOYING, "running"
        one.regions, one.runs = one.regions | self._open(), self._open()
        self.dead.discard(number)
        return True

    def finish(self, new: int) -> bool:
        production = self.deployments[new].environment == PRODUCTION
        self.deployments[new].status = Status.READY
        if self._gets_names(new):
            self.routed[self.deployments[new].environment] = new
        if production and self.rolled_back:
            self.held_back.add(new)
        elif production and self.live is not None and self.live > new:
            self._lose({new})
        elif production:
            self._make_live(new)
        return True

    def fail(self, new: int) -> bool:
        """Fail late, with the names reserved: a name that nobody had leads to it until the next deploy."""
        environment = self.deployments[new].environment
        if self.routed[environment] is None:
            self.routed[environment] = new
        return self.cancel(new)

    def cancel(self, new: int) -> bool:
        """Cancel a deploy that waits for its instances."""
        self.deployments[new].status = Status.FAILED
        self._stop(new, "archived")
        return False

    def rollback(self, source: int, target: int) -> bool:
        if source != self.live or source == target or not self._can_serve(target) or not self._wake(target):
            return False
        self.left = [source, *(one for one in self.left if one not in (source, target))]
        self.rolled_back = True
        self._take_place(target)
        return True

    def promote(self, target: int) -> bool:
        if self.live is None or not self._can_serve(target) or (target == self.live and not self.rolled_back):
            return False
        if not self._wake(target):
            return False
        over = (set(self.left) | self.held_back) - {target}
        self.left, self.held_back, self.rolled_back = [], set(), False
        self._make_live(target)
        self._lose(over)
        return True

    def start(self, number: int) -> bool:
        """Deploy what is ready: it is woken, if it rests."""
        if self.deployments[number].desired != "running":
            if not self._wake(number):
                return False
            self.kept.add(number)
        return True

    def rest(self, due: int) -> bool:
        """Let the scheduled stop of a deployment happen: refused while traffic may move there, as far as one knows."""
        if due in self.pending and due not in self.haunted:
            self._stop(due, "standby")
        self.pending.discard(due)
        return True

    def hours(self) -> bool:
        """Let so much time pass that all is over that was to be waited for."""
        for due in list(self.pending):
            self.rest(due)
        self.overdue |= self.astray
        return True

    def sweep(self) -> bool:
        for number in self.numbers(lambda one: (one.environment, one.status) == (PREVIEW, Status.READY)):
            if self.deployments[number].desired == "running":
                self._stop(number, "standby")
        return True

    # --------------------------------------------------------------------------------------------------- misfortunes

    def undone(self, point: str, name: str, *arguments: int) -> bool:
        """Undo an operation `before` its switch was made or `after`: the same, but for what rests and had names."""
        number = arguments[-1]
        if name != "finish":
            self.abandon(number)
            return False
        owner = self.routed[self.deployments[number].environment]
        gave_back = point == "after" and self._gets_names(number)
        self.fail(number)
        if gave_back and owner is not None and self.deployments[owner].status is Status.READY:
            self._wake(owner)  # what has traffic runs
        return False

    def abandon(self, target: int) -> None:
        """End a rollback or a promotion badly: nothing has moved. A target without a place rests, at once or later."""
        if self._has_place(target) or target in self.haunted:
            return
        if target in self.lost and self.deployments[target].desired == "running":
            self._schedule({target})

    def kill(self, number: int) -> bool:
        """Kill a deploy that waits: nobody knows of it but its rows."""
        self.dead.add(number)
        return False

    def kill_takeover(self, _: str, *arguments: int) -> bool:
        """Kill a rollback or a promotion whose target it has made run, before its switch."""
        target = arguments[-1]
        self.haunted[target] = self.deployments[target].desired != "running"
        self._wake(target)
        return False

    def cut_short(self, name: str, *arguments: int) -> bool:
        """Kill an operation after its switch: it is done, but the stops are lost that it had to schedule."""
        scheduled = set(self.pending)
        getattr(self, name)(*arguments)
        self.astray |= self.pending - scheduled
        self.pending &= scheduled
        return True

    def round(self, *, thorough: bool = True) -> frozenset[int]:  # noqa: ARG002 - the driver's
        """Settle what is dead, and stop what should have been; returns the latter. Nothing else is wrong."""
        for number in list(self.dead):
            self.cancel(number)
        haunted, self.haunted, self.dead = self.haunted, {}, set()
        for target, woken in haunted.items():
            if woken and not self._has_place(target):
                self._stop(target, "standby")
            else:
                self.abandon(target)
        stopped = frozenset(self.overdue)
        for number in stopped:
            self._stop(number, "standby")
        return stopped

    def drain(self, region: str) -> bool:
        self.drained.add(region)
        return True

    def undrain(self, region: str) -> bool:
        self.drained.discard(region)
        return True

    # ---------------------------------------------------------------------------------------------------------- looks

    def numbers(self, holds: Callable[[Deployment], bool]) -> list[int]:
        return [number for number, one in enumerate(self.deployments) if holds(one)]

    def waiting(self) -> list[int]:
        """Return the deploys that are under way, and alive."""
        found = self.numbers(lambda one: one.status is Status.DEPLOYING)
        return [number for number in found if number not in self.dead]

    def would(self, name: str, *arguments: Any, **more: Any) -> tuple[Self, Any]:
        """Return what would be, and whether an operation would be accepted."""
        after = deepcopy(self)
        accepted = getattr(after, name)(*arguments, **more)
        return after, accepted

    def seen(self) -> Seen:
        deployments = tuple((one.status.value, one.desired, one.runs, one.shows) for one in self.deployments)
        return Seen(self.live, self.rolled_back, dict(self.routed), deployments, frozenset(self.pending))

    def check(self) -> None:
        """Hold the promises of 06 against the state itself, whatever led to it."""
        assert self.live not in self.pending
        if self.live is not None:
            assert self.routed[PRODUCTION] == self.live
            assert self.deployments[self.live].desired == "running"
        for one in self.left:
            assert self.deployments[one].desired == "running", "the source of an open rollback runs"
        for one in self.lost - {self.live, *self.left} - self.kept - self.astray - self.haunted.keys():
            assert one in self.pending or self.deployments[one].desired != "running", "replaced, and runs for ever"
        for each in self.deployments:
            assert (each.desired == "running") == bool(each.runs), "what is to run is set to run somewhere"

    # --------------------------------------------------------------------------------------------------------- pieces

    def _open(self) -> frozenset[str]:
        return frozenset(REGIONS) - self.drained

    def _has_place(self, number: int) -> bool:
        return number in (self.live, *self.left)

    def _can_serve(self, target: int) -> bool:
        one = self.deployments[target]
        return one.environment == PRODUCTION and one.status is Status.READY

    def _gets_names(self, new: int) -> bool:
        """Tell whether a deploy gets the names that follow its environment: no rollback, and no newer one has them."""
        environment = self.deployments[new].environment
        if environment == PRODUCTION and self.rolled_back:
            return False
        owner = self.routed[environment]
        return owner is None or owner < new or self.deployments[owner].status is Status.FAILED

    def _wake(self, target: int) -> bool:
        """Set a deployment running where it may, unless it is; tell whether it may anywhere."""
        one = self.deployments[target]
        if one.desired != "running":
            if not one.regions & self._open():
                return False
            one.desired, one.runs = "running", one.regions & self._open()
        return True

    def _stop(self, number: int, desired: str) -> None:
        self.deployments[number].desired, self.deployments[number].runs = desired, NOWHERE
        self._forget_stops({number})

    def _make_live(self, new: int) -> None:
        previous = self.live
        self._take_place(new)
        self._lose(set() if previous in (None, new) else {previous})

    def _take_place(self, new: int) -> None:
        self.live = self.routed[PRODUCTION] = new
        self._forget_stops({new})

    def _lose(self, over: Collection[int]) -> None:
        """Let deployments rest before long that lost their place, or never got one."""
        self.lost |= set(over)
        self.kept -= set(over)
        self._schedule(over)

    def _schedule(self, over: Collection[int]) -> None:
        self._forget_stops(over)
        self.pending |= set(over)

    def _forget_stops(self, over: Collection[int]) -> None:
        for stops in (self.pending, self.astray, self.overdue):
            stops.difference_update(over)
