"""One build on a BuildKit that is connected: solved, recorded, and its failure put in our terms."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from service.build.builder import BUILD_FAILED, BuildContext, Built, Order
from service.build.buildkit import Build, BuildKit, Credentials, Exporter, SessionLost, SolveFailed, Unreachable
from service.build.failure import Failure, FailureKind, classify
from service.build.failure.text import shown
from service.build.recording import BuildRecorder, CommitDiffers, Expected, Recording
from service.build.registry import RegistryAccess
from service.domain.build import BuildOf
from service.domain.git import git_host, git_ref
from service.errors import BuildFailed, HydraError, Internal, Transient

log = structlog.get_logger(__name__)

_SAID = 2000  # characters


@dataclass(frozen=True)
class Solve:
    """What is asked of the daemon; `clone_url` is where its git token is good, `build_id` what the build is called."""

    order: Order
    build_id: str
    image: str
    frontend_attrs: Mapping[str, str]
    exporter: Exporter
    clone_url: str
    registry: RegistryAccess = field(repr=False)


async def ready(daemon: BuildKit, who: str, within: timedelta) -> None:
    """Wait until the daemon answers. Raises Transient, which says `who` does not."""
    try:
        await daemon.wait_ready(within)
    except Unreachable as error:
        log.warning("a builder does not answer", who=who, said=error.text)
        raise Transient(f"{who} does not answer", reason="BUILDER_UNREACHABLE") from error


async def solve(daemon: BuildKit, wanted: Solve, context: BuildContext, recorder: BuildRecorder) -> Built:
    """Build, push, and record what happened. Raises as `Builder.build`."""
    order = wanted.order
    # The last thing before the build begins: a token that waited for a machine may have ended meanwhile (06 · B1).
    token = await context.clone_token()
    recording = Recording(
        recorder, BuildOf(order.workspace_id, order.project_id, order.deployment_id), _expected(order)
    )
    build = Build(
        ref=uuid.uuid4().hex,
        frontend_attrs=wanted.frontend_attrs,
        exporter=wanted.exporter,
        secrets={f"GIT_AUTH_TOKEN.{git_host(wanted.clone_url)}": token.encode()} if token else {},
        credentials=_credentials(wanted.registry),
    )
    try:
        solved = await daemon.build(build, recording)
    except SessionLost as lost:
        log.warning("the builder's session was lost", deployment=order.deployment_id, said=lost.text)
        raise Transient("the connection to the builder was lost", reason="BUILD_SESSION_LOST") from lost
    except CommitDiffers as differs:
        raise _moved(order, differs.text) from None
    except SolveFailed as failed:
        raise _failure(failed, recording, order) from None
    finally:
        recording.end()
    if order.source.pull_request and not recording.fetched:
        raise BuildFailed(
            f"the builder does not tell which commit of pull request {order.source.pull_request} it fetched, so it "
            "cannot be compared with the one that was asked for",
            reason=BUILD_FAILED,
            cause="COMMIT_UNKNOWN",
        )
    return Built(wanted.image, solved.digest, wanted.build_id, order.source.commit_sha)


def _expected(order: Order) -> Expected | None:
    """Say what has to be compared: the head of a pull request may have moved since it was looked at (06 · B3)."""
    return Expected(git_ref(order.source), order.source.commit_sha) if order.source.pull_request else None


def _credentials(registry: RegistryAccess) -> dict[str, Credentials]:
    return {registry.host: Credentials(registry.username, registry.password)} if registry.password else {}


def _moved(order: Order, fetched: str) -> BuildFailed:
    return BuildFailed(
        f"pull request {order.source.pull_request} stands at {fetched[:12]} now, and {order.source.commit_sha[:12]} "
        "was to be deployed: deploy its newest commit",
        reason=BUILD_FAILED,
        cause="COMMIT_DIFFERS",
    )


def _failure(failed: SolveFailed, recording: Recording, order: Order) -> HydraError:
    details = failed.details
    step = recording.failed_step(details.vertex)
    verdict = classify(
        Failure(
            code=failed.code,
            text=failed.text,
            exit_code=details.exit_code,
            failed_step_name=step.name,
            source_line=details.location.line if details.location else None,
            output=step.output,
        )
    )
    # The daemon's own words are for whoever mends this table, or the builder; users have the build's log.
    said = {"said": shown(failed.text, _SAID)} if verdict.unmatched or verdict.kind is not FailureKind.USER else {}
    facts = {"kind": verdict.kind, "reason": verdict.reason, "code": failed.code}
    log.warning("build failed", deployment=order.deployment_id, **facts, **said)
    match verdict.kind:
        case FailureKind.USER:
            return BuildFailed(verdict.message, reason=BUILD_FAILED, cause=verdict.reason)
        case FailureKind.OURS:
            return Internal(verdict.message, reason=verdict.reason)
        case _:
            return Transient(verdict.message, reason=verdict.reason)
