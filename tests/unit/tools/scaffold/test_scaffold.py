"""What ``dioptra-worker init-image`` writes, and what it refuses."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import jinja2
import pytest
import yaml
from click.testing import CliRunner, Result

from dioptra_worker.cli.init_image import init_image_command
from dioptra_worker.tools.scaffold import FILES, texts

ROOT = Path(__file__).resolve().parents[4]
EXAMPLE = ROOT / "containers/custom"


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(init_image_command, [str(word) for word in arguments])


def test_writes_a_project(tmp_path: Path) -> None:
    """All files are there, speak of the image and the queue, and are told."""
    folder = tmp_path / "new" / "project"
    answer = _run("tabular", "--queue", "tabular-cpu", "--dir", folder)
    assert answer.exit_code == 0, answer.output
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    for name in FILES:
        assert f"wrote {folder / name}\n" in answer.output
        assert "@" not in (folder / name).read_text().replace("$@", "")
    dockerfile = (folder / "Dockerfile").read_text()
    assert 'CMD ["tabular-cpu"]' in dockerfile
    assert "--tag tabular ." in dockerfile
    assert os.access(folder / "check", os.X_OK)


def test_queue_is_the_name_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --queue and --dir both are the image's name."""
    monkeypatch.chdir(tmp_path)
    assert _run("my-worker").exit_code == 0
    assert 'CMD ["my-worker"]' in (tmp_path / "my-worker/Dockerfile").read_text()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A folder that holds anything is refused with code 2, and left as it is."""
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    answer = _run("my-worker", "--dir", tmp_path)
    assert answer.exit_code == 2
    (line,) = answer.output.splitlines()
    assert line.startswith(f"{str(tmp_path)!r} is not empty")
    assert list(tmp_path.iterdir()) == [mine]


def test_folder_that_cannot_be(tmp_path: Path) -> None:
    """A folder below a file is refused in one sentence, with code 2."""
    (tmp_path / "file").touch()
    answer = _run("my-worker", "--dir", tmp_path / "file" / "project")
    assert answer.exit_code == 2
    assert "cannot be written: Not a directory." in answer.output


@pytest.mark.parametrize(
    "name", ["", "Tabular", "a b", "-a", "a-", "a--b", "a/b", "../a", "ä", "a" * 65]
)
def test_names_of_images(name: str, tmp_path: Path) -> None:
    """A name that no image can have is quoted in one sentence; nothing is written."""
    folder = tmp_path / "project"
    answer = _run("--dir", folder, "--", name)
    assert answer.exit_code == 2
    (line,) = answer.output.splitlines()
    assert line.startswith(f"{name!r} cannot be an image's name: ")
    assert not folder.exists()


@pytest.mark.parametrize("queue", [" cpu", "cpu ", "a\nb", 'a"b', "-x", "q" * 65])
def test_names_of_queues(queue: str, tmp_path: Path) -> None:
    """A name that no queue can have is quoted in one sentence; nothing is written."""
    folder = tmp_path / "project"
    answer = _run("my-worker", "--dir", folder, f"--queue={queue}")
    assert answer.exit_code == 2
    (line,) = answer.output.splitlines()
    assert line.startswith(f"{queue!r} cannot be a queue's name: ")
    assert not folder.exists()


def test_compose_file() -> None:
    """The Compose file holds one service, closed off, without files with secrets."""
    found = yaml.safe_load(texts("my-worker", "a queue")["compose.yaml"])
    ((name, service),) = found["services"].items()
    assert name == "my-worker"
    assert service["command"] == ["a queue"]
    assert service["read_only"] is True
    variables = service["environment"]
    assert not [name for name in variables if name.endswith("_FILE")]
    assert service["healthcheck"] == {"disable": True}
    assert "secrets" not in found


def test_dockerfile() -> None:
    """The daemon is process 1, health is asked, and the user is not root."""
    lines = texts("my-worker", "cpu")["Dockerfile"].splitlines()
    starts = [line for line in lines if re.match(r"ENTRYPOINT|CMD|HEALTHCHECK", line)]
    assert json.loads(starts[0].removeprefix("ENTRYPOINT ")) == ["dioptra-worker-v1"]
    assert json.loads(starts[1].removeprefix("CMD ")) == ["cpu"]
    assert starts[2].endswith('CMD ["dioptra-worker", "health"]')
    assert [line for line in lines if line.startswith("USER")][-1] == "USER 39000:100"


@pytest.mark.parametrize("file", sorted({*FILES} - {"requirements.txt", "README.md"}))
def test_example_is_what_is_written(file: str) -> None:
    """containers/custom, which the images' proof builds, is what the command writes."""
    written = texts("dioptra-worker-custom", "tabular")[file]
    assert (EXAMPLE / file).read_text(encoding="utf-8") == written


def test_example_has_a_package_more() -> None:
    """The example installs what its entrypoint imports, and the worker."""
    lines = (EXAMPLE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert wanted[-1] == "dioptra-worker"
    plugin = (EXAMPLE / "entrypoint/plugins/squares/tasks.py").read_text()
    assert f"from {wanted[0].partition('==')[0]} import" in plugin


def test_template_for_cookiecutter(tmp_path: Path) -> None:
    """What cookiecutter makes of the template is what the command writes itself."""
    answer = _run("tabular", "--cookiecutter", "--dir", tmp_path / "template")
    assert answer.exit_code == 0, answer.output
    assert "Next: cookiecutter " in answer.output
    asked = json.loads((tmp_path / "template/cookiecutter.json").read_text())
    (folder,) = (tmp_path / "template").glob("{{*")
    assert os.access(folder / "check", os.X_OK)

    def rendered(text: str) -> str:
        environment = jinja2.Environment(
            undefined=jinja2.StrictUndefined,
            keep_trailing_newline=True,
            autoescape=False,  # noqa: S701 - text files, as cookiecutter makes them
        )
        return environment.from_string(text).render(cookiecutter=answers)

    answers = {"name": asked["name"]}
    answers["queue"] = rendered(asked["queue"])  # as the name, unless told otherwise
    assert rendered(folder.name) == "tabular"
    for name, text in texts("tabular", "tabular").items():
        assert rendered((folder / name).read_text()) == text, name
    hook = (tmp_path / "template/hooks/pre_gen_project.py").read_text()
    exec(compile(rendered(hook), "hook", "exec"), {})  # noqa: S102 - it is ours
    answers["name"] = "No Name"
    with pytest.raises(SystemExit, match="'No Name' cannot be an image's name"):
        exec(compile(rendered(hook), "hook", "exec"), {})  # noqa: S102
