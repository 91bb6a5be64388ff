"""Whose home is whose: a job's is its own folder, and downloads are kept outside of it.

What a job leaves in its home (``~/.netrc``, ``~/.config``, ``~/.aws``, ``~/.local``) is
gone with it. What libraries download, which nobody wants to wait for twice, stays in
one folder by the libraries' own variables, unless these are set already.
"""

from __future__ import annotations

import configparser
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DOWNLOAD_DIR = "DIOPTRA_WORKER_DOWNLOAD_DIR"
"""The variable that names the folder."""
IMPORT_PATH = "DIOPTRA_WORKER_IMPORT_PATH"
"""The variable that names folders in which jobs find modules, too."""

_CACHE = "Library/Caches" if sys.platform == "darwin" else ".cache"
KEPT = {
    "HF_HOME": ".cache/huggingface",
    "KAGGLEHUB_CACHE": ".cache/kagglehub",
    "KERAS_HOME": ".keras",
    "NLTK_DATA": "nltk_data",
    "PIP_CACHE_DIR": f"{_CACHE}/pip",
    "SCIKIT_LEARN_DATA": "scikit_learn_data",
    "TFDS_DATA_DIR": "tensorflow_datasets",
    "TFHUB_CACHE_DIR": ".cache/tfhub_modules",
    "TORCH_HOME": ".cache/torch",
    "UV_CACHE_DIR": ".cache/uv",
}
"""Variables of libraries, and where these keep downloads in a home without them."""
LINKED = (".art/data",)
"""Where libraries that have no such variable keep theirs: ART's data sets."""

_CREDENTIALS = {
    "AWS_CONFIG_FILE": ".aws/config",
    "AWS_SHARED_CREDENTIALS_FILE": ".aws/credentials",
}
_PLACES = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
"""Variables that would lead from a job's home to the operator's."""


def outside_of_jobs(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables by which jobs find what is not in their own homes.

    Args:
        environment: The operator's.

    Returns:
        The same with `KEPT` and the operator's credentials of S3 by absolute paths,
        and without what leads to other folders of the operator's home.
    """
    kept = {name: value for name, value in environment.items() if name not in _PLACES}
    home = Path(environment.get("HOME") or "/")
    named = environment.get(DOWNLOAD_DIR)
    base = Path(named).absolute() if named else home
    kept[DOWNLOAD_DIR] = str(base)
    cache = environment.get("XDG_CACHE_HOME")
    for name, place in KEPT.items():
        folder = base / place
        if cache and not named and place.startswith(".cache/"):
            folder = Path(cache) / place.removeprefix(".cache/")
        kept.setdefault(name, str(folder))
    for name, place in _CREDENTIALS.items():
        if (home / place).is_file():
            kept.setdefault(name, str(home / place))
    return {**mlflow_credentials(environment), **kept}


def import_path(environment: Mapping[str, str]) -> list[str]:
    """What the operator adds to the end of ``sys.path`` for jobs.

    Args:
        environment: A runner's.
    """
    named = environment.get(IMPORT_PATH, "").split(",")
    return [folder.strip() for folder in named if folder.strip()]


def mlflow_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """What MLflow would read in the operator's home, as variables.

    The file's place cannot be told to it. A variable that is set goes before the file.
    """
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    file = Path(environment.get("HOME") or "/", ".mlflow/credentials")
    parser = configparser.RawConfigParser()
    try:
        parser.read(file, encoding="utf-8")
    except (OSError, UnicodeDecodeError, configparser.Error):
        return {}
    found = {name: parser.get("mlflow", name, fallback="") for name in names}
    return {name: found[name] for name in names if found[name]}


def named_downloads(environment: Mapping[str, str]) -> Path | None:
    """The folder for downloads, if it is not the operator's home.

    Args:
        environment: As of `outside_of_jobs`.
    """
    base = Path(environment.get(DOWNLOAD_DIR) or "/")
    return None if base == Path(environment.get("HOME") or "/") else base


def places_of_downloads(base: Path) -> list[Path]:
    """The folders with downloads that there are in one."""
    return [base / name for name in (*KEPT.values(), *LINKED) if (base / name).exists()]


def downloads_to_miss(environment: Mapping[str, str]) -> Path | None:
    """A folder of the operator's home that holds downloads, other than packages.

    Args:
        environment: As of `outside_of_jobs`.
    """
    if named_downloads(environment) is not None:
        return None
    for path in places_of_downloads(Path(environment.get("HOME") or "/")):
        if path.name not in {"pip", "uv"} and path.is_dir() and any(path.iterdir()):
            return path
    return None


def with_downloads_in(base: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The same with downloads in another folder, but those that have one by name.

    Args:
        base: The folder.
        environment: As of `outside_of_jobs`.
    """
    unnamed = environment.keys() - without_downloads(environment).keys()
    moved = {name: str(base / KEPT[name]) for name in unnamed}
    return {**environment, **moved, DOWNLOAD_DIR: str(base)}


def without_downloads(environment: Mapping[str, str]) -> dict[str, str]:
    """The same without the folders for downloads that nobody has asked for by name.

    Args:
        environment: As of `outside_of_jobs`.
    """
    base = Path(environment.get(DOWNLOAD_DIR) or "/")
    ours = {name: str(base / place) for name, place in KEPT.items()}
    return {n: v for n, v in environment.items() if ours.get(n) != v}


def link_downloads(home: Path, environment: Mapping[str, str]) -> None:
    """Have a job's home lead to downloads that are there and have no variable.

    Args:
        home: The job's.
        environment: The job's, as of `outside_of_jobs`.
    """
    base = environment.get(DOWNLOAD_DIR)
    for place in LINKED if base else ():
        there = Path(str(base), place)
        if there.is_dir() and not (home / place).exists():
            (home / place).parent.mkdir(parents=True, exist_ok=True)
            (home / place).symlink_to(there)
