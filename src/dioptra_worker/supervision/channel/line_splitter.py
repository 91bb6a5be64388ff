"""Lines out of chunks of bytes: progress bars collapsed, endless lines cut."""

from __future__ import annotations

from dioptra_worker.common.text.masking import cut_position

MAX_LINE_BYTES = 1 << 20


class LineSplitter:
    """Joins chunks and splits them into lines, without their line ends."""

    def __init__(self, *, limit: int | None = MAX_LINE_BYTES) -> None:
        """Begin with nothing.

        Args:
            limit: Bytes after which a line is passed on although it has not ended;
                None waits for the end however long the line is, and keeps returns.
        """
        self._limit = limit
        self._rest = bytearray()  # no list of parts: many are of one byte

    def __len__(self) -> int:
        """How many bytes have come after the last line end."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """Add a chunk.

        Args:
            data: Any bytes.

        Returns:
            The lines that it completes. Where a line was overwritten by returning to
            its beginning, as progress bars do, only what was shown last is left.
        """
        head, *tails = data.split(b"\n")
        lines: list[bytes] = []
        self._append(head, lines)
        for tail in tails:
            lines.append(self._pop_line())
            self._append(tail, lines)
        return lines

    def pop_rest(self) -> bytes:
        """What came after the last line end, taken out."""
        return self._pop_line()

    def _append(self, part: bytes, lines: list[bytes]) -> None:
        self._rest += part
        while self._limit is not None and len(self._rest) > self._limit:
            head = bytes(self._rest[: self._limit])
            cut = cut_position(head, b" ", self._limit)
            lines.append(_as_on_terminal(head[:cut]))
            del self._rest[:cut]

    def _pop_line(self) -> bytes:
        line = bytes(self._rest)
        self._rest.clear()
        return line if self._limit is None else _as_on_terminal(line)


def _as_on_terminal(line: bytes) -> bytes:
    """What a terminal would show of a line with carriage returns in it."""
    return line.rstrip(b"\r").rpartition(b"\r")[2]
