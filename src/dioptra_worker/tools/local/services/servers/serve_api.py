"""The Dioptra REST API for gunicorn; runs in the environment of dioptra-platform.

Unlike the platform's own it registers a user only for who has one, or the stack's key:
whoever has an account on the machine could else register, and run code as its owner.
"""

import gc
import hmac
import os
import sqlite3
from typing import Any

from dioptra.restapi import create_app
from dioptra.sdk.utilities.logging import (
    attach_stdout_stream_handler,
    configure_structlog,
    set_logging_level,
)
from flask import request
from flask_login import current_user
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
gc.disable()  # to look for garbage is a quarter of what it takes
app = create_app(env="prod")


def _know_who_registers() -> tuple[dict[str, str], int] | None:
    rule = request.url_rule
    if request.method != "POST" or rule is None:
        return None
    if not rule.rule.rstrip("/").endswith("/users"):
        return None
    given = request.headers.get(os.environ["DIOPTRA_WORKER_REGISTRATION_HEADER"], "")
    key = os.environ["DIOPTRA_WORKER_REGISTRATION_KEY"]
    if (
        hmac.compare_digest(given.encode(), key.encode())
        or current_user.is_authenticated
    ):
        return None
    return {"message": "log in to register a user of this local stack"}, 403


app.before_request(_know_who_registers)
# All of it stays: no collection looks through it, nor writes to pages that the
# processes which answer share.
gc.freeze()
gc.enable()
