"""What annotations mean as types of values."""

from __future__ import annotations

from typing import Any

import pytest

from dioptra_worker.tools.workbench.projects import hints


@pytest.mark.parametrize(
    ("annotation", "found"),
    [
        ("", "any"),
        ("int", "integer"),
        ("builtins.float", "number"),
        ("'str'", "string"),
        ("bool | None", {"union": ["boolean", "null"]}),
        ("Optional[Any]", "any"),
        ("typing.Union[int, str, int]", {"union": ["integer", "string"]}),
        ("list", {"list": "any"}),
        ("list[dict[str, float]]", {"list": {"mapping": ["string", "number"]}}),
        ("dict[tuple[int, int], str]", "any"),
        ("tuple[int, ...]", {"list": "integer"}),
        ("tuple[int, str]", {"tuple": ["integer", "string"]}),
        ("np.ndarray", "ndarray"),
        ("NDArray[np.float64]", "ndarray"),
        ("Annotated[pd.DataFrame, 1]", "data_frame"),
        ("Callable[[int], str]", "callable"),
        ("1 + 1", "any"),
        ("not python", "any"),
    ],
)
def test_annotations(annotation: str, found: Any) -> None:
    """Python's own types have ours; a class is a type by its name."""
    assert hints.structure(annotation) == found


def test_outputs() -> None:
    """A tuple is several values, None is none."""
    assert hints.outputs("tuple[int, str]") == ["integer", "string"]
    assert hints.outputs("None") == []
    assert hints.outputs("") == ["any"]


def test_names() -> None:
    """A structure has a name that says what it is."""
    structure = hints.structure("list[dict[str, float | None]]")
    assert hints.name_of(structure) == "list_of_mapping_of_string_to_number_or_null"
