"""How long the fuzzer goes on: seconds and always the same in CI, minutes and never twice the same in the full mode.

With HYDRA_TEST_FULL=1 every run draws a seed and prints it; HYDRA_TEST_SEED=<seed> repeats that run.
"""

import os
import random

from hypothesis import HealthCheck, Phase, settings

FULL = bool(os.environ.get("HYDRA_TEST_FULL"))
SEED = int(os.environ.get("HYDRA_TEST_SEED") or random.SystemRandom().getrandbits(64))
LIMIT_S = 3600 if FULL else 180  # of one test
LARGEST_BATCH = 20
SETTINGS = settings(
    max_examples=300 if FULL else 12,
    derandomize=not FULL,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink] if FULL else [Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
