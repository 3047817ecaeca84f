"""One trial: a flow in a world of its own, undisturbed or with faults, and everything that came of it."""

import asyncio
from dataclasses import dataclass, field, replace
from itertools import groupby

from tests.chaos.crashes.aim import Aim, Fault, Place, Spot
from tests.chaos.crashes.effects import build_faults, effects, left_running, log_size, secrets_seen
from tests.chaos.crashes.rows import final_rows, version_faults
from tests.chaos.crashes.runs import Before, Invocation, Run, forget, kept_state, over, standstill, tree
from tests.chaos.crashes.scene import Flow, Scene, scene_of
from tests.chaos.crashes.site import CrashSite
from tests.invariants import broken
from tests.waiting import until

_MET_WITHIN_S = 180
_OVER_WITHIN_S = 180
_SETTLED_WITHIN_S = 60
_QUIET_S = 3  # agents look for news every second


class NeverMet(AssertionError):
    """A fault that was aimed at a step did not come to pass: the harness is at fault, and shows nothing."""


@dataclass(frozen=True)
class Step:
    """A step of a flow as it is in every run: its key masked, the commits and requests that its action makes."""

    place: Place
    commits: int
    asked: int

    def spots(self, point: str) -> list[tuple[Spot, int]]:
        """Say where to strike for a point of the matrix: for `during`, at all that the action does."""
        if point != "during":
            return [(Spot(point), 1)]
        at = [(Spot.COMMIT, number) for number in range(1, self.commits + 1)]
        at += [(Spot.ASKED, number) for number in range(1, self.asked + 1)]
        return at or [(Spot.WAIT, 1)]


@dataclass
class Outcome:
    """What a run came to, masked: equal to that of an undisturbed run, and without faults."""

    rows: dict[str, list[str]]
    effects: dict[str, list[str]]
    invocations: list[str]
    state: list[str]
    faults: list[str] = field(default_factory=list)

    def differences(self, undisturbed: "Outcome") -> list[str]:
        """Say what is not as in an undisturbed run."""
        said = list(self.faults)
        for name in ("rows", "effects"):
            mine, theirs = getattr(self, name), getattr(undisturbed, name)
            for key in theirs:
                said += _difference(f"{name} of {key}", mine[key], theirs[key])
        said += _difference("invocations", self.invocations, undisturbed.invocations)
        return said + _difference("state", self.state, undisturbed.state)


def _difference(what: str, mine: list[str], theirs: list[str]) -> list[str]:
    rest = list(theirs)
    extra = []
    for one in mine:
        if one in rest:
            rest.remove(one)
        else:
            extra.append(one)
    return [f"{what}: not expected: {one}" for one in extra] + [f"{what}: missing: {one}" for one in rest]


async def survey(site: CrashSite, flow: Flow) -> tuple[Outcome, list[Step]]:
    """Run a flow undisturbed, one action at a time; returns what came of it, and the steps that its journals hold."""
    async with scene_of(site, flow) as scene:
        run = scene.run
        await _begin(site, flow, scene, Aim(run.id, in_turn=True))
        found = await over(site, run)
        outcome = await _settled(site, run, found, None)
        steps = _steps(site, run, found)
        outcome.faults += await _repeated(site, flow, scene, found, outcome)
        await _clear(site, run)
        return outcome, steps


async def trial(site: CrashSite, flow: Flow, faults: list[Fault], undisturbed: Outcome) -> list[str]:
    """Run a flow with faults, whose keys are masked, and say what is not as in an undisturbed run."""
    async with scene_of(site, flow) as scene:
        run = scene.run
        aimed = tuple(_in_run(run, fault) for fault in faults)
        aim = Aim(run.id, aimed, in_turn=any(fault.spot is Spot.ASKED for fault in faults))
        await _begin(site, flow, scene, aim)
        found: list[Invocation] = []
        try:
            await asyncio.wait_for(_strike(site, aim), _MET_WITHIN_S)
            found = await asyncio.wait_for(over(site, run), _OVER_WITHIN_S)
        except NeverMet:
            await asyncio.wait_for(over(site, run), _OVER_WITHIN_S)
            await _clear(site, run)
            raise
        except TimeoutError:
            unmet = [fault for _, fault in site.post.unmet(aim)]
            standing = await standstill(site, run)
            await _give_up(site, run)
            if unmet:
                raise NeverMet(f"{flow.name}: never met: {unmet}; {standing}") from None
            return [f"the run did not end: {standing}"]
        differences = (await _settled(site, run, found, undisturbed)).differences(undisturbed)
        differences += await _repeated(site, flow, scene, found, undisturbed)
        await _clear(site, run)
        return differences


async def _repeated(
    site: CrashSite, flow: Flow, scene: Scene, found: list[Invocation], undisturbed: Outcome
) -> list[str]:
    """Have all forgotten that has ended, ask for the same again, and say what is not as before."""
    if not flow.repeats:
        return []
    run = scene.run
    await forget(site, found)
    again = await flow.begin(scene)
    if again != run.root:
        return ["repeated: it is another operation than before"]
    repeated = await asyncio.wait_for(over(site, run), _OVER_WITHIN_S)
    outcome = await _look(site, run, repeated)
    same = replace(outcome, invocations=undisturbed.invocations, state=undisturbed.state)
    return [f"repeated: {difference}" for difference in same.differences(undisturbed)]


async def _begin(site: CrashSite, flow: Flow, scene: Scene, aim: Aim) -> None:
    stack = site.installation.stack
    scene.run.before = Before(
        log_size(stack.worker_log), len(site.buildkit.builds), len(site.registry.pushes), len(site.outside.done)
    )
    site.post.take(aim)
    scene.run.root = await flow.begin(scene)


def _in_run(run: Run, fault: Fault) -> Fault:
    place = fault.place
    named = Place(place.service, place.handler, run.names.drawn(place.key), place.step, place.nth)
    return Fault(named, fault.spot, fault.number, fault.deadly)


# ------------------------------------------------------------------------------------------------------------- to kill


async def _strike(site: CrashSite, aim: Aim) -> None:
    """Wait for each fault, whichever comes next, and kill whom it is meant for."""
    struck: set[int] = set()
    while len(struck) < len(aim.faults):
        met = {number for number in range(len(aim.faults)) if site.post.met(aim.run, number).exists()}
        for number in sorted(met - struck):
            await _kill(site, aim, number)
            struck.add(number)
        await asyncio.sleep(0.005)


async def _kill(site: CrashSite, aim: Aim, number: int) -> None:
    fault, go = aim.faults[number], site.post.go(aim.run, number)
    if fault.spot is not Spot.ASKED:
        await _kill_victim(site, deadly=fault.deadly, dies_itself=True)
        go.touch()
        return
    trap = site.outside.set_trap(fault.number)
    go.touch()
    while not trap.sprung.is_set():
        if any((one.kind, one.place) == ("end", fault.place) for one in site.post.events(aim.run)):
            site.outside.clear_trap()
            raise NeverMet(f"this time it asked for nothing: {fault}")
        await asyncio.sleep(0.02)
    await _kill_victim(site, deadly=fault.deadly, dies_itself=False)
    trap.let_go.set()


async def _kill_victim(site: CrashSite, *, deadly: bool, dies_itself: bool) -> None:
    """Kill the worker, or the Restate server, and start it again."""
    if not deadly:
        restate = site.installation.stack.restate
        await restate.kill()
        await restate.start()
        return
    await (site.worker.died() if dies_itself else site.worker.kill())
    # What it said last may still be on its way, and would come in between what the next one asks and does.
    await until(lambda: _has_hung_up(site))
    await site.worker.start()


async def _has_hung_up(site: CrashSite) -> bool:
    return site.github.connections == 0


# ------------------------------------------------------------------------------------------------------------- to look


def _steps(site: CrashSite, run: Run, found: list[Invocation]) -> list[Step]:
    """List every step in the run's journals, with what its action did, as the worker and those outside noted it."""
    of_run = {(one.service, one.handler, one.key) for one in found}
    events = [
        one for one in site.post.events(run.id) if (one.place.service, one.place.handler, one.place.key) in of_run
    ]
    steps = []
    for place, of_it in groupby(sorted(events, key=lambda one: (str(one.place), one.at_s)), key=lambda one: one.place):
        mine = list(of_it)
        begun, ended = mine[0].at_s, mine[-1].at_s
        asked = sum(begun <= one.at_s <= ended for one in site.outside.done[run.before.done :])
        masked = Place(place.service, place.handler, run.names.mask(place.key), place.step, place.nth)
        steps.append((begun, Step(masked, sum(one.kind == "commit" for one in mine), asked)))
    noted = sorted((one.place.service, one.place.handler, one.place.step) for _, one in steps)
    journaled = sorted((one.service, one.handler, step) for one in found for step in one.steps)
    assert noted == journaled, "the worker met other steps than the journals hold"
    return [step for _, step in sorted(steps, key=lambda one: one[0])]


async def _settled(site: CrashSite, run: Run, found: list[Invocation], undisturbed: Outcome | None) -> Outcome:
    """Look until all is as in an undisturbed run, or, where this is that one, until nothing changes any more."""
    clock = asyncio.get_running_loop().time
    begun = changed = clock()
    seen = await _look(site, run, found)
    while clock() < begun + _SETTLED_WITHIN_S:
        if undisturbed is not None and not seen.differences(undisturbed):
            break
        if undisturbed is None and not seen.faults and clock() > changed + _QUIET_S:
            break
        await asyncio.sleep(0.2)
        last, seen = seen, await _look(site, run, found)
        if seen != last:
            changed = clock()
    return seen


async def _look(site: CrashSite, run: Run, found: list[Invocation]) -> Outcome:
    by_id = {one.id: one for one in found}
    mask = run.names.mask

    def described(one: Invocation) -> str:
        caller = by_id[one.by].target if one.by in by_id else "nobody"
        return mask(
            f"{one.target} of {one.key if caller != 'nobody' else 'root'} by {caller}: {one.status} {one.result}"
        )

    faults = await version_faults(site, run) + await left_running(site, run, found)
    faults += await build_faults(site, run) + await secrets_seen(site, run, found)
    faults += [mask(one) for one in await broken(site.installation, run.world.app, instances=True)]
    keys = {one.key for one in found if one.key and one.by}
    return Outcome(
        await final_rows(site, run, found),
        effects(site, run),
        sorted(described(one) for one in found),
        sorted(mask(" ".join(one)) for one in await kept_state(site, keys)),
        faults,
    )


# ------------------------------------------------------------------------------------------------------------ to leave


async def _clear(site: CrashSite, run: Run) -> None:
    """End what still runs, or is scheduled for much later: nothing of a run is to be in the way of the next."""
    site.post.take(Aim(f"{run.id}-over"))
    for invocation_id in run.left:
        await site.kill(invocation_id)


async def _give_up(site: CrashSite, run: Run) -> None:
    """End a run that does not end by itself, and start the worker anew."""
    run.left |= {one.id for one in await tree(site, run.root) if one.status != "completed"}
    await _clear(site, run)
    await site.worker.restart()
