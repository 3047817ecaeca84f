"""Why there is no document to keep, in words for the app's owner. Nothing that an app says is repeated."""

from http import HTTPStatus

from service.errors import FailedPrecondition, HydraError, Transient

_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
_HOST_CHARACTERS = 253  # https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4, as text without the last dot


def unavailable(message: str) -> Transient:
    """Return the error for trouble that may pass; `message` holds no address."""
    return Transient(message, reason="OPENAPI_UNAVAILABLE")


def path_invalid(fault: str) -> FailedPrecondition:
    """Return the error for a path that `fault`. It is not quoted: what is no path may hold a key, as a query."""
    return FailedPrecondition(
        f"the app's openapi_spec_path {fault}: set it to a plain path such as /openapi.json",
        reason="OPENAPI_PATH_INVALID",
    )


def address_refused(host: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"{host[:_HOST_CHARACTERS]} leads to an address that must not be reached from here: "
        "give it a public one, or add its network to the setting openapi.allowed_networks",
        reason="OPENAPI_ADDRESS_REFUSED",
    )


def host_invalid() -> FailedPrecondition:
    return FailedPrecondition(
        "the deployment's host name cannot be part of an address: give its route another",
        reason="OPENAPI_ADDRESS_REFUSED",
    )


def redirected(fault: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"the app redirects the request for its OpenAPI document {fault}: "
        "set openapi_spec_path to where the document is, on the app's own host",
        reason="OPENAPI_REDIRECTED",
    )


def refused(status: int) -> HydraError:
    """Return the error for a status that comes with no document."""
    if status in _PASSING or HTTPStatus.INTERNAL_SERVER_ERROR <= status < 600:  # noqa: PLR2004 - the end of 5xx
        return unavailable(f"the app answered the request for its OpenAPI document with status {status}")
    return FailedPrecondition(
        f"the app answered the request for its OpenAPI document with status {status}: "
        "see that openapi_spec_path is right, and that the document is open to everybody",
        reason="OPENAPI_REFUSED",
    )


def too_large(max_bytes: int) -> FailedPrecondition:
    return FailedPrecondition(
        f"the app's OpenAPI document is larger than {max_bytes:,} bytes: publish a smaller one",
        reason="OPENAPI_TOO_LARGE",
    )


def encoded() -> FailedPrecondition:
    return FailedPrecondition(
        "the app compresses its OpenAPI document for clients that accept no compression: "
        "heed the header Accept-Encoding",
        reason="OPENAPI_ENCODED",
    )


def invalid(fault: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"the app's OpenAPI document {fault}: publish JSON or YAML with a mapping at its root",
        reason="OPENAPI_INVALID",
    )
