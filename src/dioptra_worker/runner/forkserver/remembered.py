"""What a fork server's import remembers of the folders that it was made in.

Each of them has a name that nothing else has, so whatever holds that name was made of
them. What is a text in a dict or a list can be changed in a job; what is in anything
else, or names a folder for temporary files, cannot.
"""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
from logging import LogRecord
from pathlib import Path
from types import FrameType, GeneratorType
from typing import TYPE_CHECKING, Any, NamedTuple

from dioptra_worker.runner.learned.folders import ImportFolders, Place, Remembered
from dioptra_worker.runner.learned.group import Group, Warned
from dioptra_worker.runner.learned.watched_import import Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_FILES = 16
MAX_FILE_BYTES = 1 << 16
"""Of the files that an import writes into its home."""


class _Holder(NamedTuple):
    """What holds such names, and how many."""

    owner: Any
    number: int


_PASSED_OVER = (
    FrameType,
    GeneratorType,
    LogRecord,
    Warned,
    Group,
    Part,
    Place,
    Remembered,
    _Holder,
)
"""Kinds of what lives on while this looks, and of what is made fit for a job later."""
_PLAIN = dict, tuple


class NotMovable(Exception):
    """An import remembers its folders in a way that cannot be changed; it says how."""


class Memory:
    """What was made in this process, since it was forked, that names its folders."""

    def __init__(self) -> None:
        """Begin, with folders for imports below the home of this process."""
        home = Path(os.environ["HOME"])
        self._home = home
        self._folders = ImportFolders(
            home=str(home),
            current=str(home / f"{home.name}-current"),
            temporary=str(home / f"{home.name}-temporary"),
        )
        for folder in (self._folders.current, self._folders.temporary):
            Path(folder).mkdir()
        self._not_movable: NotMovable | None = None
        self._files = set(self._all_files())
        self._known = self._holders()

    @contextlib.contextmanager
    def in_folders(self) -> Iterator[None]:
        """Be in these folders meanwhile."""
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = self._folders.temporary
        tempfile.tempdir = None
        os.chdir(self._folders.current)
        try:
            yield
        finally:
            os.chdir(self._home)
            tempfile.tempdir = None
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before

    def note_files(self, group: Group) -> None:
        """Note which files an import has written, at its end or a stop of it."""
        try:
            files = self._new_files()
        except NotMovable as error:
            self._not_movable = self._not_movable or error
        else:
            found = Remembered(self._folders, files=files)
            group.remembered = found.with_files_of(group.remembered)

    def note_texts(self, groups: Iterable[Group]) -> None:
        """Note where texts are that have come since the last time.

        Which import has made one is not known: each group moves all of them.

        Args:
            groups: Those that have come since then.

        Raises:
            NotMovable: Something cannot be changed.
        """
        if self._not_movable is not None:
            raise self._not_movable
        found = self._holders()
        texts = []
        for key, (owner, count) in found.items():
            known = self._known.get(key)
            if known is None or count > known.number:
                places = self._places(owner)
                if len(places) < count:  # it has others that are no attributes
                    raise NotMovable(f"in a {type(owner).__qualname__}")
                texts += places
        self._known = found
        for group in groups:
            if group.remembered is not None:
                group.remembered.texts = texts

    def _holders(self) -> dict[int, _Holder]:
        """Objects that hold such names, by their ids."""
        token = self._home.name
        variables = vars(os.environ)["_data"]
        found: dict[int, _Holder] = {}
        for owner in gc.get_objects():  # no name is in a closure, which would be found
            if type(owner) in _PASSED_OVER or owner is variables:
                continue
            for value in gc.get_referents(owner):
                if _holds(value, token):
                    known = found.get(id(owner))
                    count = 1 if known is None else known.number + 1
                    found[id(owner)] = _Holder(owner, count)
        return found

    def _places(self, owner: Any) -> list[Place]:
        """Where in an object the texts are."""
        token = self._home.name
        items: list[tuple[Any, Any]]
        if type(owner) is list:
            items = list(enumerate(owner))
        else:
            if type(owner) is not dict:
                owner = getattr(owner, "__dict__", None)
            items = list(owner.items()) if type(owner) is dict else []
        places = []
        for place, value in items:
            if _holds(place, token):
                raise NotMovable("in a dict, as a key")
            if type(value) is dict and not gc.is_tracked(value):
                places += self._places(value)
            elif type(value) is str and token in value:
                if self._folders.temporary in value:
                    raise NotMovable("as one for temporary files")
                places.append(Place(owner, place))
            elif _holds(value, token):
                raise NotMovable(f"as {type(value).__qualname__}")
        return places

    def _new_files(self) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for name in sorted(set(self._all_files()) - self._files):
            path = self._home / name
            # A file elsewhere would be in another of a job's folders.
            if name.startswith(self._home.name) or len(found) == MAX_FILES:
                raise NotMovable("in files that it wrote")
            found[name] = None if path.is_dir() else _content(path)
            self._files.add(name)
        return found

    def _all_files(self) -> Iterator[str]:
        """By their paths below the home."""
        for folder, folders, names in os.walk(self._home):
            for name in (*folders, *names):
                yield Path(folder, name).relative_to(self._home).as_posix()


def _content(path: Path) -> str:
    try:
        if path.is_file() and path.stat().st_size <= MAX_FILE_BYTES:
            return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        pass
    raise NotMovable("in files that it wrote")


def _holds(value: object, token: str) -> bool:
    if type(value) is str:
        return token in value
    if type(value) is bytes:
        return token.encode() in value
    if type(value) in _PLAIN and not gc.is_tracked(value):  # of texts and numbers only
        parts: Any = value
        for part in parts.values() if type(value) is dict else parts:
            if _holds(part, token):
                return True
    return False
