"""Call every method of a client once with few and once with all arguments.

Run in an environment whose ``dioptra`` is to be looked at: it prints, as JSON, each
method's parameters and the requests that its calls sent to a server of our own.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import tempfile
import threading
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Method = Callable[..., Any]

NOT_CALLS = {"build_sub_collection_url", "close"}
DRAFTS = {
    "queues": ["name", "description"],
    "plugins": ["name", "description"],
    "models": ["name", "description"],
    "plugins.files": ["filename", "contents", "tasks", "description"],
    "plugin_parameter_types": ["name", "description", "structure"],
    "experiments": ["name", "description", "entrypoints"],
    "entrypoints": [
        *("name", "description", "task_graph", "artifact_graph", "parameters"),
        *("artifact_parameters", "queues"),
    ],
}
VALUES = {
    "metric_value": 0.5,
    "logs": [{"severity": "INFO", "loggerName": "x", "message": "y"}],
    "content": {"taskGraph": "graph: {}"},
    "timestamp": "2025-01-31T12:00:00",
    "swaps": {"a": "b"},
    "swap_parameters": {"a": "b"},
    "sections": ["graph", "tasks"],
    "severity": ["INFO", "ERROR"],
    "structure": {"list": "string"},
    "parameters": [{"name": "p", "parameterType": "string"}],
    "artifact_parameters": [{"name": "a"}],
    "values": {"p": "v"},
    "artifact_values": {"a": {"id": 1, "snapshotId": 2}},
    "source": "https://example.org/repository.git",
}


class Recorder(BaseHTTPRequestHandler):
    """Writes every request down and answers with an empty object."""

    seen: ClassVar[list[object]] = []

    def handle_any(self) -> None:
        """Write the request down."""
        length = int(self.headers.get("Content-Length") or 0)
        url = urlsplit(self.path)
        body = self.rfile.read(length)
        self.seen.append(
            [self.command, url.path, sorted(parse_qsl(url.query)), self.read(body)]
        )
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def read(self, body: bytes) -> object:
        """Return a body as JSON or as the parts of a form."""
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/"):
            message = BytesParser().parsebytes(
                f"Content-Type: {kind}\n\n".encode() + body
            )
            parts: Any = message.get_payload()
            return sorted(
                [
                    part.get_param("name", header="content-disposition"),
                    str(part.get_payload()),
                ]
                for part in parts
            )
        return json.loads(body) if body else None

    do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def value(name: str) -> object:
    """Return something to pass for a parameter."""
    if name in VALUES:
        return VALUES[name]
    if name == "output_dir":
        return Path(tempfile.mkdtemp())
    if name.endswith(("_ids", "ids")) or name in {"queues", "plugins", "entrypoints"}:
        return [3, 4]
    if name.endswith(("_id", "index", "_length", "number", "_step")):
        return 7
    if name in {"descending", "everywhere", "partial", "validate_only", "show_deleted"}:
        return True
    return f"the {name}"


def arguments(
    place: str, method: Method, *, everything: bool
) -> tuple[list[int], dict[str, Any]]:
    """Return what to call a method with."""
    positional: list[int] = []
    named: dict[str, Any] = {}
    collection, _, sub = place.rpartition(".")
    for parameter in inspect.signature(method).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            count = collection.count(".") + (sub != "new_resource_drafts")
            positional = [11, 12][:count]
        elif parameter.kind is parameter.VAR_KEYWORD:
            fields = DRAFTS[collection]
            if collection == "entrypoints" and sub == "new_resource_drafts":
                fields = [*fields, "plugins", "artifact_plugins"]
            named |= {field: f"the {field}" for field in fields}
        elif parameter.name == "file_type":
            continue  # its values are objects of each client's own
        elif parameter.default is parameter.empty or everything:
            named[parameter.name] = value(parameter.name)
    if (
        sub == "new_resource_drafts"
        and "group_id" in inspect.signature(method).parameters
    ):
        named["group_id"] = None if positional else 1
    return positional, named


def methods(thing: object, place: str = "") -> Iterator[tuple[str, str, Method]]:
    """Yield every public method of a client with its place."""
    for name in dir(thing):
        attribute = getattr(thing, name)
        if name.startswith("_") or name in NOT_CALLS or name == "transport":
            continue
        if inspect.ismethod(attribute):
            yield place, name, attribute
        elif "client" in type(attribute).__module__ and "." not in place:
            yield from methods(attribute, f"{place}.{name}".lstrip("."))


def look(client: object) -> dict[str, object]:
    """Return each method's parameters and the requests of its calls."""
    found: dict[str, object] = {}
    for place, name, method in methods(client):
        parameters = [
            [
                parameter.name,
                parameter.kind.name,
                re.sub("<.*>", "", str(parameter.default)),
            ]
            for parameter in inspect.signature(method).parameters.values()
        ]
        requests = []
        for everything in (False, True):
            Recorder.seen.clear()
            positional, named = arguments(place, method, everything=everything)
            try:
                method(*positional, **named)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
                Recorder.seen.append(f"{type(error).__name__}: {named}")
            requests.append(list(Recorder.seen))
        found[f"{place}.{name}"] = {"parameters": parameters, "requests": requests}
    return found


if __name__ == "__main__":
    sys.path[:0] = sys.argv[1:]
    from dioptra.client import connect_json_dioptra_client

    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    json.dump(look(connect_json_dioptra_client(address)), sys.stdout, indent=1)
