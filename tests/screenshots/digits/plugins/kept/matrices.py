"""Artifact tasks that keep rows of numbers."""

import csv
import struct
import zlib
from pathlib import Path
from typing import Any

from dioptra.sdk.api.artifact import ArtifactTaskInterface

_CELL = 14
"""Pixels of a number, in each direction."""


class Table(ArtifactTaskInterface):
    """A matrix as CSV."""

    @staticmethod
    def serialize(
        working_dir: Path, name: str, contents: list[list[float]], **kwargs: Any
    ) -> Path:
        """Write it."""
        path = working_dir / f"{name}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([range(len(contents)), *contents])
        return path

    @staticmethod
    def deserialize(working_dir: Path, path: str, **kwargs: Any) -> list[list[float]]:
        """Read it."""
        with (working_dir / path).open(encoding="utf-8", newline="") as file:
            return [list(map(float, row)) for row in csv.reader(file)][1:]

    @staticmethod
    def validation() -> dict[str, Any] | None:
        """It takes no arguments."""
        return None


class Picture(ArtifactTaskInterface):
    """A matrix as a picture, the larger a number the darker."""

    @staticmethod
    def serialize(
        working_dir: Path, name: str, contents: list[list[float]], **kwargs: Any
    ) -> Path:
        """Draw it."""
        most = max(max(row) for row in contents)
        lines = b""
        for row in contents:
            cells = (bytes([255 - int(220 * it / most)]) * _CELL for it in row)
            lines += (b"\0" + b"".join(cells)) * _CELL
        size = _CELL * len(contents)
        head = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
        path = working_dir / f"{name}.png"
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + _chunk(b"IHDR", head)
            + _chunk(b"IDAT", zlib.compress(lines))
            + _chunk(b"IEND", b"")
        )
        return path

    @staticmethod
    def deserialize(working_dir: Path, path: str, **kwargs: Any) -> bytes:
        """Read the picture's bytes."""
        return (working_dir / path).read_bytes()

    @staticmethod
    def validation() -> dict[str, Any] | None:
        """It takes no arguments."""
        return None


def _chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG file."""
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check
