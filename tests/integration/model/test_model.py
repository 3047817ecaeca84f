"""Random sequences of operations and misfortunes on an app, against a small model of it (06 · T1 to T9).

25 sequences on each database; 300 with HYDRA_TEST_FULL=1, which also differ from run to run, and in which the database
may be away for a while, or the worker vanish: the others leave that to `test_counterexamples`.
"""

import asyncio
import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.model.conftest import MakeBoth
from tests.integration.model.machine import AppMachine, Bridge

FULL = bool(os.environ.get("HYDRA_TEST_FULL"))
SETTINGS = settings(
    max_examples=300 if FULL else 25,
    stateful_step_count=20 if FULL else 8,
    derandomize=not FULL,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink] if FULL else [Phase.generate],
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


@pytest.mark.timeout(7200 if FULL else 900)
async def test_any_sequence_leaves_the_app_as_the_model_says(make_both: MakeBoth) -> None:
    class Machine(AppMachine):
        bridge = Bridge(make_both)
        patience = int(FULL)

    await asyncio.to_thread(run_state_machine_as_test, Machine, settings=SETTINGS)

    print("done over all sequences:", dict(Machine.bridge.done.most_common()))  # noqa: T201 - shown with -s
