"""What is packed for the API, and what is refused."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest
import yaml

from dioptra_worker.tools.resources import BadResources, find_folders
from dioptra_worker.tools.resources.archive import pack

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """
tasks:
  greet:
    plugin: greet.tasks.greet
    inputs: [{name: name, type: string, required: true}]
    outputs: {greeting: string}
graph:
  hello:
    greet: [World]
artifact_outputs:
  letter:
    contents: $hello
    task: {name: TextFile}
"""


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    (tmp_path / "plugins/greet").mkdir(parents=True)
    (tmp_path / "plugins/greet/tasks.py").write_text("pass\n")
    (tmp_path / "plugins/greet/notes.txt").write_text("not for the API\n")
    (tmp_path / "secret.txt").write_text("not for the API\n")
    (tmp_path / "entrypoint.yml").write_text(WHOLE)
    (tmp_path / "dioptra.toml").write_text(
        '[[plugins]]\npath = "plugins/greet"\n'
        '[[entrypoints]]\npath = "entrypoint.yml"\nname = "hello"\n'
    )
    return tmp_path


def _packed(folder: Path) -> dict[str, bytes]:
    (found,) = find_folders([folder])
    with tarfile.open(fileobj=io.BytesIO(pack(found)), mode="r:gz") as tar:
        files = {member.name: tar.extractfile(member) for member in tar}
        return {name: file.read() for name, file in files.items() if file}


def test_only_what_is_named(folder: Path) -> None:
    """The configuration, the task graphs and the plugins' code go, nothing else."""
    assert _packed(folder).keys() == {
        "dioptra.toml",
        "entrypoint.yml",
        "plugins/greet/tasks.py",
    }


def test_conversion(folder: Path) -> None:
    """A whole document becomes what the import reads: graph, and artifacts."""
    sent = yaml.safe_load(_packed(folder)["entrypoint.yml"])
    assert sent == {
        "graph": {"hello": {"greet": ["World"]}},
        "artifacts": {"letter": {"contents": "$hello", "task": {"name": "TextFile"}}},
    }


def test_order_is_kept(folder: Path) -> None:
    """Steps are sent in the order of the file."""
    (folder / "entrypoint.yml").write_text("graph: {z: {t: []}, a: {t: []}}\n")
    sent = yaml.safe_load(_packed(folder)["entrypoint.yml"])
    assert list(sent["graph"]) == ["z", "a"]


def test_platform_form(folder: Path) -> None:
    """A file in the platform's own form, with artifacts, is sent with them."""
    (folder / "entrypoint.yml").write_text(
        "artifacts: {letter: {contents: $a, task: {name: T}}}\ngraph: {a: {t: []}}\n"
    )
    sent = yaml.safe_load(_packed(folder)["entrypoint.yml"])
    assert sent["artifacts"] == {"letter": {"contents": "$a", "task": {"name": "T"}}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("graph: [", "not valid YAML"),
        ("tasks: {}\n", "no section 'graph'"),
    ],
)
def test_wrong_graph(folder: Path, text: str, words: str) -> None:
    """What is no task graph is refused with its file and what is wrong."""
    (folder / "entrypoint.yml").write_text(text)
    with pytest.raises(BadResources) as caught:
        _packed(folder)
    assert "entrypoint.yml" in str(caught.value)
    assert words in str(caught.value)


def test_code_from_elsewhere(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A link that leads out of the folder is refused, not followed."""
    outside = tmp_path_factory.mktemp("elsewhere") / "private.py"
    outside.write_text("KEY = 'secret'\n")
    (folder / "plugins/greet/private.py").symlink_to(outside)
    with pytest.raises(BadResources, match="lies outside"):
        _packed(folder)


def test_a_link_has_its_own_name(folder: Path) -> None:
    """A file that is a link is packed where it lies, with what it leads to."""
    shared = folder / "shared.py"
    shared.write_text("shared = True\n")
    (folder / "plugins/greet/linked.py").symlink_to(shared)
    assert _packed(folder)["plugins/greet/linked.py"] == shared.read_bytes()


def test_hidden_files_stay(folder: Path) -> None:
    """What editors leave beside code is not sent: the API would refuse all of it."""
    before = _packed(folder).keys()
    hidden = folder / "plugins/greet/.ipynb_checkpoints/tasks-checkpoint.py"
    hidden.parent.mkdir()
    hidden.touch()
    assert _packed(folder).keys() == before


def test_a_configuration_of_another_name(tmp_path: Path) -> None:
    """Whatever it is called on disk, in the archive it has the name that is read."""
    (tmp_path / "e.yml").write_text("graph: {}\n")
    text = '[[entrypoints]]\npath = "e.yml"\nname = "e"\n'
    (tmp_path / "other.toml").write_text(text)
    (folder,) = find_folders([tmp_path], name="other.toml")
    with tarfile.open(fileobj=io.BytesIO(pack(folder))) as tar:
        assert sorted(tar.getnames()) == ["dioptra.toml", "e.yml"]
        content = tar.extractfile("dioptra.toml")
        assert content is not None
        assert content.read().decode() == text
