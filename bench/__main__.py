"""What a deploy costs, next to an empty handler on the same server in the same run.

Prints tables of medians; the machine is noisy, so the ratio to the floor is what counts.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import typer
from restate import ObjectContext, VirtualObject
from restate.serde import BytesSerde
from rich.console import Console
from rich.table import Table

from bench.installation import BenchInstallation, Plan

console = Console()


@dataclass(frozen=True)
class Figure:
    """Durations of one kind of call, in milliseconds."""

    name: str
    samples_ms: list[float]

    @property
    def p50(self) -> float:
        return statistics.median(self.samples_ms)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.samples_ms, n=100)[98]


async def measure(name: str, count: int, act: Callable[[int], Awaitable[None]]) -> Figure:
    """Time `count` calls, one after the other, after a warm-up."""
    for number in range(3):
        await act(-1 - number)
    samples: list[float] = []
    for number in range(count):
        begun = time.perf_counter()
        await act(number)
        samples.append((time.perf_counter() - begun) * 1000)
    return Figure(name, samples)


def empty_handler() -> VirtualObject:
    """Make the floor: a shared handler that does nothing."""
    served = VirtualObject("bench.Empty")

    @served.handler(kind="shared", input_serde=BytesSerde(), output_serde=BytesSerde(), accept="*/*")
    async def run(_: ObjectContext, body: bytes) -> bytes:
        return body

    return served


async def bench(plan: Plan) -> None:
    with tempfile.TemporaryDirectory(prefix="hydra-bench-") as folder:
        async with BenchInstallation(Path(folder), plan, empty_handler()) as installation:
            await _latency(installation, plan)
            await _ingress(installation, plan)


async def _latency(installation: BenchInstallation, plan: Plan) -> None:
    floor = await measure("empty handler, ingress", plan.count, installation.call_empty)
    deploys = [await installation.ready_deployment() for _ in range(2 * plan.count + 6)]
    over_ingress = await measure(
        "deploy, ingress", plan.count, lambda number: installation.deploy_over_ingress(deploys[number])
    )
    rest = deploys[plan.count : -3]
    over_grpc = await measure("deploy, gRPC", plan.count, lambda number: installation.deploy(rest[number]))
    back_and_forth = await measure("rollback, gRPC", plan.count, lambda _: installation.rollback())
    table = Table(title=f"one at a time, {plan.count} calls, instances already there ({plan.describe()})")
    for heading in ("", "p50 ms", "p99 ms", "p50 / floor"):
        table.add_column(heading, justify="left" if not heading else "right")
    for figure in (floor, over_ingress, over_grpc, back_and_forth):
        table.add_row(figure.name, f"{figure.p50:.1f}", f"{figure.p99:.1f}", f"{figure.p50 / floor.p50:.1f}")
    console.print(table)
    console.print(f"sequential durable waves of a deploy: {await installation.waves(deploys[0])}")


async def _ingress(installation: BenchInstallation, plan: Plan) -> None:
    """Compare our ingress client with a bare socket's rate, so that it is seen not to be the bottleneck."""
    table = Table(title=f"ingress clients, {plan.burst} calls of the empty handler, 64 at a time")
    for heading in ("client", "calls per s", "of the bare one"):
        table.add_column(heading, justify="left" if heading == "client" else "right")
    bare = await installation.burst_bare(plan.burst)
    ours = await installation.burst_ours(plan.burst)
    table.add_row("bare HTTP/1.1 sockets", f"{bare:.0f}", "1.00")
    table.add_row("ours: send and attach, two requests a call", f"{ours:.0f}", f"{ours / bare:.2f}")
    console.print(table)


def main(count: int = 40, burst: int = 600, dsn: str = "", *, steady: bool = False) -> None:
    """Run the benchmarks. --steady keeps the health gate's steadiness of 75 ms, which is a wait and not a cost."""
    asyncio.run(bench(Plan(count=count, burst=burst, dsn=dsn, steady=steady)))


if __name__ == "__main__":
    typer.run(main)
