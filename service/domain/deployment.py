"""The words for a deployment's life, spelled as the tables spell them (03 · 1.9 to 1.11)."""

from dataclasses import dataclass
from enum import StrEnum

from service.errors import InvalidArgument

PRODUCTION = "production"
"""The environment slug with live names, three sentinels and the live pointer."""

PREVIEW = "preview"
"""The environment slug whose deployments rest once nobody calls them."""

_STEP_ERROR_BYTES = 512
_ELLIPSIS = "..."


class Status(StrEnum):
    """`deployments.status`."""

    PENDING = "pending"
    STARTING = "starting"
    BUILDING = "building"
    DEPLOYING = "deploying"
    NETWORK = "network"
    FINALIZING = "finalizing"
    READY = "ready"
    FAILED = "failed"
    SKIPPED = "skipped"
    AWAITING_APPROVAL = "awaiting_approval"

    @property
    def is_terminal(self) -> bool:
        """Whether no deploy is under way or still to come."""
        return self in (Status.READY, Status.FAILED, Status.SKIPPED)


class Step(StrEnum):
    """`deployment_steps.step`, in the order in which they happen."""

    QUEUED = "queued"
    STARTING = "starting"
    BUILDING = "building"
    DEPLOYING = "deploying"
    NETWORK = "network"
    FINALIZING = "finalizing"

    @property
    def status(self) -> Status:
        """The status of a deployment that is in this step."""
        return Status.PENDING if self is Step.QUEUED else Status(self.value)


class DesiredState(StrEnum):
    """`deployments.desired_state`."""

    RUNNING = "running"
    STANDBY = "standby"
    ARCHIVED = "archived"


class TopologyStatus(StrEnum):
    """`deployment_topology.desired_status`."""

    STOPPED = "stopped"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Transition:
    """What a change of desired state writes: to the deployment, and to its topology in every region."""

    desired_state: DesiredState
    topology_status: TopologyStatus


_TRANSITIONS = {
    1: Transition(DesiredState.RUNNING, TopologyStatus.RUNNING),
    2: Transition(DesiredState.STANDBY, TopologyStatus.STOPPED),
    3: Transition(DesiredState.ARCHIVED, TopologyStatus.STOPPED),
}


def transition(number: int) -> Transition:
    """Translate a number of the enum `hydra.v1.DeploymentDesiredState`.

    Raises InvalidArgument for UNSPECIFIED (0) and for numbers that the enum does not have.
    """
    try:
        return _TRANSITIONS[number]
    except KeyError:
        raise InvalidArgument(
            f"state {number} is not a desired state: use RUNNING (1), STANDBY (2) or ARCHIVED (3)",
            field="state",
        ) from None


def step_error(message: str) -> str:
    """Fit a message into `deployment_steps.error`: at most 512 UTF-8 bytes, ending in `...` when it was cut.

    The column counts characters; its other writers keep to bytes, and so do we. No character is split.
    """
    encoded = message.encode(errors="replace")  # a lone surrogate has no encoding and no database takes it
    if len(encoded) > _STEP_ERROR_BYTES:
        kept = encoded[: _STEP_ERROR_BYTES - len(_ELLIPSIS)].decode(errors="ignore")
        return kept + _ELLIPSIS
    return encoded.decode()
