"""What a clean answer of Restate's ingress is, where a request is wrong or is about what does not exist."""

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from tests.fuzz.fuzzer import leak
from tests.fuzz.http1 import Answer, Request, ask
from tests.installation import Installation

SERVICE = b"/hydra.v1.DeployService/"
DEPLOY = SERVICE + b"k/Deploy"
_ERRORS = range(HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR)


def asker(installation: Installation) -> Callable[[Request], Awaitable[str]]:
    """Make the function that asks, and tells what is wrong with the answer."""
    address = installation.stack.restate.ingress_url.removeprefix("http://")

    async def send(request: Request) -> str:
        answer = await ask(address, request)
        if answer.status in (HTTPStatus.OK, HTTPStatus.ACCEPTED) and request.may_succeed:
            return ""
        if answer.status not in _ERRORS:
            return f"answered {answer.status}: {answer.body[:300]!r}"
        return _fault(answer) if request.target.startswith(SERVICE) else ""

    return send


def _fault(answer: Answer) -> str:
    """Look into an error that our handler made; what Restate itself refuses it words in its own way."""
    try:
        error = json.loads(answer.body or b"{}")
    except ValueError:
        return ""
    if error.get("source") != "invocation":
        return ""
    if error["code"] != answer.status or not error.get("metadata", {}).get("error"):
        return f"answered {answer.status} without our details: {error}"
    return leak(error["message"])
