"""Services that answer as the real ones did, as late, and without their limits.

First each request is passed on, and what comes back is kept with the time that it
took. Then requests of other jobs get the same answers, each after that time: one
process of this kind answers more than the real services do with all of a machine. What
was not seen before is passed on then, too, and counted by itself.

    python -m benchmarks.replay http://HOST:PORT [...]

It says on which ports it listens, one for each, and takes a command as a line:
``replay ID`` answers from now on as it was for that job, ``counts`` tells what was
asked since the last time.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import http.client
import json
import re
import sys
import time
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

HOST = "127.0.0.1"
PASSED_ON = "passed on: "
"""What the kinds of requests begin with that had to be asked of the real service."""

_JOB = re.compile(r"(?<=/jobs/)\d+")
_JOB_IN_BODY = re.compile(rb'"job":\s*(\d+)')
_NUMBERS = re.compile(r"(?<=/)\d+(?=/|$)")
_LETTERS = re.compile(r"(?<=/)[0-9a-f]{32}(?=/|$)")
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date"}
_LARGEST = 1 << 28
_ANSWER_TIMEOUT = 60.0


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        method: Such as ``GET``.
        target: The path with its query.
        headers: By names in lower case.
        body: All of it.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def job(self) -> str:
        """The job that it is about; empty if it is about none."""
        found = _JOB.search(self.target)
        if found:
            return found[0]
        inside = _JOB_IN_BODY.search(self.body)
        return inside[1].decode() if inside else ""

    @property
    def kind(self) -> str:
        """The request without what differs from job to job."""
        path = self.target.partition("?")[0].removeprefix("/api/v1")
        short = _LETTERS.sub("…", _NUMBERS.sub("…", path))
        return f"{self.method} {short}"


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: Such as 200.
        headers: With those of the connection left out.
        body: All of it.
        seconds: How long it took.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    seconds: float

    def to(self, asked: Asked) -> Answer:
        """The same to another request, where it says something of what was asked."""
        try:
            content = json.loads(self.body)
            request = json.loads(asked.body or b"null")
        except ValueError:
            return self
        if not isinstance(content, dict):
            return self
        if asked.kind.endswith("/runs/create"):
            body = _new_run(content, request)
        elif asked.job and "entrypoint" in content:
            body = {**content, "id": int(asked.job)}
        else:
            return self
        return dataclasses.replace(self, body=json.dumps(body).encode())


def _new_run(content: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """What MLflow says of a run that it makes, with another id and what was asked."""
    old = content["run"]["info"]["run_id"]
    text = json.dumps(content).replace(old, uuid.uuid4().hex)
    made: dict[str, Any] = json.loads(text)
    made["run"]["data"]["tags"] = request["tags"]
    return made


@dataclass
class Service:
    """One of the services.

    Attributes:
        upstream: Where the real one is.
        seen: Answers in their order, by kind of request and job.
        given: How many of them were given again, by the same.
        source: The job whose answers are given to all; empty while they are collected.
        counts: How many requests of each kind there were.
    """

    upstream: str
    seen: dict[tuple[str, str], list[Answer]] = field(
        default_factory=lambda: defaultdict(list)
    )
    given: Counter[tuple[str, str]] = field(default_factory=Counter)
    source: str = ""
    counts: Counter[str] = field(default_factory=Counter)

    async def answer(self, asked: Asked) -> Answer:
        """Answer a request, as late as the real service would."""
        if known := self._known(asked):
            self.counts[asked.kind] += 1
            await asyncio.sleep(known.seconds)
            return known.to(asked)
        passed_on = bool(self.source)
        self.counts[(PASSED_ON if passed_on else "") + asked.kind] += 1
        found = await asyncio.to_thread(_fetch, self.upstream, asked)
        self.seen[asked.kind, asked.job].append(found)
        return found

    def _known(self, asked: Asked) -> Answer | None:
        """What to say of another job; the last answer again if it asks more often."""
        if not self.source:
            return None
        place = (asked.kind, self.source if asked.job else "")
        answers = self.seen.get(place)
        if not answers:
            return None
        number = self.given[asked.kind, asked.job] if asked.job else 0
        self.given[asked.kind, asked.job] += 1
        return answers[min(number, len(answers) - 1)]


def _fetch(upstream: str, asked: Asked) -> Answer:
    parts = urlsplit(upstream)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=_ANSWER_TIMEOUT
    )
    # Signatures are over the header `Host`, which is passed on as it came.
    left_out = {"expect", "connection"}
    headers = {k: v for k, v in asked.headers.items() if k not in left_out}
    began = time.perf_counter()
    try:
        connection.request(asked.method, asked.target, body=asked.body, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    seconds = time.perf_counter() - began
    kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in _HOP]
    return Answer(answer.status, kept, body, seconds)


async def _serve(
    service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer what comes on a connection, one request after the other."""
    try:
        while asked := await _read(reader, writer):
            answer = await service.answer(asked)
            head = [f"HTTP/1.1 {answer.status} Again"]
            head += [f"{name}: {value}" for name, value in answer.headers]
            head.append(f"Content-Length: {len(answer.body)}")
            writer.write("\r\n".join(head).encode("latin-1") + b"\r\n\r\n")
            if asked.method != "HEAD":
                writer.write(answer.body)
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError, http.client.HTTPException) as error:
        print(f"a connection has ended: {error!r}", file=sys.stderr)  # noqa: T201
    finally:
        writer.close()


async def _read(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Asked | None:
    """The next request; None if there is none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise
        return None
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    if headers.get("expect"):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    size = int(headers.get("content-length", 0))
    return Asked(method, target, headers, await reader.readexactly(size))


def _obey(line: str, services: list[Service]) -> dict[str, Any]:
    """What there is to say to a command."""
    command, *arguments = line.split()
    if command == "replay":
        for service in services:
            service.source = arguments[0]
    counts = [dict(service.counts) for service in services]
    seconds = {
        kind: round(sum(each.seconds for each in answers), 4)
        for service in services
        for (kind, job), answers in service.seen.items()
        if job == service.source and job
    }
    for service in services:
        service.counts.clear()
        if command == "replay":
            service.given.clear()
    return {"counts": counts, "seconds": seconds}


async def _main(upstreams: list[str]) -> None:
    services = [Service(upstream) for upstream in upstreams]
    ports = []
    async with contextlib.AsyncExitStack() as stack:
        for service in services:
            server = await asyncio.start_server(
                functools.partial(_serve, service),
                HOST,
                limit=_LARGEST,
                backlog=1024,
            )
            await stack.enter_async_context(server)
            ports.append(server.sockets[0].getsockname()[1])
        print(*ports, flush=True)  # noqa: T201 - whoever started us waits for it
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(_obey(line, services)), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
