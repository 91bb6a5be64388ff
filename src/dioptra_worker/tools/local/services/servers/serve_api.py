"""The Dioptra REST API for gunicorn; runs in the environment of dioptra-platform."""

import sqlite3
from typing import Any

from dioptra.restapi import create_app
from dioptra.sdk.utilities.logging import (
    attach_stdout_stream_handler,
    configure_structlog,
    set_logging_level,
)
from sqlalchemy import event
from sqlalchemy.engine import Engine


@event.listens_for(Engine, "connect")
def _share_the_database(connection: Any, _record: Any) -> None:
    """Let threads wait for the one writer instead of failing at once."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA busy_timeout = 30000")
        # With the write-ahead log that the database has, safe when a process dies.
        connection.execute("PRAGMA synchronous = NORMAL")


attach_stdout_stream_handler(False)
set_logging_level("INFO")
configure_structlog()
app = create_app(env="prod")
