"""Make an empty database of the REST API; runs in dioptra-platform's environment.

The database is the one that DIOPTRA_RESTAPI_DATABASE_URI names.
"""

import sqlite3
from pathlib import Path

import dioptra.restapi.db.alembic
from dioptra.restapi import create_app
from flask_migrate import upgrade  # type: ignore[import-untyped,unused-ignore]
from sqlalchemy.engine import make_url


def main() -> None:
    """Create the database at the newest revision, ready for many threads."""
    app = create_app(env="prod")
    revisions = Path(next(iter(dioptra.restapi.db.alembic.__path__)))
    with app.app_context():
        upgrade(directory=str(revisions))
    database = make_url(app.config["SQLALCHEMY_DATABASE_URI"]).database
    connection = sqlite3.connect(str(database))
    # Kept in the file: readers do not wait for the writer.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


if __name__ == "__main__":
    main()
