"""May a value of one type be passed where another type is wanted?

Values are passed on and never changed by who receives them, so every structure is
covariant: a list of integers fits where a list of numbers is wanted.
"""

from __future__ import annotations

from dioptra_worker.engine.typesystem.types import (
    ANY,
    STRING,
    ListOf,
    MapOf,
    Record,
    Simple,
    Structured,
    TupleOf,
    Type,
    Union,
)


def fits(given: Type, wanted: Type) -> bool:
    """Say whether a value of the given type may be passed for the wanted one."""
    if wanted in (ANY, given):
        return True
    if isinstance(given, Union):
        return all(fits(member, wanted) for member in given.members)
    if isinstance(wanted, Union):
        return any(fits(given, member) for member in wanted.members)
    if isinstance(given, Simple) or isinstance(wanted, Simple):
        return (
            isinstance(given, Simple)
            and isinstance(wanted, Simple)
            and given.is_a(wanted)
        )
    if given.name is not None and wanted.name is not None:
        return False  # two names mean two things, however alike they are built
    return _fits_structure(given, wanted)


def _fits_structure(given: Structured, wanted: Structured) -> bool:
    match given, wanted:
        case ListOf(), ListOf():
            return fits(given.element, wanted.element)
        case TupleOf(), ListOf():
            return all(fits(element, wanted.element) for element in given.elements)
        case TupleOf(), TupleOf():
            return _fit_each(given.elements, wanted.elements)
        case MapOf(), MapOf():
            return fits(given.key, wanted.key) and fits(given.value, wanted.value)
        case Record(), MapOf():
            return wanted.key == STRING and all(
                fits(value, wanted.value) for _, value in given.fields
            )
        case Record(), Record():
            return [key for key, _ in given.fields] == [
                key for key, _ in wanted.fields
            ] and _fit_each(
                tuple(value for _, value in given.fields),
                tuple(value for _, value in wanted.fields),
            )
    return False


def _fit_each(given: tuple[Type, ...], wanted: tuple[Type, ...]) -> bool:
    return len(given) == len(wanted) and all(map(fits, given, wanted))
