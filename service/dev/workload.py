"""What becomes of a pod in a simulated region: its status follows from its age and from the region's behaviour."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from service.domain.health import InstanceStatus


class Fate(StrEnum):
    """What becomes of a pod once its start delay is over."""

    RUN = "run"
    FAIL = "fail"
    FLAP = "flap"
    PEND = "pend"


@dataclass(frozen=True)
class AgentBehaviour:
    """How a region behaves towards the deployments it is given.

    `fail_probability` is the share of pods that fail whatever the fate. A pod that `starts_unready` reports
    `failed` until it runs, as a pod does that runs but is not ready (03 · 7). A flapping pod changes between
    `running` and `failed` every `flap_period`. A pod that is told to stop shows as it was until `stop_delay` is over.
    A `dead` region does nothing at all; where it is set for one deployment, the pods of that deployment never show.
    """

    start_delay: timedelta = timedelta(milliseconds=300)
    fate: Fate = Fate.RUN
    fail_probability: float = 0.0
    starts_unready: bool = False
    flap_period: timedelta = timedelta(milliseconds=500)
    stop_delay: timedelta = timedelta()
    dead: bool = False


@dataclass(frozen=True)
class Placed:
    """A deployment as the control plane sends it to a region: what its pods and their rows are made of."""

    deployment_id: str
    k8s_name: str
    k8s_namespace: str
    workspace_id: str
    project_id: str
    app_id: str
    replicas: int
    cpu_millicores: int
    memory_mib: int
    port: int
    image: str = ""


@dataclass(frozen=True)
class Pod:
    """One pod. `luck`, from 0 to 1, decides if it is among those that fail; `since_s` is on the agent's clock."""

    name: str
    address: str
    since_s: float
    luck: float

    def status(self, behaviour: AgentBehaviour, now_s: float) -> InstanceStatus | None:
        """Say what is reported of the pod; None for nothing, as of a pod without an address."""
        if behaviour.dead:
            return None
        run_s = now_s - self.since_s - behaviour.start_delay.total_seconds()
        if run_s < 0:
            return InstanceStatus.FAILED if behaviour.starts_unready else InstanceStatus.PENDING
        if behaviour.fate is Fate.PEND:
            return InstanceStatus.PENDING
        if behaviour.fate is Fate.FAIL or self.luck < behaviour.fail_probability:
            return InstanceStatus.FAILED
        if behaviour.fate is Fate.FLAP and int(run_s / behaviour.flap_period.total_seconds()) % 2 == 1:
            return InstanceStatus.FAILED
        return InstanceStatus.RUNNING


@dataclass(frozen=True)
class Leaving:
    """A pod that was told to stop at `since_s`: until it is gone it shows as it did then."""

    pod: Pod
    status: InstanceStatus
    since_s: float

    def is_gone(self, behaviour: AgentBehaviour, now_s: float) -> bool:
        return behaviour.dead or now_s - self.since_s >= behaviour.stop_delay.total_seconds()


@dataclass
class Workload:
    """A deployment in the region: its pods, those that are leaving, and what was reported of them last.

    `wanted` is false for one that was removed, and has pods that are leaving.
    """

    placed: Placed
    pods: list[Pod] = field(default_factory=list)
    leaving: list[Leaving] = field(default_factory=list)
    reported: dict[str, InstanceStatus] = field(default_factory=dict)
    wanted: bool = True

    def shown(self, behaviour: AgentBehaviour, now_s: float) -> list[tuple[Pod, InstanceStatus]]:
        """Return every pod that shows, with its status: first those that are leaving, then the oldest."""
        leaving = [(each.pod, each.status) for each in self.leaving]
        staying = [(pod, pod.status(behaviour, now_s)) for pod in self.pods]
        return leaving + [(pod, status) for pod, status in staying if status is not None]

    def stop(self, pods: Collection[Pod], now_s: float) -> list[Pod]:
        """Tell pods to stop; returns those that never showed, and are gone at once."""
        names = {pod.name for pod in pods}
        self.pods = [pod for pod in self.pods if pod.name not in names]
        self.leaving += [Leaving(pod, self.reported[pod.name], now_s) for pod in pods if pod.name in self.reported]
        return [pod for pod in pods if pod.name not in self.reported]

    def part(self, behaviour: AgentBehaviour, now_s: float) -> list[Pod]:
        """Let go of the pods that have stopped, and return them."""
        gone = [each.pod for each in self.leaving if each.is_gone(behaviour, now_s)]
        self.leaving = [each for each in self.leaving if not each.is_gone(behaviour, now_s)]
        return gone

    def is_settled(self, behaviour: AgentBehaviour, now_s: float) -> bool:
        """Tell whether the statuses stay as they are for as long as nobody interferes."""
        if behaviour.dead:
            return True
        delay_s = behaviour.start_delay.total_seconds()
        aged = all(now_s - pod.since_s >= delay_s for pod in self.pods)
        return behaviour.fate is not Fate.FLAP and not self.leaving and aged
