"""The simulated cluster of a region: which workloads it holds, and which of them have news to report."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from service.dev.workload import AgentBehaviour, Placed, Pod, Workload
from service.domain.health import InstanceStatus
from service.domain.identifiers import dns_label

_SUFFIX_LENGTH = 5  # of a ReplicaSet's pods
_ALWAYS_S = float("-inf")


@dataclass(frozen=True)
class News:
    """What is to be reported of one deployment: its pods with their statuses; none when it is gone."""

    deployment_id: str
    placed: Placed | None
    pods: tuple[tuple[Pod, InstanceStatus], ...]


class Cluster:
    """Workloads by deployment id. `now_s` is the caller's clock and never goes back."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._workloads: dict[str, Workload] = {}
        self._found: dict[str, list[Pod]] = {}
        self._restless: set[str] = set()
        self._gone: set[str] = set()
        self._addresses: set[str] = set()

    @property
    def deployment_ids(self) -> set[str]:
        """All deployments that have pods here, or may; without those whose pods are all told to stop."""
        return {id_ for id_, workload in self._workloads.items() if workload.wanted} | self._found.keys()

    def find(self, deployment_id: str, pods: Iterable[tuple[str, str]]) -> None:
        """Take over pods, name and address, that an earlier agent left running; they wait for their order."""
        self._found[deployment_id] = [Pod(name, address, _ALWAYS_S, self._random.random()) for name, address in pods]
        self._addresses.update(pod.address for pod in self._found[deployment_id])

    def apply(self, placed: Placed, now_s: float) -> None:
        """Run a deployment, with as many pods as desired; those it has stay, the newest go first.

        Another image is another template of pods: new ones come, and those of before are told to stop. One that was
        removed gets new pods in any case.
        """
        id_ = placed.deployment_id
        workload = self._workloads.setdefault(id_, Workload(placed, self._found.pop(id_, [])))
        if placed.image != workload.placed.image:
            self._stop(workload, workload.pods, now_s)
        workload.placed, workload.wanted = placed, True
        while len(workload.pods) < placed.replicas:
            workload.pods.append(self._new_pod(placed, now_s))
        self._stop(workload, workload.pods[max(placed.replicas, 0) :], now_s)
        self._restless.add(id_)

    def remove(self, deployment_id: str, now_s: float) -> None:
        """Stop a deployment; one that is not here is reported as gone all the same.

        Nothing is known of how pods that an earlier agent left show: they are gone at once.
        """
        if workload := self._workloads.get(deployment_id):
            workload.wanted = False
            self._stop(workload, workload.pods, now_s)
            self._restless.add(deployment_id)
        self._forget(self._found.pop(deployment_id, []))
        self._gone.add(deployment_id)

    def disturb(self, deployment_ids: Iterable[str]) -> None:
        """Look at deployments again although they were settled: their behaviour changed."""
        self._restless.update(self._workloads.keys() & set(deployment_ids))

    def news(self, behaviour_of: Callable[[str], AgentBehaviour], now_s: float) -> list[News]:
        """Return what changed since it was last reported; it stays news until `reported`."""
        for id_ in sorted(self._restless):
            self._part(id_, behaviour_of(id_), now_s)
        found = [News(id_, None, ()) for id_ in sorted(self._gone - self._workloads.keys())]
        for id_ in sorted(self._restless):
            workload, behaviour = self._workloads[id_], behaviour_of(id_)
            shown = workload.shown(behaviour, now_s)
            if {pod.name: status for pod, status in shown} != workload.reported or id_ in self._gone:
                found.append(News(id_, workload.placed, tuple(shown)))
            elif workload.is_settled(behaviour, now_s):
                self._restless.discard(id_)
        return found

    def reported(self, news: Iterable[News]) -> None:
        """Note that the control plane knows."""
        for item in news:
            self._gone.discard(item.deployment_id)
            if workload := self._workloads.get(item.deployment_id):
                workload.reported = {pod.name: status for pod, status in item.pods}

    def _stop(self, workload: Workload, pods: Iterable[Pod], now_s: float) -> None:
        self._forget(workload.stop(list(pods), now_s))

    def _part(self, deployment_id: str, behaviour: AgentBehaviour, now_s: float) -> None:
        """Let go of the pods that have stopped, and of a removed deployment with the last of them."""
        workload = self._workloads[deployment_id]
        self._forget(workload.part(behaviour, now_s))
        if not workload.wanted and not workload.leaving:
            del self._workloads[deployment_id]
            self._restless.discard(deployment_id)
            self._gone.add(deployment_id)

    def _forget(self, pods: Iterable[Pod]) -> None:
        self._addresses.difference_update(pod.address for pod in pods)

    def _new_pod(self, placed: Placed, now_s: float) -> Pod:
        name = f"{placed.k8s_name}-{dns_label(self._random, _SUFFIX_LENGTH)}"
        return Pod(name, self._new_address(placed), now_s, self._random.random())

    def _new_address(self, placed: Placed) -> str:
        """Draw a free address: `<IP with dashes>.<namespace>.pod.cluster.local:<port>` (03 · 3)."""
        while True:
            ip = "-".join(["10", *(str(self._random.randrange(256)) for _ in range(3))])
            address = f"{ip}.{placed.k8s_namespace}.pod.cluster.local:{placed.port}"
            if address not in self._addresses:
                self._addresses.add(address)
                return address
