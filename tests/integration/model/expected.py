"""What an app with two environments is expected to be after each operation: a small model of 02 · 1 to 5."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

PRODUCTION, PREVIEW = "production", "preview"


class Status(StrEnum):
    DEPLOYING = "deploying"
    READY = "ready"
    FAILED = "failed"


@dataclass
class Deployment:
    """A deployment as its row shows it; its number in the order of creation is its name."""

    environment: str
    status: Status = Status.DEPLOYING
    desired: str = "running"


@dataclass(frozen=True)
class Seen:
    """What can be looked at: rows, routes, and which deployments are due to rest."""

    live: int | None
    rolled_back: bool
    routed: dict[str, int | None]
    deployments: tuple[tuple[str, str], ...]
    pending: frozenset[int]


@dataclass
class Expected:
    """The app's state. Every operation changes it and tells whether it is accepted.

    `routed` has who is behind the names that follow an environment: `live` and `environment` in production.
    `left` are the deployments that open rollbacks came from; `replaced` those that lost their place for good.
    """

    live: int | None = None
    rolled_back: bool = False
    routed: dict[str, int | None] = field(default_factory=lambda: {PRODUCTION: None, PREVIEW: None})
    left: list[int] = field(default_factory=list)
    replaced: set[int] = field(default_factory=set)
    deployments: list[Deployment] = field(default_factory=list)
    pending: set[int] = field(default_factory=set)

    def begin(self, environment: str) -> int:
        self.deployments.append(Deployment(environment))
        return len(self.deployments) - 1

    def finish(self, new: int) -> bool:
        environment = self.deployments[new].environment
        self.deployments[new].status = Status.READY
        production = environment == PRODUCTION
        if not (production and self.rolled_back) and self._yields(self.routed[environment], new):
            self.routed[environment] = new
        if production and not self.rolled_back and (self.live is None or self.live < new):
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
        self.deployments[new].desired = "archived"
        return False

    def rollback(self, source: int, target: int) -> bool:
        if source != self.live or source == target or not self._can_serve(target):
            return False
        self.left = [source, *(one for one in self.left if one not in (source, target))]
        self.rolled_back = True
        self._take_place(target)
        return True

    def promote(self, target: int) -> bool:
        if self.live is None or not self._can_serve(target) or (target == self.live and not self.rolled_back):
            return False
        waiting, self.left, self.rolled_back = set(self.left) - {target}, [], False
        self._make_live(target)
        self._replace(waiting)
        return True

    def rest(self, due: int) -> bool:
        """Let the scheduled stop of a deployment happen; nothing where it was cleared."""
        if due in self.pending:
            self.pending.discard(due)
            self.deployments[due].desired = "standby"
        return True

    def sweep(self) -> bool:
        for one in self.deployments:
            if one.environment == PREVIEW and one.status is Status.READY and one.desired == "running":
                one.desired = "standby"
        return True

    def numbers(self, holds: Callable[[Deployment], bool]) -> list[int]:
        return [number for number, one in enumerate(self.deployments) if holds(one)]

    def seen(self) -> Seen:
        deployments = tuple((one.status.value, one.desired) for one in self.deployments)
        return Seen(self.live, self.rolled_back, dict(self.routed), deployments, frozenset(self.pending))

    def check(self) -> None:
        """Hold the promises of 06 against the state itself, whatever led to it."""
        assert self.live not in self.pending
        if self.live is not None:
            assert self.routed[PRODUCTION] == self.live
            assert self.deployments[self.live].desired == "running"
        for one in self.left:
            assert self.deployments[one].desired == "running", "the source of an open rollback runs"
        for one in self.replaced - {self.live, *self.left}:
            assert one in self.pending or self.deployments[one].desired != "running", "replaced, and runs for ever"

    def _can_serve(self, target: int) -> bool:
        one = self.deployments[target]
        return one.environment == PRODUCTION and one.status is Status.READY

    def _yields(self, owner: int | None, new: int) -> bool:
        return owner is None or owner < new or self.deployments[owner].status is Status.FAILED

    def _make_live(self, new: int) -> None:
        previous = self.live
        self._take_place(new)
        self._replace(set() if previous in (None, new) else {previous})

    def _take_place(self, new: int) -> None:
        self.live = self.routed[PRODUCTION] = new
        self.deployments[new].desired = "running"
        self.pending.discard(new)
        self.replaced.discard(new)

    def _replace(self, replaced: set[int]) -> None:
        self.replaced |= replaced
        self.pending |= replaced
