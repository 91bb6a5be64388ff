"""What code writes and logs becomes messages, in the order in which it did."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from dioptra_worker.protocol.codec import decode
from dioptra_worker.protocol.messages import Log, Message, Output
from dioptra_worker.sdk.output_capture import MAX_MESSAGE_CHARS, severity

pytestmark = pytest.mark.process

PREAMBLE = """
import logging, os, sys, warnings
import structlog
from dioptra_worker.protocol.codec import encode
from dioptra_worker.sdk import output_capture

pipe = os.dup(1)
output_capture.capture(lambda message: os.write(pipe, encode(message)), level={level!r})
"""


def _run(code: str, *, level: str = "INFO") -> list[Message]:
    """Run code in a process whose streams are captured; what it said."""
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE.format(level=level) + code],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return [decode(line) for line in done.stdout.splitlines()]


def _text(messages: list[Message], stream: str) -> str:
    return "".join(
        message.text
        for message in messages
        if isinstance(message, Output) and message.stream == stream
    )


def _logs(messages: list[Message]) -> list[Log]:
    return [message for message in messages if isinstance(message, Log)]


def _brief(message: Message) -> Any:
    if isinstance(message, Log):
        return message.severity, message.logger, message.message
    assert isinstance(message, Output)
    return message.stream, message.text


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (0, "DEBUG"),
        (5, "DEBUG"),
        (10, "DEBUG"),
        (19, "DEBUG"),
        (20, "INFO"),
        (25, "INFO"),
        (30, "WARNING"),
        (40, "ERROR"),
        (50, "CRITICAL"),
        (99, "CRITICAL"),
    ],
)
def test_custom_levels_have_a_severity(level: int, name: str) -> None:
    """A level between two of the API's severities is the lower one."""
    assert severity(level) == name


def test_print_and_logs_keep_their_order() -> None:
    """Lines printed and records logged arrive in the order of the calls."""
    messages = _run(
        """
log = structlog.get_logger("structured")
for i in range(3):
    print("out", i)
    logging.getLogger("plain").warning("record %d", i)
    print("err", i, file=sys.stderr)
    log.info("event", number=i, text="a b")
"""
    )
    assert [_brief(message) for message in messages] == [
        each
        for i in range(3)
        for each in (
            ("stdout", f"out {i}\n"),
            ("WARNING", "plain", f"record {i}"),
            ("stderr", f"err {i}\n"),
            ("INFO", "structured", f"event number={i} text='a b'"),
        )
    ]


def test_all_kinds_of_logging() -> None:
    """Records of stdlib and structlog arrive with extras, stacks and tracebacks."""
    messages = _run(
        """
logging.getLogger("a").info("with %s", "extra", extra={"job": 7})
log = structlog.get_logger("b")
log.bind(bound=1).error("formatted %s", "so")
structlog.contextvars.bind_contextvars(around=2)
log.warning("in context")
structlog.contextvars.clear_contextvars()
for report in (logging.getLogger("c").exception, structlog.get_logger("c").exception):
    try:
        {}["missing"]
    except KeyError:
        report("broke")
try:
    {}["later"]
except KeyError as error:
    kept = error
logging.getLogger("d").error("kept", exc_info=kept)
structlog.get_logger("d").error("kept", exc_info=kept)
logging.getLogger("e").info("where", stack_info=True)
structlog.get_logger("e").info("where", stack_info=True)
logging.addLevelName(25, "NOTICE")
logging.getLogger("f").log(25, "custom")
logging.getLogger("g").info({"not": "text"})
logging.getLogger().critical("root")
""",
    )
    logs = _logs(messages)
    assert [(log.severity, log.logger) for log in logs] == [
        *(("INFO", "a"), ("ERROR", "b"), ("WARNING", "b")),
        *(("ERROR", "c"), ("ERROR", "c"), ("ERROR", "d"), ("ERROR", "d")),
        *(("INFO", "e"), ("INFO", "e"), ("INFO", "f"), ("INFO", "g")),
        ("CRITICAL", "root"),
    ]
    words = [log.message for log in logs]
    assert words[0] == "with extra job=7"
    assert words[1] == "formatted so bound=1"
    assert words[2] == "in context around=2"
    for text, key in zip(words[3:7], ("missing",) * 2 + ("later",) * 2, strict=True):
        assert "Traceback (most recent call last)" in text
        assert text.endswith(f"KeyError: '{key}'")
    for text in words[7:9]:
        first, *stack = text.splitlines()
        assert first == "where"
        assert any('File "<string>"' in line for line in stack)
    assert words[9:] == ["custom", "{'not': 'text'}", "root"]


def test_levels_and_chatter() -> None:
    """Below the level nothing is sent, and of some libraries only warnings."""
    messages = _run(
        """
for name in ("a", "botocore.auth"):
    logging.getLogger(name).debug("debug")
    logging.getLogger(name).info("info")
    logging.getLogger(name).warning("warning")
structlog.get_logger("b").debug("debug")
structlog.get_logger("b").info("info")
""",
        level="INFO",
    )
    assert [(log.logger, log.message) for log in _logs(messages)] == [
        ("a", "info"),
        ("a", "warning"),
        ("botocore.auth", "warning"),
        ("b", "info"),
    ]


def test_warnings_are_records() -> None:
    """What code warns of is logged, deprecations too."""
    messages = _run(
        """
warnings.warn("careful")
warnings.warn("old", DeprecationWarning)
"""
    )
    texts = [log.message for log in _logs(messages)]
    assert [log.logger for log in _logs(messages)] == ["py.warnings"] * 2
    assert "UserWarning: careful" in texts[0]
    assert "DeprecationWarning: old" in texts[1]


def test_records_that_cannot_be_rendered() -> None:
    """A record that cannot be rendered says so, and does not break who logged it."""
    messages = _run(
        """
class Bad:
    def __str__(self):
        raise RuntimeError("no text")
    __repr__ = __str__

class Worse(Exception):
    def __repr__(self):
        raise RuntimeError("no text either")

class Broken:
    def __str__(self):
        raise Worse
    __repr__ = __str__

log = logging.getLogger("a")
log.info("too %s few %s", 1)
log.info("%s", Bad())
log.info(Bad())
log.info("%s", Broken())
structlog.get_logger("b").info("event", value=Bad())
log.info("still there")
"""
    )
    texts = [log.message for log in _logs(messages)]
    assert len(texts) == 6
    assert all("could not be rendered" in text for text in texts[:5])
    assert "'too %s few %s'" in texts[0]
    assert "a Bad without a repr" in texts[2]
    assert "a Worse without a repr" in texts[3]
    assert texts[5] == "still there"


def test_odd_text_survives() -> None:
    """Text with NULs, lone surrogates and every plane of Unicode arrives."""
    messages = _run(
        r"""
logging.getLogger("a").info("nul \0, lone \udc80, pile \U0001f4a9")
print("nul \0, lone \udc80, pile \U0001f4a9")
"""
    )
    log, output = messages
    assert isinstance(log, Log)
    assert log.message == "nul \0, lone \udc80, pile \U0001f4a9"
    assert isinstance(output, Output)
    assert output.text == "nul \0, lone \\udc80, pile \U0001f4a9\n"


def test_long_records_are_cut_at_a_blank() -> None:
    """A record in several messages is whole, and none cuts a word, maybe a secret."""
    word = "x" * 99
    messages = _run(
        f"logging.getLogger('a').info('{word} ' * 25_000)\n"
        f"logging.getLogger('a').info('y' * {MAX_MESSAGE_CHARS + 1})\n"
    )
    texts = [log.message for log in _logs(messages)]
    assert "".join(texts) == f"{word} " * 25_000 + "y" * (MAX_MESSAGE_CHARS + 1)
    assert max(map(len, texts)) <= MAX_MESSAGE_CHARS
    assert {each for text in texts[:3] for each in text.split(" ")} == {word, ""}


def test_binary_writes() -> None:
    """Bytes that are no UTF-8 are shown escaped."""
    messages = _run(
        r"""
sys.stdout.buffer.write(b"\xff\xfe ok\n")
sys.stdout.flush()
sys.stdout.buffer.raw.write(memoryview(b"raw\n"))
"""
    )
    assert _text(messages, "stdout") == "\\xff\\xfe ok\nraw\n"


def test_characters_are_not_cut_in_two() -> None:
    """A character that buffers cut in two arrives whole; half a one comes last."""
    messages = _run(
        r"""
for _ in range(3):
    print("x" + "\u00e4\u20ac" * 20_000, end="")
sys.stdout.flush()
sys.stdout.buffer.write("\u20ac".encode()[:2])
sys.stdout.flush()
sys.stdout.buffer.write("\u20ac".encode()[2:] + b"\xe2\x82")
output_capture.flush()
"""
    )
    expected = ("x" + "\u00e4\u20ac" * 20_000) * 3 + "\u20ac\\xe2\\x82"
    assert _text(messages, "stdout") == expected


def test_streams_are_what_code_expects() -> None:
    """The streams have the descriptors, names and ways of ordinary ones."""
    (message,) = _run(
        """
import json
print(json.dumps([
    [s.fileno(), s.name, s.isatty(), s.writable(), s.readable(), s.encoding]
    for s in (sys.stdout, sys.stderr, sys.__stdout__)
]))
"""
    )
    assert isinstance(message, Output)
    assert json.loads(message.text) == [
        [1, "<stdout>", False, True, False, "utf-8"],
        [2, "<stderr>", False, True, False, "utf-8"],
        [1, "<stdout>", False, True, False, "utf-8"],
    ]


def test_flush_whatever_plugins_did_to_the_streams() -> None:
    """What is held back is sent at the end, whatever stands in for the streams."""
    messages = _run(
        """
print("held back", end="")

class Strange:
    def flush(self):
        raise RuntimeError("not today")

sys.stdout = Strange()
sys.stderr.close()
output_capture.flush()
sys.stdout = None
output_capture.flush()
"""
    )
    assert _text(messages, "stdout") == "held back"
