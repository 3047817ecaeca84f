"""What the configuration, and the certificates that it names, say that they should not: nothing is asked of anybody."""

from collections.abc import Iterator

from service.app.doctor.certificates import certificates
from service.app.doctor.checks import SOON_MS, Examination, Finding, Part
from service.app.services import KEYS
from service.clock import now_ms
from service.config import GrpcSettings, RestateSettings, Settings
from service.rpc.address import is_loopback

PART = Part("configuration")


async def examine(settings: Settings) -> Examination:
    """Look at the settings as they were loaded: what is plainly wrong has stopped the command before."""
    if settings.ignored_keys:
        listed = ", ".join(settings.ignored_keys)
        yield PART.warning("keys", f"nothing here knows {listed}", "correct their spelling, or take them out")
    else:
        yield PART.ok("keys", f"all of {settings.source} are known")
    certified = certificates(PART, settings)
    for finding in (*_grpc(settings.grpc), *certified, *_endpoint(settings.restate), *_services(settings)):
        yield finding


def _grpc(grpc: GrpcSettings) -> Iterator[Finding]:
    """Say who may call, and how they are overheard."""
    lacking = [] if grpc.tls_cert_file else ["TLS"]
    if not grpc.tokens and not grpc.tls_client_ca_file:
        lacking.append("tokens or client certificates")
    if is_loopback(grpc.listen) or not lacking:
        guards = "this machine alone" if lacking else "callers who say who they are, over TLS"
        yield PART.ok("grpc", f"{grpc.listen} is open to {guards}")
    else:
        yield PART.warning(
            "grpc",
            f"{grpc.listen} is open to other machines without {' and '.join(lacking)}",
            "set grpc.tls_* and [[grpc.tokens]] (docs/security.md), unless something else guards the way to it",
        )
    for token in grpc.tokens:
        left_ms = token.expires.timestamp() * 1000 - now_ms() if token.expires else SOON_MS
        if left_ms < SOON_MS:
            when = "has expired" if left_ms <= 0 else f"expires on {token.expires:%Y-%m-%d}"
            yield PART.warning("grpc", f"the token {token.name!r} {when}", "draw another with `hydra-deploy token`")


def _endpoint(restate: RestateSettings) -> Iterator[Finding]:
    """Say who may run handlers, and whether Restate is told of them."""
    at = f"{restate.http_host}:{restate.http_port}"
    if restate.identity_keys:
        yield PART.ok("restate endpoint", f"{at} takes what Restate has signed")
    elif is_loopback(at):
        yield PART.ok("restate endpoint", f"{at} is open to this machine alone")
    else:
        yield PART.warning(
            "restate endpoint",
            f"whoever reaches {at} may run handlers",
            "set restate.identity_keys (docs/security.md), unless something else guards the way to it",
        )
    if not restate.register_as:
        yield PART.warning(
            "registration",
            "restate.register_as is empty: a new release has to be registered by hand",
            "set it to the address at which Restate reaches the worker",
        )


def _services(settings: Settings) -> Iterator[Finding]:
    """Say what another worker has to serve; whether one does is Restate's to tell."""
    left_out = sorted({key for key in KEYS.values() if not getattr(settings.services, key)})
    if left_out:
        yield PART.ok("services", f"another worker is to serve {', '.join(left_out)}")
    else:
        yield PART.ok("services", "all are served by this release")
