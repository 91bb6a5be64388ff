"""The daemon's log is one line per event, readable, and never shows a secret."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import structlog

from dioptra_worker.common.log_setup import configure
from dioptra_worker.common.text.masking import Mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Configure = Callable[..., io.StringIO]

log = logging.getLogger("test.logs")


@pytest.fixture(name="configured")
def _configured() -> Iterator[Configure]:
    """Configure logging into memory; afterwards it is as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()

    def start(*secrets: str, as_json: bool = False, level: str = "INFO") -> io.StringIO:
        configure(as_json=as_json, level=level, mask=Mask(secrets), stream=stream)
        return stream

    yield start
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    "secret", ['quo"ted-one', "back\\slash", "pässwörd", "p@ss/word", "tab\tbed-one"]
)
@pytest.mark.parametrize("as_json", [False, True])
def test_every_spelling_of_a_secret_is_hidden(
    secret: str, as_json: bool, configured: Configure
) -> None:
    """However JSON, repr or a URL spell a secret, it is not in the log."""
    stream = configured(secret, as_json=as_json)
    log.info("plain %s, quoted %r, redis://:%s@host", secret, secret, quote(secret, ""))
    log.info("with data", extra={"value": secret, "mapping": {"deep": [secret]}})
    written = stream.getvalue()
    spellings = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret)}
    assert [spelling for spelling in spellings if spelling in written] == []
    assert written.count("***") == 5


def test_json_lines(configured: Configure) -> None:
    """As JSON, every event is an object on a line with level, logger, time and data."""
    stream = configured(as_json=True)
    log.warning("job %d is\nlost", 7, extra={"job_id": 7})
    structlog.stdlib.get_logger("other").debug("not shown")
    line, end = stream.getvalue().split("\n")
    assert end == ""
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "job 7 is\nlost",
        "job_id": 7,
        "level": "warning",
        "logger": "test.logs",
    }


@pytest.mark.parametrize("as_json", [True, False])
def test_an_event_has_a_sentence_and_a_name(
    as_json: bool, configured: Configure
) -> None:
    """A fixed name beside the sentence does not take its place."""
    stream = configured(as_json=as_json)
    log.warning("waiting: %s", "gone", extra={"event": "away"})
    (line,) = stream.getvalue().splitlines()
    if as_json:
        found = json.loads(line)
        assert (found["event"], found["name"]) == ("waiting: gone", "away")
    else:
        assert "waiting: gone" in line
        assert "name=away" in line.replace("'", "")


def test_console_lines(configured: Configure) -> None:
    """As text, an event is a line without escape codes where nobody sees colours."""
    stream = configured()
    log.warning("job %d is lost", 7, extra={"job_id": 7})
    written = stream.getvalue()
    assert "\x1b" not in written
    for part in ("warning", "job 7 is lost", "test.logs", "job_id=7"):
        assert part in written


FORGED = "2026-01-01T00:00:00Z [info     ] job 4711 finished [dioptra_worker.worker]"


@pytest.mark.parametrize(
    "end", ["\n", "\r", "\r\n", "\x0b", "\x85", "\u2028", "\x1b[1E", "\x1b]0;t\x07\n"]
)
@pytest.mark.parametrize("place", ["message", "argument", "data", "name", "error"])
def test_no_line_can_be_forged(end: str, place: str, configured: Configure) -> None:
    """Whatever a job or a service says, only a record begins at a line's beginning."""
    stream = configured()
    text = f"it broke{end}{FORGED}"
    match place:
        case "message":
            log.warning(text)
        case "argument":
            log.warning("job 1: %s", text)
        case "data":
            log.warning("job 1", extra={"value": text, "deep": [text], text: 1})
        case "name":
            logging.getLogger(text).warning("job 1")
        case "error":
            error = ValueError(text)
            log.error("it broke", exc_info=(ValueError, error, None))
    written = stream.getvalue()
    first, *others = written.splitlines()
    assert "warning" in first or "error" in first
    assert all(line.startswith("    | ") for line in others)
    assert bool(others) == (place == "error")
    assert written.replace("\n", "").isprintable()


def test_a_record_that_cannot_be_written_is_told_in_a_line(
    configured: Configure,
) -> None:
    """What `logging` cannot render is not printed raw."""
    stream = configured("swordfish")
    log.warning("%d", f"swordfish\n{FORGED}")
    (line,) = stream.getvalue().splitlines()
    assert line == "a record of 'test.logs' is lost: TypeError"


@pytest.mark.parametrize("as_json", [False, True])
def test_tracebacks_are_masked(as_json: bool, configured: Configure) -> None:
    """A secret in an exception's message is hidden, and the traceback is there."""
    stream = configured("swordfish", as_json=as_json)
    try:
        int("redis://:swordfish@host")
    except ValueError:
        log.exception("it broke")
    written = stream.getvalue()
    assert "swordfish" not in written
    assert "ValueError: invalid literal" in written
    assert "redis://:***@host" in written
    assert "Traceback" in written


def test_levels(configured: Configure) -> None:
    """Below the level nothing is shown, and chatty libraries only warn."""
    stream = configured(level="DEBUG")
    log.debug("ours")
    logging.getLogger("urllib3.connectionpool").info("chatter")
    logging.getLogger("rq.worker").info("chatter")
    assert "ours" in stream.getvalue()
    assert "chatter" not in stream.getvalue()
    stream = configured(level="ERROR")
    log.warning("too small")
    assert "too small" not in stream.getvalue()


def test_configuring_twice_does_not_double_lines(configured: Configure) -> None:
    """The last configuration counts alone."""
    configured()
    stream = configured()
    log.info("once only")
    assert stream.getvalue().count("once only") == 1
