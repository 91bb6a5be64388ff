"""``dioptra-worker validate``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dioptra_worker.cli.validate import validate_command

RIGHT = "tasks: {t: {plugin: pkg.mod.fit}}\ngraph: {one: {t: []}}\n"
WRONG = "tasks: {t: {plugin: pkg.mod.fit}}\ngraph:\n  one: {u: []}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a right and a wrong entrypoint."""
    (tmp_path / "right.yml").write_text(RIGHT)
    (tmp_path / "wrong.yml").write_text(WRONG)
    (tmp_path / "broken.yml").write_text("a: [")
    return tmp_path


def invoke(*arguments: str | Path) -> Result:
    """Call the command."""
    return CliRunner().invoke(validate_command, [str(a) for a in arguments])


def test_a_right_file_is_valid(folder: Path) -> None:
    """A valid file is named, and the exit code is 0."""
    result = invoke(folder / "right.yml")
    assert (result.exit_code, result.output) == (0, f"{folder / 'right.yml'}: valid\n")


def test_every_mistake_is_shown_with_its_place(folder: Path) -> None:
    """A line has the form that editors can jump to, and the exit code is 1."""
    result = invoke(folder / "wrong.yml", folder / "right.yml", folder / "broken.yml")
    lines = result.output.splitlines()
    assert lines[0] == (
        f"{folder / 'wrong.yml'}:3:9: error: Step 'one' calls 'u',"
        " which is not declared"
        " under 'tasks'. There is 't'."
    )
    assert lines[1] == f"{folder / 'right.yml'}: valid"
    assert lines[2].startswith(
        f"{folder / 'broken.yml'}:2:1: error: This is not valid YAML"
    )
    assert lines[3] == "3 files, 2 of them invalid"
    assert result.exit_code == 1


def test_an_issue_without_a_line_names_the_file(folder: Path) -> None:
    """An empty file has no lines to point to."""
    (folder / "empty.yml").write_text("")
    result = invoke(folder / "empty.yml")
    assert result.output.startswith(
        f"{folder / 'empty.yml'}: error: The document must be"
    )


def test_several_right_files_are_summed_up(folder: Path) -> None:
    """The last line says that all is well."""
    result = invoke(folder / "right.yml", folder / "right.yml")
    assert result.output.splitlines()[-1] == "2 files, all valid"


def test_a_warning_does_not_make_a_file_invalid(folder: Path) -> None:
    """Warnings are shown, and the file is valid."""
    (folder / "odd.yml").write_text(RIGHT + "artifact_inputs: {a: []}\n")
    result = invoke(folder / "odd.yml")
    assert result.exit_code == 0
    assert result.output.splitlines()[0].startswith(
        f"{folder / 'odd.yml'}:3:19: warning: "
    )
    assert result.output.splitlines()[1] == f"{folder / 'odd.yml'}: valid"


def test_json_is_one_list(folder: Path) -> None:
    """Programs get every file with all its issues."""
    result = invoke("--json", folder / "right.yml", folder / "wrong.yml")
    assert result.exit_code == 1
    assert json.loads(result.output) == [
        {"file": str(folder / "right.yml"), "valid": True, "issues": []},
        {
            "file": str(folder / "wrong.yml"),
            "valid": False,
            "issues": [
                {
                    "severity": "error",
                    "message": "Step 'one' calls 'u', which is not declared under"
                    " 'tasks'. There is 't'.",
                    "path": ["graph", "one", "u"],
                    "line": 3,
                    "column": 9,
                }
            ],
        },
    ]


def test_plugins_are_looked_up(folder: Path) -> None:
    """With a folder of plugins, each task's function must be there."""
    plugins = folder / "plugins" / "pkg"
    plugins.mkdir(parents=True)
    assert invoke("--plugins", folder / "plugins", folder / "right.yml").exit_code == 1
    (plugins / "mod.py").write_text(
        "from dioptra import pyplugs\n@pyplugs.register\ndef fit(): ..."
    )
    assert invoke("--plugins", folder / "plugins", folder / "right.yml").exit_code == 0


def test_a_wrong_command_line_is_a_usage_error(folder: Path) -> None:
    """A file that is not there, a folder, and no file at all are refused with 2."""
    for arguments in ([], [folder], [folder / "nothing.yml"], ["--plugins", "nowhere"]):
        assert invoke(*arguments).exit_code == 2


def test_a_file_that_vanishes_is_a_usage_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be read after all is named, and the exit code is 2."""

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    result = invoke(folder / "right.yml")
    assert result.exit_code == 2
    assert "right.yml" in result.output
    assert "Permission denied" in result.output


def test_help_has_real_calls() -> None:
    """The help ends with examples and the exit codes."""
    result = invoke("--help")
    assert "dioptra-worker validate entrypoint.yml" in result.output
    assert "1  at least one file is not" in result.output


@pytest.mark.process
def test_nothing_heavy_is_imported(folder: Path) -> None:
    """Validating needs neither MLflow, boto3, rq, requests nor pydantic."""
    program = (
        "import sys\n"
        "from dioptra_worker.cli.validate import validate_command\n"
        f"validate_command([{str(folder / 'right.yml')!r}], standalone_mode=False)\n"
        "heavy = {'mlflow', 'boto3', 'rq', 'redis', 'requests',"
        " 'pydantic', 'structlog'}\n"
        "sys.exit(' '.join(heavy & sys.modules.keys()) or 0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
