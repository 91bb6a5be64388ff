"""Works on one element after the other, each claimed before it is begun."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dioptra_worker.batch.base import BaseWorker
from dioptra_worker.batch.errors import BadBatch

if TYPE_CHECKING:
    from collections.abc import Iterable


class Element(dict[str, Any]):
    """One element: a mapping whose entries are also attributes.

    Attributes:
        id: What names it, always a text.
    """

    id: str

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body)
        self["id"] = str(body["id"])

    def __getattr__(self, name: str) -> Any:
        """An entry by its name."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"element {self.get('id')!r} has no {name!r}"
            ) from None

    def __str__(self) -> str:
        """How the log names it."""
        return f"element {self['id']}"


class CachedElement(Element):
    """An element that was read from a database (``--database``)."""


class ElementsWorker(BaseWorker):
    """Base class of workers that process elements one by one.

    Override `process_element`; `load_element` too if an element's id is not enough.
    In a job call ``run(elements=[...])``; on a laptop ``run()`` reads the command line.
    """

    def __init__(
        self,
        description: str = "Dioptra elements worker",
        support_cache: bool = False,
    ) -> None:
        """Prepare.

        Args:
            description: What the worker does.
            support_cache: Whether elements may be read from a database.
        """
        super().__init__(description, support_cache)
        self.parser.add_argument(
            "--elements-list",
            type=Path,
            default=os.environ.get("TASK_ELEMENTS"),
            help="JSON file with a list of elements: [{'id': ...}, ...]",
        )
        self.parser.add_argument(
            "--element", nargs="+", help="one or more ids of elements"
        )

    def process_element(self, element: Element) -> None:
        """Process one element; an exception makes this element failed, no other.

        Args:
            element: What `load_element` gave.
        """
        raise NotImplementedError

    def load_element(self, element: Element) -> Element:
        """Get what is needed to process an element; by default what is known of it.

        It is called when the element is claimed, so that a failure is recorded.
        """
        return element

    def list_elements(self) -> list[Element]:
        """What to process, from the command line.

        Raises:
            BadBatch: If the list cannot be read.
        """
        if self.args.elements_list and self.args.element:
            raise BadBatch("give either --elements-list or --element, not both")
        database = getattr(self.args, "database", None)
        if database is not None and (found := _from_database(database)):
            return found
        if self.args.elements_list:
            return _from_file(Path(self.args.elements_list))
        return _unique_elements(self.args.element or [])

    def run(self, elements: Iterable[Any] | None = None) -> dict[str, int]:
        """Process every element that nobody else has, and go on whatever fails.

        Args:
            elements: Ids, or mappings with an ``id``; by default what the command
                line says.

        Returns:
            How many were ``completed``, ``skipped`` and ``failed``.

        Raises:
            WorkerFailed: In a job, if there is nothing to process or all failed.
            BadBatch: If the elements cannot be made out.
        """
        with self.preparation():
            batch = (
                self.list_elements() if elements is None else _unique_elements(elements)
            )
        return self.run_batch(
            batch,
            lambda element: self.process_element(self.load_element(element)),
            noun="element",
        )


def _unique_elements(items: Iterable[Any]) -> list[Element]:
    """Elements from ids and mappings; those without an id are left out, twins too."""
    if isinstance(items, str | bytes):
        raise BadBatch(f"elements must be a list, not the text {items!r}")
    found: dict[str, Element] = {}
    for item in items:
        body = item if isinstance(item, dict) else {"id": item}
        if body.get("id") not in {None, ""}:
            element = Element(body)
            found.setdefault(element.id, element)
    return list(found.values())


def _from_file(file: Path) -> list[Element]:
    try:
        items = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadBatch(
            f"--elements-list {str(file)!r} cannot be read: {error}"
        ) from None
    if not isinstance(items, list):
        raise BadBatch(f"--elements-list {str(file)!r} must hold a list")
    if not items:
        raise BadBatch(f"--elements-list {str(file)!r} has no elements")
    return _unique_elements(items)


def _from_database(file: Path) -> list[Element]:
    """The initial rows of ``elements(id, data, initial)``, where *data* is JSON."""
    if not file.is_file():
        raise BadBatch(f"--database {str(file)!r} does not exist")
    connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT id, data FROM elements WHERE initial")
        found = _unique_elements(
            {**json.loads(data or "{}"), "id": id_} for id_, data in rows
        )
        return [CachedElement(element) for element in found]
    except (sqlite3.Error, ValueError) as error:
        raise BadBatch(
            f"--database {str(file)!r} has no table elements(id, data, initial):"
            f" {error}"
        ) from None
    finally:
        connection.close()
