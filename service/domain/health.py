"""When a deployment counts as healthy: the rules of the gate that traffic waits for.

Somebody else looks at the database and at the clock; a `Gate` is told what was seen and when, and decides.
"""

from collections.abc import Collection, Mapping
from dataclasses import InitVar, dataclass, field
from enum import StrEnum


class InstanceStatus(StrEnum):
    """`instances.status`; `failed` is no verdict: a pod that is not ready yet reports it too (03 · 7)."""

    INACTIVE = "inactive"
    PENDING = "pending"
    RUNNING = "running"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RegionObservation:
    """One look at one region: instances counted by status (one of InstanceStatus; absent is zero).

    `oldest` is the number of the instance that was reported first (later ones have higher numbers), None without any.
    """

    desired_replicas: int
    instances: Mapping[str, int]
    oldest: int | None = None

    @property
    def healthy(self) -> bool:
        """Whether all replicas run and no instance is anything but running."""
        running = self.instances.get(InstanceStatus.RUNNING, 0)
        return running >= self.desired_replicas and running == sum(self.instances.values())

    def __str__(self) -> str:
        """Say it to the app's owner, as in `1 of 2 running, 1 failed`."""
        if not any(self.instances.values()):
            return "no instances"
        said = [f"{self.instances.get(InstanceStatus.RUNNING, 0)} of {self.desired_replicas} running"]
        others = (status for status in InstanceStatus if status is not InstanceStatus.RUNNING)
        said += [f"{self.instances[status]} {status}" for status in others if self.instances.get(status)]
        return ", ".join(said)


_NOTHING = RegionObservation(desired_replicas=1, instances={})


@dataclass(frozen=True, slots=True)
class RegionWatch:
    """What is kept of a region: the last look, since when it is healthy, whether it ever fell back."""

    last: RegionObservation | None = None
    healthy_since_ms: int | None = None
    flapped: bool = False

    def observe(self, now_ms: int, seen: RegionObservation) -> "RegionWatch":
        """Take in a look; should the caller's clock go back, steadiness begins anew."""
        if seen.healthy:
            since_ms = now_ms if self.healthy_since_ms is None else min(self.healthy_since_ms, now_ms)
            return RegionWatch(seen, since_ms, self.flapped)
        return RegionWatch(seen, None, self.flapped or self.healthy_since_ms is not None)


@dataclass(slots=True)
class Gate:
    """Waits for `required` of `region_ids` to be healthy steadily.

    A region counts once it has been healthy for `steady_ms` on end; one that was seen to fall back, by this gate
    or by an earlier one (`flapped_before`), for `flap_steady_ms`; one that shows an instance of an earlier order
    (numbered up to `seen_before`: it may be about to end) for `stale_steady_ms`. Nothing is a verdict against a
    region: whoever holds the gate gives up at a deadline and quotes `descriptions`.
    """

    region_ids: tuple[str, ...]
    required: int
    steady_ms: int = 100
    flap_steady_ms: int = 2000
    flapped_before: InitVar[Collection[str]] = ()
    stale_steady_ms: int = 10_000
    seen_before: int = 0
    _watches: dict[str, RegionWatch] = field(init=False)
    _now_ms: int = field(init=False, default=0)

    def __post_init__(self, flapped_before: Collection[str]) -> None:
        if not 1 <= self.required <= len(set(self.region_ids)):
            raise ValueError(f"a gate cannot wait for {self.required} of {len(set(self.region_ids))} regions")
        self._watches = {region_id: RegionWatch(flapped=region_id in flapped_before) for region_id in self.region_ids}

    def observe(self, now_ms: int, seen: Mapping[str, RegionObservation]) -> bool:
        """Take in one look at all regions and return `ready`.

        A region that `seen` lacks has no instances. A look that failed is not passed on at all.
        """
        self._now_ms = now_ms
        for region_id, watch in self._watches.items():
            self._watches[region_id] = watch.observe(now_ms, seen.get(region_id, _NOTHING))
        return self.ready

    @property
    def ready(self) -> bool:
        """Whether enough regions count, as of the last look."""
        return len(self.steady_regions) >= self.required

    @property
    def steady_regions(self) -> tuple[str, ...]:
        """The regions that count, in the order given."""
        return tuple(region_id for region_id, watch in self._watches.items() if self._counts(watch))

    @property
    def healthy_regions(self) -> tuple[str, ...]:
        """The regions that were healthy at the last look, steadily or not, in the order given."""
        return tuple(
            region_id for region_id, watch in self._watches.items() if watch.last is not None and watch.last.healthy
        )

    @property
    def flapped_regions(self) -> tuple[str, ...]:
        """The regions that were seen to fall back, in the order given."""
        return tuple(region_id for region_id, watch in self._watches.items() if watch.flapped)

    def descriptions(self) -> dict[str, str]:
        """Describe for each region, in the order given, what was seen last."""
        return {region_id: self._describe(watch) for region_id, watch in self._watches.items()}

    def _counts(self, watch: RegionWatch) -> bool:
        if watch.healthy_since_ms is None:
            return False
        needed_ms = self.flap_steady_ms if watch.flapped else self.steady_ms
        if self._is_stale(watch):
            needed_ms = max(needed_ms, self.stale_steady_ms)
        return self._now_ms - watch.healthy_since_ms >= needed_ms

    def _is_stale(self, watch: RegionWatch) -> bool:
        oldest = None if watch.last is None else watch.last.oldest
        return oldest is not None and oldest <= self.seen_before

    def _describe(self, watch: RegionWatch) -> str:
        if watch.last is None:
            return "not seen yet"
        unsteady = watch.last.healthy and not self._counts(watch)
        return f"{watch.last}, not steady yet" if unsteady else str(watch.last)
