"""The words for what a reconciler finds (06 · decision 7)."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is not in order; docs/operations.md says of each what is done about it."""

    OPERATION_KILLED = "OPERATION_KILLED"
    OPERATION_GONE = "OPERATION_GONE"
    OPERATION_PAUSED = "OPERATION_PAUSED"
    OPERATION_FAILING = "OPERATION_FAILING"
    LIVE_NOT_RUNNING = "LIVE_NOT_RUNNING"
    DEPLOYMENT_FORGOTTEN = "DEPLOYMENT_FORGOTTEN"
    STANDBY_LOST = "STANDBY_LOST"
    TOPOLOGY_ORPHANED = "TOPOLOGY_ORPHANED"
    TOPOLOGY_NOT_STOPPED = "TOPOLOGY_NOT_STOPPED"
    SENTINEL_ORPHANED = "SENTINEL_ORPHANED"
    ROUTE_TO_NOTHING = "ROUTE_TO_NOTHING"
    REPORT_OPEN = "REPORT_OPEN"
    NOT_LOOKED_AT = "NOT_LOOKED_AT"


@dataclass(frozen=True)
class Finding:
    """One thing that is not in order: the id of what it is about, and what is wrong, for a person.

    `curable`: the reconciler settles it; else the message says what an operator can do.
    """

    kind: Kind
    subject: str
    message: str
    curable: bool = True
