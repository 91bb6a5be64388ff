"""What is declared follows the code, and nothing else is touched."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.unit.tools.workbench.folders import EXAMPLES, sums

from dioptra_worker.tools.resources.errors import BadResources
from dioptra_worker.tools.resources.folders import find_folders
from dioptra_worker.tools.workbench.errors import InvalidEntrypoint, InvalidRequest
from dioptra_worker.tools.workbench.planning.checking import verdicts
from dioptra_worker.tools.workbench.projects.sync import changes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOML = """\
# What I have.

# Its plugin.
[[plugins]]
path = "plugins/sums" # adds

  # The only task.
  [[plugins.tasks.functions]]
  filename = "tasks.py"
  name = "add"
  input_params = [
    { name = "a", type = "integer", required = true }, # one
    { name = "b", type = "integer", required = true },
  ]
  output_params = [{ name = "sum", type = "integer" }]

  # Its artifacts.
  [[plugins.tasks.artifacts]]
  filename = "tasks.py"
  name = "Number"
  output_params = [{ name = "n", type = "integer" }]

# The entrypoint.
[[entrypoints]]
path = "sums.yml"
name = "sums"
params = [{ name = "start", type = "integer", default_value = "1" }]
plugins = ["sums"]
artifact_plugins = ["sums"]
"""


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    sums(tmp_path)
    (tmp_path / "dioptra.toml").write_text(TOML)
    return tmp_path


def _sync(folder: Path) -> list[str]:
    (resources,) = find_folders([folder], form_only=True)
    found = changes(resources)
    found.write()
    (resources,) = find_folders([folder], form_only=True)
    assert not changes(resources).said  # once is enough
    return found.said


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_examples_are_in_step() -> None:
    """What is declared by hand is what would be declared."""
    for folder in find_folders([EXAMPLES]):
        found = changes(folder)
        assert (found.said, found.files) == ([], {})


def test_an_input_more(folder: Path) -> None:
    """A task is written anew, in the graph's file, too; the rest has its comments."""
    _edit(folder / "plugins/sums/tasks.py", "def add(a, b)", "def add(a, b, c: bool=0)")
    assert _sync(folder) == ["changed task 'add'", "changed 'tasks' in sums.yml"]
    text = (folder / "dioptra.toml").read_text()
    added = '    { name = "c", type = "boolean", required = false },\n'
    first = '{ name = "a", type = "integer", required = true },'
    assert text.replace(added, "").replace(first, f"{first} # one") == TOML
    graph = yaml.safe_load((folder / "sums.yml").read_text())
    assert [one["name"] for one in graph["tasks"]["add"]["inputs"]] == ["a", "b", "c"]
    assert list(graph) == ["parameters", "tasks", "graph", "artifact_outputs"]
    assert all(one.valid for one in verdicts(folder))


def test_a_function_with_another_name(folder: Path) -> None:
    """One that is gone is taken out; one that has come is put in, with its types."""
    code = folder / "plugins/sums/tasks.py"
    _edit(code, "def add(a, b)", "def plus(terms: list[int]) -> int")
    said = _sync(folder)
    assert said[:3] == [
        "removed task 'add'",
        "added task 'plus'",
        "added type 'list_of_integer'",
    ]
    text = (folder / "dioptra.toml").read_text()
    assert text.startswith("# What I have.\n")
    assert "# Its artifacts.\n  [[plugins.tasks.artifacts]]" in text
    assert 'structure = { list = "integer" }' in text
    assert not any("[[" not in line and "[plugins" in line for line in text.split("\n"))


def test_what_cannot_be_told_stays(folder: Path) -> None:
    """A function that is made in some other way than by 'def' is not taken out."""
    code = folder / "plugins/sums/tasks.py"
    _edit(code, "def add(a, b)", "def plus(a, b)")
    code.write_text(code.read_text() + "\nif True:\n    add = plus\n")
    assert _sync(folder)[0] == "added task 'plus'"
    assert 'name = "add"' in (folder / "dioptra.toml").read_text()


def test_tasks_within_a_value(folder: Path) -> None:
    """A form that is not written anew is told with its line, and nothing is written."""
    toml = folder / "dioptra.toml"
    before, _, rest = TOML.partition("  # The only task.")
    inline = 'tasks = { functions = [{ filename = "tasks.py", name = "add",'
    inline += " input_params = [], output_params = [] }] }\n"
    toml.write_text(
        f"{before}{inline}[[entrypoints]]{rest.partition('[[entrypoints]]')[2]}"
    )
    with pytest.raises(InvalidRequest, match=r"dioptra\.toml:7: "):
        _sync(folder)


@pytest.mark.parametrize(
    "form",
    [
        lambda text: json.dumps(yaml.safe_load(text)),
        lambda text: json.dumps(yaml.safe_load(text), indent=2),
        lambda text: text.replace("tasks:", "tasks: &tasks").replace(
            "graph:", "more: *tasks\ngraph:"
        ),
    ],
)
def test_a_graph_that_cannot_be_edited_by_lines(
    folder: Path, form: Callable[[str], str]
) -> None:
    """It is left as it is, and said so: nothing of it may be lost."""
    file = folder / "sums.yml"
    file.write_text(form(file.read_text()))
    before = file.read_bytes()
    tasks = folder / "plugins/sums/tasks.py"
    _edit(
        tasks,
        "def add(",
        "def more(x: int) -> int:\n    return x\n\n\n@register\ndef add(",
    )
    with pytest.raises((InvalidRequest, InvalidEntrypoint)):
        _sync(folder)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "form",
    [
        lambda toml: toml.replace(b"\n", b"\r\n"),
        lambda toml: toml.removesuffix(b"\n"),
        lambda toml: toml.replace(b"# What", "# \u2028\x85 What".encode()),
    ],
)
def test_what_is_in_step_is_not_written(
    folder: Path, form: Callable[[bytes], bytes]
) -> None:
    """Whatever ends its lines have."""
    (folder / "dioptra.toml").write_bytes(form(TOML.encode()))
    (resources,) = find_folders([folder], form_only=True)
    assert changes(resources).files == {}


def test_ends_of_lines_stay(folder: Path) -> None:
    """What is written anew has the ends of lines that it had."""
    toml = folder / "dioptra.toml"
    toml.write_bytes(
        TOML.replace('{ name = "b"', '{ name = "c"').replace("\n", "\r\n").encode()
    )
    assert _sync(folder)
    assert toml.read_bytes().count(b"\r\n") == toml.read_bytes().count(b"\n")


def test_what_sync_does_not_mend_keeps_it_from_nothing(folder: Path) -> None:
    """What is declared of artifact tasks may be wrong: other tasks are mended."""
    _edit(folder / "dioptra.toml", 'name = "Number"', 'name = "Gone"')
    _edit(folder / "dioptra.toml", 'name = "add"', 'name = "old"')
    said = _sync(folder)
    assert "removed task 'old'" in said
    assert "added task 'add'" in said


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('plugins = ["sums"]', 'plugins = ["smus"]'),
        ('default_value = "1"', 'default_value = "three"'),
        ('path = "sums.yml"', 'path = "a\\u0000"'),
    ],
)
def test_what_else_is_wrong_is_said(folder: Path, old: str, new: str) -> None:
    """A mistake that is not about tasks is told as `validate` tells it."""
    _edit(folder / "dioptra.toml", old, new)
    (resources,) = find_folders([folder], form_only=True)
    with pytest.raises(BadResources):
        changes(resources)
