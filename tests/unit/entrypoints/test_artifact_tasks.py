"""What the examples' artifact tasks write, they read back.

The frameworks are imported by name: linting and type checking do without them.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from dioptra_worker.runner.plugins.bundle import Bundle

ROOT = Path(__file__).resolve().parents[3] / "entrypoints"
ROWS = [
    {"day": 1, "hour": 0, "celsius": 9.5},
    {"day": 1, "hour": 6, "celsius": -3.0},
    {"day": 2, "hour": 0, "celsius": 12.1},
]


def _task(example: str, module: str, name: str) -> Any:
    bundle = Bundle(ROOT / example / "plugins", label="the example's plugins")
    package, _, module = module.partition(".")
    return bundle.artifact_task(package, module, name)


def _there_and_back(task: Any, folder: Path, contents: Any, **arguments: Any) -> Any:
    path = task.serialize(folder, "thing", contents, **arguments)
    assert path.is_relative_to(folder)
    return task.deserialize(folder, path.name)


def test_text(tmp_path: Path) -> None:
    """A text comes back as it was, from a file with the extension asked for."""
    task = _task("hello-world", "hello_artifacts.text", "TextFile")
    assert _there_and_back(task, tmp_path, "Grüße\n", extension="md") == "Grüße\n"
    assert (tmp_path / "thing.md").exists()


def test_table_file(tmp_path: Path) -> None:
    """Rows come back as they were from one file."""
    task = _task("artifact-chain", "weather_artifacts.table_file", "TableFile")
    assert _there_and_back(task, tmp_path, ROWS, indent=2) == ROWS


def test_folder(tmp_path: Path) -> None:
    """Rows come back as they were from a folder with one file for each day."""
    task = _task("artifact-chain", "weather_artifacts.folder", "FolderOfTables")
    assert _there_and_back(task, tmp_path, ROWS, column="day") == ROWS
    names = sorted(path.name for path in (tmp_path / "thing").iterdir())
    assert names == ["day-001.csv", "day-002.csv"]


def test_model(tmp_path: Path) -> None:
    """A model that comes back decides as it did."""
    task = _task("sklearn-evaluation", "digits_artifacts.model", "JoblibFile")
    x = [[0.0], [1.0], [2.0], [3.0]]
    linear: Any = importlib.import_module("sklearn.linear_model")
    model = linear.LogisticRegression().fit(x, [0, 0, 1, 1])
    again = _there_and_back(task, tmp_path, model, compress=3)
    assert again.predict_proba(x).tolist() == model.predict_proba(x).tolist()


def test_csv(tmp_path: Path) -> None:
    """A table comes back, with as many decimals as were asked for."""
    task = _task("sklearn-evaluation", "digits_artifacts.table", "CsvFile")
    pandas: Any = importlib.import_module("pandas")
    table = pandas.DataFrame({"strength": [0.1], "accuracy": [2 / 3]})
    again = _there_and_back(task, tmp_path, table, decimals=3)
    assert again.to_dict("list") == {"strength": [0.1], "accuracy": [0.667]}


def test_png(tmp_path: Path) -> None:
    """A figure becomes a PNG file, whose path is what a reader gets."""
    task = _task("sklearn-evaluation", "digits_artifacts.figure", "PngFile")
    figures: Any = importlib.import_module("matplotlib.figure")
    figure = figures.Figure(figsize=(2, 1))
    path = _there_and_back(task, tmp_path, figure, dpi=50)
    data = Path(path).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert (data[16:20], data[20:24]) == (b"\x00\x00\x00\x64", b"\x00\x00\x00\x32")
