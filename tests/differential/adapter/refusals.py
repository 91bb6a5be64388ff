"""What our engine refuses, as the exceptions that the platform's tests expect.

Ours finds all that is wrong and says it in sentences; theirs raises an exception of one
of many classes for the first. So each sentence is told by a pattern here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from dioptra.sdk.exceptions import task_engine as theirs
from dioptra.task_engine.types import SimpleType, StructureType

from dioptra_worker.engine.issues import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dioptra_worker.engine import Issue

_KINDS = [
    (
        r"^Types? (?P<cycle>.*(?:by itself|in a circle).*)",
        theirs.TypeReferenceCycleError,
    ),
    (
        r"^Type '(?P<builtin_type_name>.*)' is built in",
        theirs.BuiltinTypeRedefinitionError,
    ),
    (r"refers to '(?P<type_name>.*)', which is no type", theirs.TypeNotFoundError),
    (
        r"special case of '(?P<super_type_name>.*)', since",
        theirs.NonSimpleSuperTypeError,
    ),
    (
        r"keys of a mapping type .*, not '(?P<invalid_key_type>.*)'\.",
        theirs.InvalidKeyTypeError,
    ),
    (r"^A name in .*'types' is .*, where a string", theirs.AnonymousSimpleTypeError),
    (
        r"(?P<cycle>.*(?:wait for each other|needs itself).*)",
        theirs.StepReferenceCycleError,
    ),
    (r"depends on '(?P<step_name>.*)', which is no step", theirs.StepNotFoundError),
    (
        r"but there is no '(?P<reference_name>.*?)'\.",
        theirs.UnresolvableReferenceError,
    ),
    (
        r"but step '(?P<step_name>.*)' has no output '(?P<output_name>.*?)'\.",
        theirs.OutputNotFoundError,
    ),
    (
        r"but step '(?P<reference_name>.*)' has no outputs\.",
        theirs.UnresolvableReferenceError,
    ),
    (
        r"^Step '(?P<context_step_name>.*?)' .* step '(?P<step_name>.*)' has several",
        theirs.IllegalOutputReferenceError,
    ),
    (
        r"names the plugin '(?P<plugin_name>.*)'; it must be",
        theirs.IllegalPluginNameError,
    ),
    (
        r"^Step '.*' must be .*; found a mapping with 'dependencies'\.",
        theirs.MissingTaskPluginNameError,
    ),
]
"""Patterns of our sentences, whose groups are arguments of the exception."""


def errors(issues: Iterable[Issue]) -> list[Issue]:
    """Those for which a document is refused."""
    return [issue for issue in issues if issue.severity is Severity.ERROR]


def as_theirs(issues: Iterable[Issue], document: Any) -> Exception:
    """Make the platform's exception of what our engine has found.

    Args:
        issues: All that it has found, with an error among it.
        document: Where it has found that.
    """
    found = errors(issues)
    for pattern, kind in _KINDS:
        for issue in found:
            match = re.search(pattern, issue.message)
            if match:
                return cast("Exception", kind(**_arguments(match)))
    first = found[0]
    if first.path[:1] == ("types",):
        return _of_a_definition(first, document["types"][first.path[1]])
    return AssertionError(f"refused for a reason without a pattern: {first}")


def _arguments(match: re.Match[str]) -> dict[str, Any]:
    given: dict[str, Any] = match.groupdict()
    if "cycle" in given:
        names = re.findall(r"'([^']+)'", given["cycle"])
        # Theirs goes from who is needed to who needs; of one name, ours says it once.
        given["cycle"] = names * 2 if len(names) == 1 else names[::-1]
    if "invalid_key_type" in given:
        given["invalid_key_type"] = SimpleType(given["invalid_key_type"])
    return given


def _of_a_definition(issue: Issue, definition: Any) -> Exception:
    structures = [kind for kind in StructureType if kind.name.lower() in definition]
    made = (
        theirs.TooManyTypeStructuresError(structures)
        if len(structures) > 1
        else theirs.DioptraTypeError(issue.message)
    )
    return cast("Exception", made)
