"""Logging: one line per event, as JSON or as text; every library's lines go the same way."""

import logging
import sys

import structlog

# What a library logs with a traceback though it is but a request that nobody can read, by logger, the line's beginning
# and the exception, and what is said instead. The first would show metadata, maybe a token (grpcio 1.85, SDK 1.3).
_UNREADABLE = {
    ("grpc._cython.cygrpc", "Invalid encoding on", "UnicodeDecodeError"): "metadata of a call are not UTF-8",
    ("asyncio", "Task exception was never retrieved", "UnicodeDecodeError"): "the path of a call is not UTF-8",
    ("restate.server", "Exception in ASGI app", "VMException"): "a request is not of Restate's protocol",
}


def _say_unreadable(record: logging.LogRecord) -> bool:
    """Turn such a line into one that says what it is."""
    error = record.exc_info[1] if record.exc_info else None
    for (name, beginning, exception), words in _UNREADABLE.items():
        if (name, exception) == (record.name, type(error).__name__) and str(record.msg).startswith(beginning):
            record.msg, record.args, record.exc_info = words, (), None
            record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def configure(level: str, style: str) -> None:
    """Send all logs to standard error, at `level`, as `json` or `text`."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        # Plain tracebacks: the pretty ones show every frame's variables, and some hold a token or a key.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    last = [structlog.processors.format_exc_info, renderer] if style == "json" else [renderer]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("aiosqlite", "httpcore", "httpx"):  # every statement, every header of every answer
        logging.getLogger(chatty).setLevel(logging.WARNING)
    for name, _, _ in _UNREADABLE:
        logging.getLogger(name).addFilter(_say_unreadable)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
