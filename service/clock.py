"""The one wall clock. Durable code reads it inside journaled steps only."""

import time


def now_ms() -> int:
    """Return Unix milliseconds, the unit of every time column (03)."""
    return time.time_ns() // 1_000_000
