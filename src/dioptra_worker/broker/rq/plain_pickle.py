"""Read RQ's pickle format without Python's `pickle`: plain values, within limits.

Python's unpickler does what the bytes say: some two hundred of them double a tuple
until hashing it takes for ever, or ask for a memo of gigabytes. A queue entry of
Dioptra's is a small tuple of text, numbers and one mapping, so a few of pickle's
opcodes are enough, and each is checked: nothing is called, and only text is hashed.

The opcodes are those that pickle's protocols 0 to 5 use for such values; the standard
library's `pickletools` describes them.
"""

from __future__ import annotations

import reprlib
import struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PICKLE_BYTES = 1 << 17
"""Bytes of one value; an entry of Dioptra's has some two hundred."""
MAX_OPCODES = 10_000
MAX_INTEGER_BYTES = 1 << 12
MAX_DIGITS = 4_000
"""Digits of a number that is written in decimals: more take Python long to read."""
MAX_SHOWN = 200
"""Characters of a value that a message quotes."""

_MARK: Final = object()


class NotPlain(ValueError):
    """The bytes are no plain value, or more of one than anybody sends."""


def loads(data: bytes) -> Any:
    """Read a value made of None, booleans, numbers, text, bytes, lists and mappings.

    Args:
        data: The pickle.

    Returns:
        The value. Parts of it may be one object in several places.

    Raises:
        NotPlain: If it is something else, is too large, or is damaged.
    """
    if len(data) > MAX_PICKLE_BYTES:
        raise NotPlain(f"it has more than {MAX_PICKLE_BYTES:,} bytes")
    return _Machine(data).run()


def shown(value: object) -> str:
    """A value for people: short, whatever it is, and however often it holds itself."""
    try:
        text = _SHORT.repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = MAX_SHOWN


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MAX_OPCODES):
            opcode = self._take(1)
            if opcode == b".":
                value = self._pop()
                if self._stack:
                    raise NotPlain("it is damaged: something is left over")
                return value
            action = _ACTIONS.get(opcode)
            if action is None:
                raise NotPlain(
                    f"it has the pickle opcode {opcode!r}: a job may hold plain values"
                    " only, and no code"
                )
            action(self)
        raise NotPlain(f"it has more than {MAX_OPCODES:,} parts")

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise NotPlain("it is damaged: it ends too soon")
        self._at += count
        return taken

    def _number(self, form: str) -> int:
        (number,) = struct.unpack(form, self._take(struct.calcsize(form)))
        return int(number)

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise NotPlain("it is damaged: a value is missing")
        return self._stack.pop()

    def _since_mark(self) -> list[Any]:
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                values = self._stack[place + 1 :]
                del self._stack[place:]
                return values
        raise NotPlain("it is damaged: a mark is missing")

    def _line(self) -> str:
        end = self._data.find(b"\n", self._at)
        if end < 0:
            raise NotPlain("it is damaged: it ends too soon")
        line = self._data[self._at : end]
        self._at = end + 1
        return line.decode("ascii", "backslashreplace")

    def _decimal(self, text: str) -> int:
        if len(text) > MAX_DIGITS:
            raise NotPlain("it has a number that is too large")
        try:
            return int(text)
        except ValueError:
            raise NotPlain("it is damaged: a number is none") from None

    def protocol(self) -> None:
        if self._number("<B") > 5:
            raise NotPlain("it is of a later protocol of pickle's")

    def frame(self) -> None:
        self._take(8)  # a hint to readers of streams

    def mark(self) -> None:
        self._stack.append(_MARK)

    def integer(self, form: str) -> None:
        self._stack.append(self._number(form))

    def long(self, form: str) -> None:
        count = self._number(form)
        if count > MAX_INTEGER_BYTES:
            raise NotPlain("it has a number that is too large")
        self._stack.append(int.from_bytes(self._take(count), "little", signed=True))

    def integer_line(self) -> None:
        text = self._line()
        truth = {"00": False, "01": True}.get(text)
        self._stack.append(self._decimal(text) if truth is None else truth)

    def long_line(self) -> None:
        self._stack.append(self._decimal(self._line().removesuffix("L")))

    def real_line(self) -> None:
        try:
            self._stack.append(float(self._line()[:MAX_SHOWN]))
        except ValueError:
            raise NotPlain("it is damaged: a number is none") from None

    def text_line(self) -> None:
        raw = self._line().encode("ascii")
        try:
            self._stack.append(raw.decode("raw-unicode-escape"))
        except UnicodeDecodeError as error:
            raise NotPlain(f"it is damaged: {error}") from None

    def refer(self) -> None:
        self._refuse_reference(self._line(), self._line())

    def refer_by_stack(self) -> None:
        name, module = self._pop(), self._pop()
        self._refuse_reference(module, name)

    def _refuse_reference(self, module: object, name: object) -> None:
        raise NotPlain(
            f"it refers to {shown(f'{module!s:.80}.{name!s:.80}')}, and a job may hold"
            " plain values only"
        )

    def real(self) -> None:
        (number,) = struct.unpack(">d", self._take(8))
        self._stack.append(number)

    def text(self, form: str) -> None:
        raw = self._take(self._number(form))
        try:
            self._stack.append(raw.decode("utf-8", "surrogatepass"))
        except UnicodeDecodeError as error:
            raise NotPlain(f"it is damaged: {error}") from None

    def raw(self, form: str) -> None:
        self._stack.append(self._take(self._number(form)))

    def constant(self, value: object) -> None:
        self._stack.append(value)

    def empty(self, kind: type[Any]) -> None:
        self._stack.append(kind())

    def tuple_of(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._stack.append(tuple(reversed(values)))

    def tuple_since_mark(self) -> None:
        self._stack.append(tuple(self._since_mark()))

    def list_since_mark(self) -> None:
        self._stack.append(self._since_mark())

    def mapping_since_mark(self) -> None:
        items = self._since_mark()
        self._stack.append({})
        self._update(items)

    def append(self) -> None:
        self._extend([self._pop()])

    def appends(self) -> None:
        self._extend(self._since_mark())

    def _extend(self, values: list[Any]) -> None:
        if not self._stack or type(self._stack[-1]) is not list:
            raise NotPlain("it is damaged: no list to append to")
        self._stack[-1].extend(values)

    def set_item(self) -> None:
        value = self._pop()
        self._update([self._pop(), value])

    def set_items(self) -> None:
        self._update(self._since_mark())

    def _update(self, items: list[Any]) -> None:
        if not self._stack or type(self._stack[-1]) is not dict or len(items) % 2:
            raise NotPlain("it is damaged: no mapping to put a key into")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is not str:  # its hash might take for ever
                raise NotPlain("it has a mapping with a key that is no text")
            self._stack[-1][key] = value

    def memoize(self) -> None:
        self._keep(len(self._memo))

    def put(self, form: str) -> None:
        self._keep(self._number(form))

    def _keep(self, place: int) -> None:
        value = self._pop()
        self._stack.append(value)
        self._memo[place] = value  # a mapping: a large number costs no more

    def put_line(self) -> None:
        self._keep(self._decimal(self._line()))

    def get(self, form: str) -> None:
        self._get(self._number(form))

    def get_line(self) -> None:
        self._get(self._decimal(self._line()))

    def _get(self, place: int) -> None:
        if place not in self._memo:
            raise NotPlain("it is damaged: it refers to nothing")
        self._stack.append(self._memo[place])


_ACTIONS: Final[dict[bytes, Callable[[_Machine], None]]] = {
    b"\x80": _Machine.protocol,
    b"\x95": _Machine.frame,
    b"(": _Machine.mark,
    b"K": lambda machine: machine.integer("<B"),
    b"M": lambda machine: machine.integer("<H"),
    b"J": lambda machine: machine.integer("<i"),
    b"\x8a": lambda machine: machine.long("<B"),
    b"\x8b": lambda machine: machine.long("<I"),
    b"G": _Machine.real,
    b"\x8c": lambda machine: machine.text("<B"),
    b"X": lambda machine: machine.text("<I"),
    b"\x8d": lambda machine: machine.text("<Q"),
    b"C": lambda machine: machine.raw("<B"),
    b"B": lambda machine: machine.raw("<I"),
    b"N": lambda machine: machine.constant(None),
    b"\x88": lambda machine: machine.constant(True),
    b"\x89": lambda machine: machine.constant(False),
    b")": lambda machine: machine.empty(tuple),
    b"]": lambda machine: machine.empty(list),
    b"}": lambda machine: machine.empty(dict),
    b"\x85": lambda machine: machine.tuple_of(1),
    b"\x86": lambda machine: machine.tuple_of(2),
    b"\x87": lambda machine: machine.tuple_of(3),
    b"t": _Machine.tuple_since_mark,
    b"a": _Machine.append,
    b"e": _Machine.appends,
    b"s": _Machine.set_item,
    b"u": _Machine.set_items,
    b"\x94": _Machine.memoize,
    b"q": lambda machine: machine.put("<B"),
    b"r": lambda machine: machine.put("<I"),
    b"h": lambda machine: machine.get("<B"),
    b"j": lambda machine: machine.get("<I"),
    # Of the oldest protocol, which is text:
    b"I": _Machine.integer_line,
    b"L": _Machine.long_line,
    b"F": _Machine.real_line,
    b"V": _Machine.text_line,
    b"l": _Machine.list_since_mark,
    b"d": _Machine.mapping_since_mark,
    b"p": _Machine.put_line,
    b"g": _Machine.get_line,
    # Refused in words:
    b"c": _Machine.refer,
    b"\x93": _Machine.refer_by_stack,
}
