"""The simulated cluster: pods come, change, are reported once, and go."""

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from service.dev.cluster import Cluster, News
from service.dev.workload import AgentBehaviour, Fate, Placed, Pod
from service.domain.health import InstanceStatus

PENDING, RUNNING, FAILED = InstanceStatus.PENDING, InstanceStatus.RUNNING, InstanceStatus.FAILED
PLACED = Placed(
    deployment_id="d_1",
    k8s_name="shop1234abcd",
    k8s_namespace="ns",
    workspace_id="ws_1",
    project_id="proj_1",
    app_id="app_1",
    replicas=2,
    cpu_millicores=250,
    memory_mib=512,
    port=8080,
    image="registry.example.com/shop:1",
)
ANOTHER_IMAGE = replace(PLACED, image="registry.example.com/shop:2")
STEADY = AgentBehaviour(start_delay=timedelta(seconds=1))
SLOW_TO_STOP = replace(STEADY, stop_delay=timedelta(seconds=5))


class Observed:
    """A cluster whose news are always accepted."""

    def __init__(self, behaviour: AgentBehaviour = STEADY) -> None:
        self.cluster = Cluster(Random(7))
        self.behaviour = behaviour

    def news(self, now_s: float) -> list[News]:
        news = self.cluster.news(lambda _: self.behaviour, now_s)
        self.cluster.reported(news)
        return news

    def statuses(self, now_s: float) -> list[InstanceStatus] | None:
        """Return the statuses that are news about the only deployment; None for no news."""
        news = self.news(now_s)
        assert len(news) <= 1
        return [status for _, status in news[0].pods] if news else None

    def names(self, now_s: float) -> list[str]:
        """Return the pods that are news about the only deployment."""
        return [pod.name for pod, _ in self.news(now_s)[0].pods]


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (STEADY, [PENDING, PENDING, RUNNING, RUNNING, RUNNING]),
        (replace(STEADY, starts_unready=True), [FAILED, FAILED, RUNNING, RUNNING, RUNNING]),
        (replace(STEADY, fate=Fate.FAIL), [PENDING, PENDING, FAILED, FAILED, FAILED]),
        (replace(STEADY, fate=Fate.PEND), [PENDING] * 5),
        (replace(STEADY, fate=Fate.FLAP), [PENDING, PENDING, RUNNING, FAILED, RUNNING]),
        (replace(STEADY, fail_probability=0.4), [PENDING, PENDING, RUNNING, RUNNING, RUNNING]),
        (replace(STEADY, fail_probability=0.6), [PENDING, PENDING, FAILED, FAILED, FAILED]),
        (replace(STEADY, dead=True), [None] * 5),
    ],
)
def test_a_pods_status_follows_from_its_age(behaviour: AgentBehaviour, expected: list[InstanceStatus | None]) -> None:
    pod = Pod("pod", "address", since_s=100, luck=0.5)

    assert [pod.status(behaviour, now_s) for now_s in (100, 100.9, 101.2, 101.7, 102.2)] == expected


def test_a_workload_is_reported_when_it_changes_and_only_then() -> None:
    seen = Observed()
    seen.cluster.apply(PLACED, 0)

    reports = [seen.statuses(now_s) for now_s in (0, 0.5, 1.1, 1.2, 50)]

    assert reports == [[PENDING, PENDING], None, [RUNNING, RUNNING], None, None]


def test_pods_have_names_and_addresses_of_their_own() -> None:
    seen = Observed()
    seen.cluster.apply(PLACED, 0)

    pods = [pod for pod, _ in seen.news(0)[0].pods]

    assert len({pod.name for pod in pods}) == len({pod.address for pod in pods}) == 2
    for pod in pods:
        assert pod.name.startswith("shop1234abcd-")
        assert pod.address.startswith("10-")
        assert pod.address.endswith(".ns.pod.cluster.local:8080")


def test_news_stay_news_until_they_are_reported() -> None:
    seen = Observed()
    seen.cluster.apply(PLACED, 0)
    seen.cluster.apply(replace(PLACED, deployment_id="d_2"), 0)
    first = seen.cluster.news(lambda _: STEADY, 0)

    assert seen.cluster.news(lambda _: STEADY, 0) == first
    seen.cluster.reported(first[:1])
    assert seen.cluster.news(lambda _: STEADY, 0) == first[1:]


def test_a_workload_that_is_removed_is_reported_without_pods_once() -> None:
    seen = Observed()
    seen.cluster.apply(PLACED, 0)
    seen.news(2)
    seen.cluster.remove("d_1", 2)

    assert seen.news(2) == [News("d_1", None, ())]
    assert seen.news(2) == []
    assert seen.cluster.deployment_ids == set()


def test_one_that_never_ran_here_is_reported_as_gone_too() -> None:
    seen = Observed()
    seen.cluster.remove("d_1", 0)

    assert seen.news(0) == [News("d_1", None, ())]


def test_one_that_is_removed_and_applied_again_gets_new_pods() -> None:
    seen = Observed()
    seen.cluster.apply(PLACED, 0)
    before = {pod.name for pod, _ in seen.news(2)[0].pods}
    seen.cluster.remove("d_1", 2)
    seen.cluster.apply(PLACED, 2)

    news = seen.news(2)
    assert [status for _, status in news[0].pods] == [PENDING, PENDING]
    assert before.isdisjoint(pod.name for pod, _ in news[0].pods)


def test_it_is_reported_even_if_it_has_nothing_to_show_yet() -> None:
    seen = Observed(replace(STEADY, dead=True))
    seen.cluster.remove("d_1", 2)
    seen.cluster.apply(PLACED, 2)

    assert seen.news(2) == [News("d_1", PLACED, ())]
    assert seen.news(2) == []


def test_scaling_keeps_the_oldest_pods() -> None:
    seen = Observed()
    seen.cluster.apply(PLACED, 0)
    names = [pod.name for pod, _ in seen.news(2)[0].pods]

    seen.cluster.apply(replace(PLACED, replicas=3), 2)
    more = seen.news(2)[0].pods
    assert [pod.name for pod, _ in more][:2] == names
    assert [status for _, status in more] == [RUNNING, RUNNING, PENDING]

    seen.cluster.apply(replace(PLACED, replicas=1), 2)
    assert [pod.name for pod, _ in seen.news(2)[0].pods] == names[:1]


def test_pods_that_were_found_run_on_when_their_order_comes() -> None:
    seen = Observed()
    seen.cluster.find("d_1", [("pod-a", "address-a"), ("pod-b", "address-b")])
    assert seen.news(0) == []
    assert seen.cluster.deployment_ids == {"d_1"}

    seen.cluster.apply(PLACED, 0)

    assert [(pod.name, status) for pod, status in seen.news(0)[0].pods] == [("pod-a", RUNNING), ("pod-b", RUNNING)]


def test_pods_that_were_found_go_when_they_are_not_wanted() -> None:
    seen = Observed()
    seen.cluster.find("d_1", [("pod-a", "address-a")])
    seen.cluster.remove("d_1", 0)

    assert seen.news(0) == [News("d_1", None, ())]


def test_pods_that_are_slow_to_stop_show_as_they_were_until_they_are_gone() -> None:
    seen = Observed(SLOW_TO_STOP)
    seen.cluster.apply(PLACED, 0)
    names = seen.names(2)
    seen.cluster.remove("d_1", 10)

    assert seen.names(10) == names
    assert seen.cluster.deployment_ids == set()  # it is not asked for again
    seen.cluster.remove("d_1", 14)  # a second order does not make it later
    assert seen.statuses(14.9) == [RUNNING, RUNNING]
    assert seen.news(15) == [News("d_1", None, ())]
    assert seen.news(16) == []


def test_a_pod_that_never_showed_is_gone_at_once_however_slow() -> None:
    seen = Observed(SLOW_TO_STOP)
    seen.cluster.apply(PLACED, 0)
    seen.cluster.remove("d_1", 0)

    assert seen.news(0) == [News("d_1", None, ())]


@pytest.mark.parametrize("placed", [PLACED, ANOTHER_IMAGE])
def test_one_that_is_applied_again_while_it_stops_has_old_and_new_pods(placed: Placed) -> None:
    seen = Observed(SLOW_TO_STOP)
    seen.cluster.apply(PLACED, 0)
    old = seen.names(2)
    seen.cluster.remove("d_1", 10)
    seen.cluster.apply(placed, 12)

    first = seen.news(12)[0].pods
    assert [pod.name for pod, _ in first][:2] == old
    assert [status for _, status in first] == [RUNNING, RUNNING, PENDING, PENDING]
    assert seen.statuses(13) == [RUNNING] * 4
    (last,) = seen.news(15)
    assert [pod.name for pod, _ in last.pods] == [pod.name for pod, _ in first][2:]
    assert seen.news(30) == []
    assert seen.cluster.deployment_ids == {"d_1"}


def test_another_image_replaces_the_pods() -> None:
    seen = Observed(SLOW_TO_STOP)
    seen.cluster.apply(PLACED, 0)
    old = seen.names(2)
    seen.cluster.apply(PLACED, 3)
    assert seen.news(3) == []

    seen.cluster.apply(ANOTHER_IMAGE, 10)
    assert seen.statuses(10) == [RUNNING, RUNNING, PENDING, PENDING]
    assert seen.statuses(11) == [RUNNING] * 4
    new = seen.names(15)
    assert len(new) == 2
    assert not set(new) & set(old)


def test_where_pods_stop_at_once_another_image_leaves_no_moment_with_both() -> None:
    seen = Observed()
    seen.cluster.apply(PLACED, 0)
    old = seen.names(2)
    seen.cluster.apply(ANOTHER_IMAGE, 10)

    (news,) = seen.news(10)
    assert [status for _, status in news.pods] == [PENDING, PENDING]
    assert not {pod.name for pod, _ in news.pods} & set(old)


def test_a_pod_too_many_is_as_slow_to_stop_as_any() -> None:
    seen = Observed(SLOW_TO_STOP)
    seen.cluster.apply(PLACED, 0)
    names = seen.names(2)
    seen.cluster.apply(replace(PLACED, replicas=1), 10)

    assert seen.news(14) == []
    assert seen.names(15) == names[:1]


def test_a_change_of_behaviour_shows_in_what_was_settled() -> None:
    seen = Observed()
    seen.cluster.apply(PLACED, 0)
    seen.news(2)
    assert seen.news(3) == []

    seen.behaviour = replace(STEADY, fate=Fate.FAIL)
    assert seen.news(4) == []
    seen.cluster.disturb({"d_1", "d_unknown"})
    assert seen.statuses(4) == [FAILED, FAILED]

    seen.behaviour = STEADY
    seen.cluster.disturb({"d_1"})
    assert seen.statuses(5) == [RUNNING, RUNNING]


def test_flapping_never_settles() -> None:
    seen = Observed(replace(STEADY, fate=Fate.FLAP))
    seen.cluster.apply(replace(PLACED, replicas=1), 0)

    reports = [seen.statuses(now_s) for now_s in (1.1, 1.6, 1.7, 2.1, 2.6)]

    assert reports == [[RUNNING], [FAILED], None, [RUNNING], [FAILED]]


def test_a_share_of_pods_fails() -> None:
    seen = Observed(replace(STEADY, fail_probability=0.3))
    seen.cluster.apply(replace(PLACED, replicas=1000), 0)

    statuses = seen.statuses(2)

    assert statuses is not None
    assert 230 < statuses.count(FAILED) < 370
