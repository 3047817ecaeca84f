"""The composition root: turns settings into running parts. Nothing else names concrete adapters."""

from service.app.adapters import open_build_history, open_database, open_request_log
from service.app.serve import Role, serve

__all__ = ["Role", "open_build_history", "open_database", "open_request_log", "serve"]
