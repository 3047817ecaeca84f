"""What keys demand of each other. Rules look at the raw tree, so that they speak even where other keys are wrong."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from service.config.faults import PathFault
from service.config.own import DeploySettings
from service.config.table import Path
from service.config.values import parse_duration
from service.database.dsn import parse as parse_dsn
from service.rpc.address import is_loopback


def cross_field(tree: dict[str, object]) -> Iterator[PathFault]:
    """Yield the faults of keys that depend on each other.

    The reference's rules for parts that we do not have (ACME) are left out: `reference` says why.
    """
    if _filled(tree, ("registry", "password")):
        needed = [("registry", "url"), ("registry", "username")]
        if not _filled(tree, ("build", "address")):  # with one, the password is the registry's alone
            needed.append(("depot", "api_url"))
        for path in needed:
            if not _filled(tree, path):
                yield path, "is required because registry.password is set"
    yield from _build(tree)
    yield from _grpc(tree)
    yield from _client(tree)
    wait = _duration(tree, "health_timeout")
    for key in ("health_poll", "health_steady"):
        pause = _duration(tree, key)
        if wait is not None and pause is not None and pause >= wait:
            yield ("deploy", key), "must be shorter than deploy.health_timeout"
    dialects = {_dialect(tree, key) for key in ("primary", "readonly_replica")} - {None}
    if len(dialects) > 1:
        yield ("database", "readonly_replica"), "must be the same kind of database as database.primary"


def _build(tree: dict[str, object]) -> Iterator[PathFault]:
    """Yield what a BuildKit of the operator's own needs besides its address."""
    tls = [("build", name) for name in ("tls_ca_file", "tls_cert_file", "tls_key_file")]
    given = [path for path in tls if _filled(tree, path)]
    for path in tls:
        if given and path not in given:
            yield path, "is required because build.tls_* is set: TLS needs a CA, a certificate and its key"
    if _filled(tree, ("build", "address")):
        if not _filled(tree, ("registry", "url")):
            yield ("registry", "url"), "is required because build.address is set: images are pushed there"
        if given and not str(_value(tree, ("build", "address"))).startswith("tcp://"):
            yield ("build", "address"), "must be tcp://host:port where build.tls_* is set"
    if _filled(tree, ("build", "fork_address")):
        if not _filled(tree, ("build", "address")):
            yield ("build", "fork_address"), "is of no use without build.address"
        elif _value(tree, ("build", "fork_address")) == _value(tree, ("build", "address")):
            yield (
                ("build", "fork_address"),
                "must be another BuildKit than build.address: the cache is what is kept apart",
            )


def _grpc(tree: dict[str, object]) -> Iterator[PathFault]:
    """Yield what a door to other machines lacks, and which of its tokens are one."""
    yield from _pair(tree, "grpc")
    has_tls = _filled(tree, ("grpc", "tls_cert_file")) or _filled(tree, ("grpc", "tls_key_file"))
    has_client_ca = _filled(tree, ("grpc", "tls_client_ca_file"))
    if has_client_ca and not has_tls:
        yield ("grpc", "tls_client_ca_file"), "needs grpc.tls_cert_file and grpc.tls_key_file: it is a part of TLS"
    tokens = _value(tree, ("grpc", "tokens"))
    lacking = [] if has_tls else ["grpc.tls_cert_file and grpc.tls_key_file"]
    if not tokens and not has_client_ca:
        lacking.append("[[grpc.tokens]] or grpc.tls_client_ca_file")
    listen = _value(tree, ("grpc", "listen"))
    is_open = isinstance(listen, str) and not is_loopback(listen)
    if is_open and lacking and _value(tree, ("grpc", "insecure")) is not True:
        wanted = f"set {', and '.join(lacking)}; or grpc.insecure = true, where something else guards the way to it"
        yield ("grpc", "listen"), f"{listen} is open to other machines: {wanted}"
    if isinstance(tokens, list):
        for key in ("name", "sha256"):
            yield from _repeated(tokens, key)


def _repeated(tokens: Sequence[object], key: str) -> Iterator[PathFault]:
    """Yield the tokens that have what another one before them has."""
    owners: dict[str, int] = {}
    for index, token in enumerate(tokens):
        value = token.get(key) if isinstance(token, dict) else None
        if isinstance(value, str):
            owner = owners.setdefault(value.lower() if key == "sha256" else value, index)
            if owner != index:
                yield ("grpc", "tokens", f"{index}", key), f"is that of grpc.tokens.{owner} already"


def _client(tree: dict[str, object]) -> Iterator[PathFault]:
    """Yield what is of no use without TLS."""
    yield from _pair(tree, "client")
    if _value(tree, ("client", "tls")) is True or _filled(tree, ("client", "tls_ca_file")):
        return
    for key in ("tls_cert_file", "tls_key_file", "tls_server_name"):
        if _filled(tree, ("client", key)):
            yield ("client", key), "is of no use without TLS: set client.tls_ca_file, or client.tls = true"


def _pair(tree: dict[str, object], table: str) -> Iterator[PathFault]:
    """Yield what a certificate without its key, or a key alone, lacks."""
    cert, key = (table, "tls_cert_file"), (table, "tls_key_file")
    for path, other in ((cert, key), (key, cert)):
        if _filled(tree, other) and not _filled(tree, path):
            yield path, f"is required because {'.'.join(other)} is set"


def _value(tree: dict[str, object], path: Path) -> object:
    value: object = tree
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _filled(tree: dict[str, object], path: Path) -> bool:
    value = _value(tree, path)
    return isinstance(value, str) and value != ""


def _dialect(tree: dict[str, object], key: str) -> str | None:
    value = _value(tree, ("database", key))
    try:
        return parse_dsn(value).dialect if isinstance(value, str) and value else None
    except ValueError:
        return None


def _duration(tree: dict[str, object], key: str) -> timedelta | None:
    value = _value(tree, ("deploy", key))
    if value is None:
        default: timedelta = DeploySettings.model_fields[key].default
        return default
    try:
        return parse_duration(value) if isinstance(value, str) else None
    except ValueError:
        return None
