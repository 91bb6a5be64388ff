"""The S3 endpoint: moto's server with one bucket.

Usage: serve_s3.py HOST PORT BUCKET
"""

import sys

from moto.server import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import run_simple
from werkzeug.test import Client


def main() -> None:
    """Make the bucket, then serve until the process is ended."""
    host, port, bucket = sys.argv[1:]
    application = DomainDispatcherApplication(create_backend_app)
    answer = Client(application).put(
        f"/{bucket}", base_url=f"http://{host}:{port}", headers={"Content-Length": "0"}
    )
    if answer.status_code != 200:
        sys.exit(f"cannot make the bucket {bucket}: {answer.get_data(as_text=True)}")
    run_simple(
        host,
        int(port),
        application,
        threaded=True,
        request_handler=MotoRequestHandler,
    )


if __name__ == "__main__":
    main()
