"""The S3 endpoint: moto's server with one bucket.

moto keeps objects in memory. When it is asked to end (SIGTERM) this writes them into
the current folder, and reads them back at the next start; a kill loses them.

Usage: serve_s3.py HOST PORT BUCKET
"""

import json
import shutil
import signal
import sys
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree as ET

from moto.server import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import run_simple
from werkzeug.test import Client, TestResponse

_STORE = Path("objects")
_INDEX = "index.json"
_XML = "{http://s3.amazonaws.com/doc/2006-03-01/}"
# What an object is served with, besides its bytes.
_KEPT_HEADERS = ("content-type", "content-encoding", "cache-control")
# moto checks no signature, but treats a request without one as a stranger's.
_SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 "
    "Credential=local/20000101/us-east-1/s3/aws4_request"
}


class Bucket:
    """A bucket of the server in this process, spoken to without a connection."""

    def __init__(self, client: Client, base_url: str, name: str) -> None:
        self.client = client
        self.base_url = base_url
        self.path = f"/{name}"

    def make(self) -> None:
        """Create the bucket."""
        self._ask("PUT", self.path)

    def load(self, store: Path) -> None:
        """Put every object of the store into the bucket."""
        try:
            index = json.loads((store / _INDEX).read_text())
        except FileNotFoundError:
            return
        for number, entry in enumerate(index):
            content = (store / str(number)).read_bytes()
            self._ask("PUT", self._object(entry["key"]), content, entry["headers"])

    def save(self, store: Path) -> None:
        """Write every object of the bucket; the store changes as a whole."""
        draft = store.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        index = []
        for number, key in enumerate(self._keys()):
            answer = self._ask("GET", self._object(key))
            (draft / str(number)).write_bytes(answer.data)
            headers = {
                name: value
                for name, value in answer.headers.items()
                if name.lower() in _KEPT_HEADERS
                or name.lower().startswith("x-amz-meta-")
            }
            index.append({"key": key, "headers": headers})
        (draft / _INDEX).write_text(json.dumps(index))
        shutil.rmtree(store, ignore_errors=True)
        draft.rename(store)

    def _keys(self) -> list[str]:
        keys: list[str] = []
        more = ""
        while True:
            # `start-after` and not a continuation token: it needs no quoting rules.
            query = f"?list-type=2&start-after={quote(more, safe='')}"
            page = ET.fromstring(  # noqa: S314 - moto's own answer
                self._ask("GET", self.path + query).data
            )
            found = [
                key.text or "" for key in page.iterfind(f"{_XML}Contents/{_XML}Key")
            ]
            keys += found
            if page.findtext(f"{_XML}IsTruncated") != "true":
                return keys
            more = found[-1]

    def _object(self, key: str) -> str:
        return f"{self.path}/{quote(key)}"

    def _ask(
        self,
        method: str,
        path: str,
        content: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> TestResponse:
        answer = self.client.open(
            path,
            method=method,
            base_url=self.base_url,
            data=content,
            headers=_SIGNED | (headers or {}),
        )
        if answer.status_code >= 300:
            message = f"{method} {path}: {answer.status} {answer.text}"
            raise RuntimeError(message)
        return answer


def main() -> None:
    """Serve until the process is asked to end."""
    host, port, name = sys.argv[1:]
    application = DomainDispatcherApplication(create_backend_app)
    bucket = Bucket(Client(application), f"http://{host}:{port}", name)
    bucket.make()
    bucket.load(_STORE)
    # Leaves run_simple, whose threads do not keep the process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        run_simple(
            host,
            int(port),
            application,
            threaded=True,
            request_handler=MotoRequestHandler,
        )
    finally:
        bucket.save(_STORE)


if __name__ == "__main__":
    main()
