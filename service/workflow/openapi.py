"""hydra.v1.OpenapiService: keep a copy of the OpenAPI document that an app publishes (02 · 9)."""

from datetime import timedelta
from typing import Any

import structlog
from hydra.v1 import openapi_pb2

from service.clock import now_ms
from service.database import openapi
from service.database.openapi import Publication, Spec
from service.domain.identifiers import Prefix, new_id
from service.domain.request import validate_deployment_id
from service.durable.binding import Handler
from service.durable.journal import Budget, Journal
from service.errors import HydraError, Transient
from service.openapi.document import check_document
from service.openapi.fetch import Page
from service.openapi.path import check_path
from service.workflow.runtime import Runtime

log = structlog.get_logger(__name__)

# An app that was just deployed may still be warming up (02 · 9).
_BUDGET = Budget(
    max_duration=timedelta(hours=2),
    initial_interval=timedelta(minutes=1),
    max_interval=timedelta(minutes=10),
    max_attempts=10,
)
_LOCAL = (".local", ".localhost")


def openapi_handlers(runtime: Runtime) -> dict[str, Handler]:
    """Make the handlers by rpc name."""

    async def scrape_spec(ctx: Any, request: openapi_pb2.ScrapeSpecRequest) -> openapi_pb2.ScrapeSpecResponse:
        validate_deployment_id(request.deployment_id)
        try:
            await _scrape(runtime.journal(ctx), runtime, request.deployment_id)
        except HydraError as error:
            log.warning(
                "OpenAPI document not kept", deployment=request.deployment_id, reason=error.reason, why=error.message
            )
            raise
        return openapi_pb2.ScrapeSpecResponse()

    return {"ScrapeSpec": scrape_spec}


async def _scrape(journal: Journal, runtime: Runtime, deployment_id: str) -> None:
    spec_id = new_id(Prefix.OPENAPI_SPEC, journal.ctx.random())
    found = await journal.step(
        "find document",
        Publication,
        lambda: runtime.database.read(lambda conn: openapi.publication(conn, deployment_id)),
    )
    if found.path and found.fqdn:
        check_path(found.path)
        # One step: the document itself is not for the journal.
        await journal.step("keep document", bool, lambda: _keep(runtime, deployment_id, spec_id, found), _BUDGET)


async def _keep(runtime: Runtime, deployment_id: str, spec_id: str, found: Publication) -> bool:
    """Fetch and keep the document; False where the app has none."""
    content = await runtime.documents.fetch(await _page(runtime, deployment_id, found))
    if content is None:
        return False
    await check_document(content)
    spec = Spec(spec_id, found.workspace_id, deployment_id, content)
    await runtime.database.transact(lambda conn: openapi.keep(conn, spec, now_ms()))
    log.info("OpenAPI document kept", deployment=deployment_id, size_bytes=len(content))
    return True


async def _page(runtime: Runtime, deployment_id: str, found: Publication) -> Page:
    """Return where the document is: at the app's host name, or in a local installation at an instance itself."""
    if not found.fqdn.lower().endswith(_LOCAL):
        return Page(f"https://{found.fqdn}{found.path}")
    address = await runtime.database.read(lambda conn: openapi.running_instance(conn, deployment_id))
    if not address:
        raise Transient("no instance of the deployment runs yet", reason="OPENAPI_UNAVAILABLE")
    return Page(f"http://{address}{found.path}", {"X-Deployment-Id": deployment_id}, local=True)
