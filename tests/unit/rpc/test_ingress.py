"""What the ingress answers, read: an error of ours, whatever it is."""

import json

import pytest
from aiohttp import web

from service.errors import HydraError, Internal, NotFound, Transient
from service.rpc.ingress import Ingress, Target
from service.rpc.reconciler import go_round
from tests.servers.stray import saying, stray

TARGET = Target("hydra.v1.DeployService", "Deploy", "d_1")


async def refusal(status: int, body: str) -> HydraError:
    """Hand a request over, and return why that is not taken."""
    async with saying(status, body) as url:
        ingress = Ingress(url)
        try:
            with pytest.raises(HydraError) as raised:
                await ingress.send(TARGET, b"{}", {})
        finally:
            await ingress.close()
    return raised.value


async def accepted(body: str) -> tuple[str, bool]:
    async with saying(202, body) as url:
        ingress = Ingress(url)
        try:
            taken = await ingress.send(TARGET, b"{}", {})
        finally:
            await ingress.close()
    return taken.invocation_id, taken.is_repeat


async def test_what_restate_has_taken() -> None:
    assert await accepted('{"invocationId": "inv_1", "status": "Accepted"}') == ("inv_1", False)
    assert await accepted('{"invocationId": "inv_1", "status": "PreviouslyAccepted"}') == ("inv_1", True)


@pytest.mark.parametrize("status", [200, 202])
@pytest.mark.parametrize(
    "body",
    [
        "<html>please log in</html>",
        "",
        "\udcff",
        "[" * 100_000,
        "null",
        '["invocationId"]',
        '{"invocationId": "inv_1"}',
        '{"invocationId": null, "status": "Accepted"}',
        '{"invocationId": "", "status": "Accepted"}',
        '{"status": "Accepted"}',
    ],
    ids=range(10),
)
async def test_what_is_no_answer_of_restate_is_trouble_that_may_pass(status: int, body: str) -> None:
    error = await refusal(status, body.encode("utf-8", "surrogateescape").decode("latin-1"))
    assert (type(error), error.reason) == (Transient, "RESTATE_UNAVAILABLE")


@pytest.mark.parametrize(
    "metadata", ["a text", ["a", "list"], 7, {"error": ["NotFound"]}, {"error": {}}, {"error": "NotFound", "reason": 7}]
)
async def test_metadata_that_nobody_of_us_wrote(metadata: object) -> None:
    error = await refusal(412, json.dumps({"code": 412, "message": "no", "metadata": metadata}))
    assert type(error) is Internal


async def test_metadata_that_we_wrote() -> None:
    metadata = {"error": "NotFound", "reason": "DEPLOYMENT_NOT_FOUND", "id": "d_1"}
    error = await refusal(404, json.dumps({"code": 404, "message": "no", "metadata": metadata}))
    assert (type(error), error.reason, error.facts) == (NotFound, "DEPLOYMENT_NOT_FOUND", {"id": "d_1"})


async def test_a_page_in_place_of_a_round_s_findings() -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            return web.json_response({"invocationId": "inv_1", "status": "Accepted"}, status=202)
        return web.Response(text="<html>please log in</html>")

    async with stray(answer) as url:
        ingress = Ingress(url)
        with pytest.raises(Transient) as raised:
            await go_round(ingress, dry_run=True)
        await ingress.close()
    assert raised.value.reason == "RESTATE_UNAVAILABLE"


@pytest.mark.parametrize("body", ["<html>please log in</html>", "[]", "null", "[" * 100_000], ids=range(4))
async def test_a_page_is_not_an_operation_that_succeeded(body: str) -> None:
    async with saying(200, body) as url:
        ingress = Ingress(url)
        with pytest.raises(Transient) as raised:
            await ingress.wait("inv_1")
        await ingress.close()
    assert raised.value.reason == "RESTATE_UNAVAILABLE"


@pytest.mark.parametrize("body", ["{}", '{"findings": []}', ""])
async def test_what_a_handler_returned_is_returned(body: str) -> None:
    async with saying(200, body) as url:
        ingress = Ingress(url)
        assert await ingress.wait("inv_1") == body.encode()
        await ingress.close()
