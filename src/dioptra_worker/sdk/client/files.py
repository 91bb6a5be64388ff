"""Files to upload, and the kinds of archives to download."""

from __future__ import annotations

import enum
import errno
import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class FileTypes(enum.Enum):
    """The kinds of archives that the API hands out.

    Attributes:
        TAR_GZ: A tar archive, compressed with gzip.
        ZIP: A ZIP archive.
        suffix: How the name of such a file ends.
    """

    TAR_GZ = "tar_gz"
    ZIP = "zip"

    @property
    def suffix(self) -> str:
        """How the name of such a file ends."""
        return "." + self.value.replace("_", ".")


@dataclass
class DioptraFile:
    """An open file with the name that the API shall see.

    Attributes:
        filename: A relative POSIX path, such as ``plugins/hello/tasks.py``.
        stream: The open file; whoever made this object closes it.
        content_type: Its media type, if it matters.

    Raises:
        ValueError: The name is not a plain relative POSIX path.
    """

    filename: str
    stream: IO[bytes]
    content_type: str | None

    def __post_init__(self) -> None:
        path = PurePosixPath(self.filename)
        if (
            "\\" in self.filename
            or re.match(r"[A-Za-z]:", self.filename)
            or path.is_absolute()
            or str(path) != self.filename
            or any(set(part) == {"."} for part in path.parts)
            or not path.parts
        ):
            raise ValueError(
                f"{self.filename!r} is not a plain relative path: write it with '/', "
                "without a leading '/', without '.' or '..'"
            )

    def part(self) -> tuple[Any, ...]:
        """Return the file as a part of a multipart body."""
        if self.content_type is None:
            return (self.filename, self.stream)
        return (self.filename, self.stream, self.content_type)


def select_files_in_directory(
    dir_path: str | Path,
    recursive: bool = False,
    include_pattern: str | re.Pattern[str] | None = None,
    follow_symlinks: bool = False,
) -> list[DioptraFile]:
    """Open the files of a directory for upload, named relative to it.

    Args:
        dir_path: The directory.
        recursive: Whether to go into its folders.
        include_pattern: A regular expression that the start of a file's name (not its
            path) must match.
        follow_symlinks: Whether to follow links whose targets stay in the directory.

    Returns:
        Open files; the caller closes their streams.

    Raises:
        FileNotFoundError: There is no such directory, or a link leads to nothing.
        NotADirectoryError: It is not a directory.
        ValueError: A link leads out of the directory or into a cycle.
    """
    root = Path(dir_path)
    if not root.exists():
        raise FileNotFoundError(f"there is no directory {str(root)!r}")
    if not root.is_dir():
        raise NotADirectoryError(f"{str(root)!r} is not a directory")
    walk = _Walk(
        root.resolve(),
        pattern=re.compile(include_pattern or ""),
        recursive=recursive,
        follow=follow_symlinks,
    )
    return _open(
        (path.as_posix(), target) for path, target in walk.files(walk.root, Path(), ())
    )


def select_one_or_more_files(
    file_paths: Sequence[str | Path],
    renames: Mapping[str | Path, str] | None = None,
) -> list[DioptraFile]:
    """Open files for upload, named without their folders.

    Args:
        file_paths: The files.
        renames: Other names for some of them, by the path as given in ``file_paths``.

    Returns:
        Open files; the caller closes their streams.

    Raises:
        ValueError: Two files would have the same name.
        OSError: A file cannot be opened.
    """
    new_names = {Path(path): name for path, name in (renames or {}).items()}
    paths: dict[str, Path] = {}
    for path in map(Path, file_paths):
        name = new_names.get(path, path.name)
        if name in paths:
            raise ValueError(
                f"{str(path)!r} and {str(paths[name])!r} would both be named {name!r}: "
                "give one of them another name in 'renames'"
            )
        paths[name] = path
    return _open(iter(paths.items()))


@dataclass(frozen=True)
class _Walk:
    root: Path
    pattern: re.Pattern[str]
    recursive: bool
    follow: bool

    def files(
        self, folder: Path, name: Path, above: tuple[Path, ...]
    ) -> Iterator[tuple[Path, Path]]:
        """Yield each file's name and its real path; ``folder`` is resolved."""
        if folder in above:
            raise ValueError(f"the link {str(name)!r} leads to a folder above it")
        for entry in folder.iterdir():
            if entry.is_symlink() and not self.follow:
                continue
            path = name / entry.name
            if entry.is_dir():
                if self.recursive:
                    yield from self.files(
                        self._inside(entry, path), path, (*above, folder)
                    )
            elif self.pattern.match(entry.name):
                target = self._inside(entry, path)
                if target.is_file():
                    yield path, target

    def _inside(self, entry: Path, name: Path) -> Path:
        try:
            target = entry.resolve(strict=True)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"the link {str(name)!r} leads to nothing: remove it, or select with"
                " follow_symlinks=False"
            ) from None
        except (RuntimeError, OSError) as error:  # the first before Python 3.13
            if isinstance(error, OSError) and error.errno != errno.ELOOP:
                raise
            raise ValueError(f"the link {str(name)!r} leads to itself") from None
        if not target.is_relative_to(self.root):
            raise ValueError(
                f"the link {str(name)!r} leads out of {str(self.root)!r}: "
                "copy the file, or select with follow_symlinks=False"
            )
        return target


def _open(paths: Iterator[tuple[str, Path]]) -> list[DioptraFile]:
    with ExitStack() as streams:  # closes what is open when a later one fails
        files = [
            DioptraFile(name, streams.enter_context(path.open("rb")), None)
            for name, path in paths
        ]
        streams.pop_all()
    return files
