"""What is said of entrypoints, with what lies beside their graphs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tests.unit.tools.workbench.folders import EXAMPLES, sums, write

from dioptra_worker.common.files.workspace import workspace
from dioptra_worker.tools.resources.errors import ResourceError
from dioptra_worker.tools.resources.folders import find_folders
from dioptra_worker.tools.workbench.errors import (
    InvalidEntrypoint,
    InvalidRequest,
    WorkbenchError,
)
from dioptra_worker.tools.workbench.planning.checking import check_folder, verdicts
from dioptra_worker.tools.workbench.planning.run_request import RunRequest

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
[[plugins]]
path = "plugins/greet"
  [[plugins.tasks.functions]]
  filename = "tasks.py"
  name = "greet"
  input_params = []
  output_params = [{ name = "line", type = "string" }]
  [[plugins.tasks.artifacts]]
  filename = "texts.py"
  name = "Text"
  output_params = [{ name = "line", type = "string" }]

[[entrypoints]]
path = "greet.yml"
name = "greet"
plugins = ["greet"]
artifact_plugins = ["greet"]
"""

GRAPH = """
graph:
  line: {task: greet}
artifact_outputs:
  letter:
    contents: $line
    task: {name: Text}
"""

TASKS = """
from dioptra import pyplugs


@pyplugs.register
def greet():
    return "hello"
"""


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    return write(
        tmp_path,
        {
            "dioptra.toml": CONFIG,
            "greet.yml": GRAPH,
            "plugins/greet/tasks.py": TASKS,
            "plugins/greet/texts.py": "class Text: ...\n",
        },
    )


def _messages(path: Path) -> dict[str, list[str]]:
    return {
        one.file.name: [
            f"{issue.severity.value}: {issue.message}" for issue in one.issues
        ]
        for one in verdicts(path)
    }


def test_a_folder(folder: Path) -> None:
    """A folder is checked with what its dioptra.toml declares, and so is its graph."""
    assert _messages(folder) == {"greet.yml": []}
    assert _messages(folder / "greet.yml") == {"greet.yml": []}
    (one,) = verdicts(folder)
    assert one.file == folder / "greet.yml"


def test_a_folder_of_folders() -> None:
    """All examples are valid."""
    found = list(verdicts(EXAMPLES))
    assert len(found) > 5
    assert all(one.valid and not one.issues for one in found)


def test_a_function_that_is_not_there(folder: Path) -> None:
    """What is declared is looked up in the plugins."""
    (folder / "plugins/greet/tasks.py").write_text("")
    found = _messages(folder)
    assert found.pop("greet.yml") == []
    ((message,),) = found.values()
    assert message == (
        "error: Task 'greet' names the plugin 'greet.tasks.greet', but module"
        " 'greet.tasks' defines no function 'greet'. It defines none."
    )


def test_an_artifact_task_that_is_not_there(folder: Path) -> None:
    """Nor is a class that is declared and not defined, or named and not declared."""
    texts = folder / "plugins/greet/texts.py"
    texts.write_text("class Texts: ...\n")
    (message,) = _messages(folder)["dioptra.toml"]
    assert message.startswith("error: Artifact task 'Text' is said to be in 'texts.py'")
    assert message.endswith("which does not define it. Did you mean 'Texts'?")
    texts.unlink()
    (message,) = _messages(folder)["dioptra.toml"]
    assert message.endswith("'greet' has no such file. Did you mean 'tasks.py'?")
    texts.write_text("from elsewhere import Text\n")
    (folder / "greet.yml").write_text(GRAPH.replace("Text", "Txt"))
    (message,) = _messages(folder)["greet.yml"]
    assert message == (
        "error: Output artifact 'letter' is serialised by 'Txt', which is no artifact"
        " task of the entrypoint's artifact plugins. Did you mean 'Text'?"
    )


def test_files_that_no_job_has(folder: Path) -> None:
    """Data beside code is a warning; code that the platform refuses is an error."""
    write(folder, {"plugins/greet/words.txt": "", "plugins/greet/data/a.json": ""})
    graph, one = verdicts(folder)
    assert graph.valid
    assert one.valid
    assert "no job has 'greet/data/' or 'greet/words.txt'" in one.issues[0].message
    write(folder, {"plugins/greet/sub/__init__.py": ""})
    graph, one = verdicts(folder)
    assert graph.valid
    assert not one.valid
    assert "of the name 'greet/sub/__init__.py':" in one.issues[0].message


def test_a_run_has_the_files_of_a_job(folder: Path) -> None:
    """A run without a server has no more than a job would have, and says so."""
    write(
        folder,
        {"plugins/greet/words.txt": "", "plugins/greet/sub/a.py": "", "x/y.py": ""},
    )
    run_plan = RunRequest(path=folder).prepare()
    assert ["words.txt" in str(finding) for finding in run_plan.warnings] == [True]
    with workspace(folder / "work", 0) as space:
        run_plan.stage(space)
        found = {
            str(file.relative_to(space.plugins)) for file in space.plugins.rglob("*.*")
        }
    assert found == {"greet/sub/a.py", "greet/tasks.py", "greet/texts.py"}


def test_a_file_on_its_own(tmp_path: Path) -> None:
    """Plugins beside a file are looked at without being told; none need be there."""
    file = sums(tmp_path)
    assert _messages(file) == {"sums.yml": []}
    (tmp_path / "plugins/sums/tasks.py").write_text("")
    assert "defines no function 'add'" in _messages(file)["sums.yml"][0]
    (tmp_path / "plugins").rename(tmp_path / "elsewhere")
    assert _messages(file) == {"sums.yml": []}
    (one,) = verdicts(file, plugins=tmp_path / "elsewhere")
    assert not one.valid


def test_a_toml_that_cannot_be_used(folder: Path) -> None:
    """It is the file that is wrong."""
    (folder / "greet.yml").unlink()
    assert list(_messages(folder)) == ["dioptra.toml"]


def test_nothing_to_check(tmp_path: Path) -> None:
    """A folder with nothing in it is refused."""
    with pytest.raises((ResourceError, WorkbenchError)):
        list(verdicts(tmp_path))


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "dioptra.toml",
            'plugins = ["greet"]\nart',
            'plugin = ["greet"]\nart',
            ["dioptra.toml:17:1: 'plugin' is no key of .* Did you mean 'plugins'"],
        ),
        (
            "dioptra.toml",
            'plugins = ["greet"]\nart',
            "plugins = []\nart",
            ["dioptra.toml:17:1: Entrypoint 'greet' has no tasks: .*'plugins'"],
        ),
        (
            "dioptra.toml",
            'name = "greet"\n  inp',
            'name = "great"\n  inp',
            ["greet.yml:3:10: .* not declared in dioptra.toml. Did you mean 'great'"],
        ),
        (
            "dioptra.toml",
            'name = "greet"\nplugins',
            'name = "greet"\nparams = [{ name = "n", type = "int" }]\nplugins',
            ["dioptra.toml:17:25: .*'int', which .* cannot be. Did you mean 'integer'"],
        ),
        (
            "dioptra.toml",
            'name = "greet"\nplugin',
            'name = "greet"\nparams=[{name="n",type="float",default_value=""}]\nplugin',
            ["dioptra.toml:17:32: The default of parameter 'n': '' is no number"],
        ),
        (
            "dioptra.toml",
            'name = "line", type = "string"',
            'name = "line", type = "str"',
            [
                "dioptra.toml:8:37: Output 'line' of task 'greet' is of type 'str', .*",
                "dioptra.toml:12:37: Output 'line' of artifact task 'Text' .*",
            ],
        ),
        (
            "greet.yml",
            "graph:",
            "parameters: {n: 1}\ngraph:",
            ["greet.yml:2:14: Parameter 'n' is declared here only: .*dioptra.toml"],
        ),
        (
            "plugins/greet/more.py",
            "",
            "x = 1\ndef f(:\n",
            ["more.py:2:7: This is not valid Python 3.*"],
        ),
        (
            "plugins/greet/more.py",
            "",
            "return 1\n",
            ["more.py:1:1: This is not valid Python 3.*"],
        ),
    ],
)
def test_each_mistake_is_told_where_it_is_to_be_mended(
    folder: Path, file: str, old: str, new: str, said: list[str]
) -> None:
    """A message has the file that is wrong, its line, and what was meant."""
    place = folder / file
    text = place.read_text() if place.exists() else ""
    place.write_text(text.replace(old, new) if old else new)
    found = [
        f"{one.file.name}:{issue.line}:{issue.column}: {issue.message}"
        for one in verdicts(folder)
        for issue in one.issues
    ]
    assert len(found) == len(said), found
    for message, words in zip(found, said, strict=True):
        assert re.match(words, message), message


def test_run_and_import_refuse_the_same(folder: Path) -> None:
    """What a command finds, each finds: there is one check."""
    (folder / "plugins/greet/more.py").write_text("def f(:\n")
    with pytest.raises(InvalidEntrypoint) as caught:
        RunRequest(path=folder).prepare()
    (resources,) = find_folders([folder])
    assert check_folder(resources) == list(caught.value.findings)


def test_the_toml_stands_for_its_folder(folder: Path) -> None:
    """Who gives the file means the folder."""
    assert _messages(folder / "dioptra.toml") == {"greet.yml": []}
    assert RunRequest(path=folder / "dioptra.toml").prepare().entrypoint.name == "greet"
    (folder / "other.toml").write_text(CONFIG)
    with pytest.raises(InvalidRequest, match="give it with --config"):
        RunRequest(path=folder / "other.toml").prepare()


def test_a_plugin_alone(folder: Path) -> None:
    """A folder without entrypoints is checked, too: it can be imported."""
    toml = folder / "dioptra.toml"
    toml.write_text(CONFIG.partition("[[entrypoints]]")[0])
    assert _messages(folder) == {"dioptra.toml": []}
    (folder / "plugins/greet/tasks.py").write_text("def f(:\n")
    assert not all(one.valid for one in verdicts(folder))
