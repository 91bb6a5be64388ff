"""Read a YAML file and remember where in it everything is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dioptra_worker.engine.errors import InvalidGraph
from dioptra_worker.engine.issues import Issue, Severity

if TYPE_CHECKING:
    from dioptra_worker.engine.issues import Location

_LARGEST = 200_000
_DEEPEST = 200
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Document:
    """A document that came from a file.

    Attributes:
        data: Its contents.
        issues: What was found while reading it, such as a key given twice.
    """

    data: Any
    issues: tuple[Issue, ...]
    _index: _Index

    def place(self, path: Location) -> tuple[int, int] | None:
        """Find the line and column of a node, counted from 1.

        For an entry of a mapping that is the place of its key. Of a node that is not
        in the text, such as a key that is missing, it is the place of what would hold
        it.

        Args:
            path: Keys and, from 0, indices that lead to the node from the root.

        Returns:
            Line and column; None where the document is empty.
        """
        return self._index.place(path)


def load(source: str | Path) -> Document:
    """Read a document from a file, or from text.

    Args:
        source: The path of a YAML file, or YAML text.

    Raises:
        InvalidGraph: It is not YAML, or not one document of a sensible size.
        OSError: The file cannot be read.
    """
    stream = source.read_bytes() if isinstance(source, Path) else source
    try:
        _check_depth(stream)
        loader = _Loader(stream)
        try:
            root = loader.get_single_node()
            index = _Index(loader, root)
            data = None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise InvalidGraph([_syntax_issue(error)]) from error
    except (
        *(yaml.YAMLError, UnicodeError, ValueError),
        *(LookupError, AttributeError, TypeError),  # `!!bool abc`
    ) as error:
        message = f"This cannot be read as YAML: {error}."
        raise InvalidGraph([Issue(Severity.ERROR, message)]) from error
    return Document(data, tuple(index.issues), index)


class _Index:
    """The nodes of a document by what leads to them, and the keys given twice."""

    def __init__(self, loader: Any, root: yaml.Node | None) -> None:
        self.issues: list[Issue] = []
        self._root = root
        self._loader = loader
        self._children: dict[int, dict[Any, tuple[yaml.Node, yaml.Node]]] = {}
        self._sizes: dict[int, int] = {}
        self._open: set[int] = set()
        if root is not None and self._visit(root, ()) > _LARGEST:
            raise yaml.YAMLError(
                f"its aliases make it larger than {_LARGEST} values; write it out"
            )

    def place(self, path: Location) -> tuple[int, int] | None:
        if self._root is None:
            return None
        node = shown = self._root
        for part in path:
            found = self._children.get(id(node), {}).get(part)
            if found is None:
                break
            shown, node = found
        mark = shown.start_mark
        return mark.line + 1, mark.column + 1

    def _visit(self, node: yaml.Node, path: Location) -> int:
        """Index a node and what is in it, once, and count the values it stands for."""
        if id(node) in self._sizes:
            return self._sizes[id(node)]
        if id(node) in self._open:
            raise yaml.MarkedYAMLError(
                problem="a value contains itself through an alias",
                problem_mark=node.start_mark,
            )
        self._open.add(id(node))
        children: dict[Any, tuple[yaml.Node, yaml.Node]] = {}
        size = 1
        if isinstance(node, yaml.MappingNode):
            for key_node, value_node in node.value:
                key = self._key(key_node)
                if key in children and key_node.tag != _MERGE:
                    self._note_twice(key, children[key][0], key_node, path)
                children[key] = (key_node, value_node)
                size += self._visit(value_node, (*path, key))
        elif isinstance(node, yaml.SequenceNode):
            for position, item in enumerate(node.value):
                children[position] = (item, item)
                size += self._visit(item, (*path, position))
        self._children[id(node)] = children
        self._sizes[id(node)] = size
        return size

    def _key(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode) and node.tag != _MERGE:
            return self._loader.construct_object(node)
        return id(node)

    def _note_twice(
        self, key: Any, first: yaml.Node, second: yaml.Node, path: Location
    ) -> None:
        line, mark = first.start_mark.line + 1, second.start_mark
        message = f"The key {key!r} is given twice; the first time in line {line}."
        message += " Remove or rename one."
        self.issues.append(
            Issue(Severity.ERROR, message, (*path, key), mark.line + 1, mark.column + 1)
        )


def _check_depth(stream: str | bytes) -> None:
    """Refuse endless nesting before the fast reader of YAML overflows its stack."""
    depth = 0
    for event in yaml.parse(stream, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            mark: Any = event.start_mark  # either reader has its own kind of mark
            problem = f"a value is nested deeper than {_DEEPEST} levels"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _syntax_issue(error: yaml.MarkedYAMLError) -> Issue:
    mark = error.problem_mark or error.context_mark
    context = f" {error.context}" if error.context else ""
    message = f"This is not valid YAML: {error.problem}{context}."
    if "cannot start any token" in str(error.problem):
        message += " Indent with spaces, and quote what begins with @, ` or %."
    if mark is None:
        return Issue(Severity.ERROR, message)
    return Issue(Severity.ERROR, message, (), mark.line + 1, mark.column + 1)
