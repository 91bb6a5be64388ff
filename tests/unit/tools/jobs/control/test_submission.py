"""A job is run again with other values, told from the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from tests.unit.tools.jobs.dioptra import DECLARED, Dioptra

from dioptra_worker.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

OPTIONS = {
    "name": "options",
    "defaultValue": '{"depth": 1}',
    "parameterType": "mapping",
}


@pytest.fixture(name="dioptra")
def _dioptra() -> Dioptra:
    dioptra = Dioptra(declared=[*DECLARED, OPTIONS])
    dioptra.put(7, ("queued", 0), ("started", 1), ("failed", 2))
    return dioptra


def _rerun(dioptra: Dioptra, *words: str) -> Result:
    with dioptra.running() as (_, server):
        account = {
            "DIOPTRA_API": server.url,
            "DIOPTRA_USERNAME": "ada",
            "DIOPTRA_PASSWORD": "x",
        }
        return CliRunner().invoke(main, ["jobs", "rerun", "7", *words], env=account)


def _values(dioptra: Dioptra) -> Any:
    (body,) = dioptra.submitted
    return body["values"]


def test_other_values(dioptra: Dioptra, tmp_path: Path) -> None:
    """What is given goes before what a file has, and that before what the job had."""
    dioptra.jobs[7]["values"] |= {"text": "old"}
    file = tmp_path / "values.yml"
    file.write_text("{rate: 0.7, elements: [1, 2]}")
    answer = _rerun(dioptra, "--param-file", str(file), "-P", "rate=0.8", "--json")
    assert json.loads(answer.stdout) == {"id": 99, "rerun_of": 7}, answer.output
    found = _values(dioptra)
    assert found == {"rate": "0.8", "text": "old", "elements": "[1, 2]"}


@pytest.mark.parametrize(
    ("had", "wanted"),
    [
        ('{"depth": 2, "wide": true}', {"depth": 3, "wide": True}),
        (None, {"depth": 3}),
    ],
)
def test_an_entry_of_a_mapping(
    dioptra: Dioptra, had: str | None, wanted: dict[str, Any]
) -> None:
    """The others are those that the job was given, or of the default."""
    if had is not None:
        dioptra.jobs[7]["values"]["options"] = had
    answer = _rerun(dioptra, "-P", "options.depth=3")
    assert answer.stdout == "submitted job 99, job 7 once more\n", answer.output
    assert json.loads(_values(dioptra)["options"]) == wanted


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rat=1", "entrypoint 'train' has no parameter 'rat': it has 'rate'"),
        ("rate=two", "parameter 'rate': 'two' is no number"),
        ("rate.a=1", "parameter 'rate' is no mapping, so it has no 'a'"),
    ],
)
def test_wrong_values(dioptra: Dioptra, words: str, said: str) -> None:
    """They are told before anything is submitted."""
    answer = _rerun(dioptra, "-P", words)
    assert answer.exit_code == 1
    assert said in answer.stderr
    assert dioptra.submitted == []


def test_an_entrypoint_that_has_changed(dioptra: Dioptra) -> None:
    """As it is now, it may want a value that the job was not given."""
    new = {"name": "depth", "defaultValue": None, "parameterType": "integer"}
    dioptra.declared_now.append(new)
    answer = _rerun(dioptra, "--latest")
    assert answer.exit_code == 1
    assert "parameter 'depth' has no default: give it a value" in answer.stderr
    assert dioptra.submitted == []
    assert _rerun(dioptra, "--latest", "-P", "depth=3").exit_code == 0
    assert _values(dioptra) == {"rate": "0.1", "depth": "3"}
