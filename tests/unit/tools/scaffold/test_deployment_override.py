"""What ``dioptra-worker init-override`` writes for a deployment, and refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from dioptra_worker.cli.init_override import init_override_command
from dioptra_worker.tools.scaffold.deployment_override import IMAGES, OUTPUT

ROOT = Path(__file__).resolve().parents[4]
DEPLOYMENT = """
services:
  lab-redis:
    image: redis:latest
  lab-restapi:
    image: example.org:5000/dioptra/restapi:1.2.2
    env_file: [./envs/lab-restapi.env]
  lab-tfcpu-01:
    image: example.org:5000/dioptra/tensorflow2-cpu:1.2.2
    command: [--results-ttl, "500", tensorflow-cpu]
  lab-tfcpu-02:
    image: dioptra/tensorflow2-cpu@sha256:0000
  lab-pytorchgpu-01:
    image: ${REGISTRY}/pytorch-gpu
  lab-tabular-01:
    image: lab/tabular:dev
    env_file: [./envs/ca-certificates.env, ./envs/lab-worker.env]
"""


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    (tmp_path / "docker-compose.yml").write_text(DEPLOYMENT)
    return tmp_path


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(init_override_command, [str(word) for word in arguments])


def _services(folder: Path) -> dict[str, Any]:
    text = (folder / OUTPUT).read_text(encoding="utf-8")
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


def test_all_workers_and_nothing_else(folder: Path) -> None:
    """Each of the platform's workers becomes ours; a foreign one is told."""
    answer = _run(folder)
    assert answer.exit_code == 0, answer.output
    assert {name: each["image"] for name, each in _services(folder).items()} == {
        "lab-tfcpu-01": "dioptra-worker-tensorflow-cpu",
        "lab-tfcpu-02": "dioptra-worker-tensorflow-cpu",
        "lab-pytorchgpu-01": "dioptra-worker-pytorch-gpu",
    }
    assert "lab-tabular-01 stays as it is" in answer.output
    assert answer.output.endswith(f"wrote {folder / OUTPUT}\n")


def test_it_is_the_one_that_is_proved(folder: Path) -> None:
    """A service gets what the override in deploy/, which is tried with Compose, has."""
    _run(folder)
    proved = yaml.safe_load((ROOT / "deploy/compose" / OUTPUT).read_text())["services"]
    assert _services(folder)["lab-tfcpu-01"] == proved["dioptra-deployment-tfcpu-01"]


def test_images_of_a_registry_and_of_ones_own(folder: Path) -> None:
    """Prefix and tag are of our images; one that is named is taken as it is."""
    own = "lab-tabular-01=lab/tabular-worker:7"
    options = ["--prefix", "example.org/lab/", "--tag", "0.1.0", "--image", own]
    answer = _run(folder / "docker-compose.yml", *options)
    assert answer.exit_code == 0, answer.output
    services = _services(folder)
    wanted = "example.org/lab/dioptra-worker-pytorch-gpu:0.1.0"
    assert services["lab-pytorchgpu-01"]["image"] == wanted
    assert services["lab-tabular-01"]["image"] == "lab/tabular-worker:7"


def test_printed(folder: Path) -> None:
    """With '-' the text is printed alone, and nothing is written."""
    answer = _run(folder, "--output", "-")
    assert yaml.safe_load(answer.output)["services"].keys() >= {"lab-tfcpu-01"}
    assert not (folder / OUTPUT).exists()


def test_nothing_is_overwritten(folder: Path) -> None:
    """An override that is there stays, and the way out is told."""
    (folder / OUTPUT).write_text("mine")
    answer = _run(folder)
    assert answer.exit_code == 2
    assert "--output" in answer.output
    assert (folder / OUTPUT).read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "has no docker-compose.yml"),
        ("services: [", "cannot be read"),
        ("- a", "it has no 'services'"),
        ("services: {a: {image: redis}}", "one of the platform's workers"),
    ],
)
def test_refused(tmp_path: Path, text: str | None, said: str) -> None:
    """What is no deployment, or has no worker, is told in one line with code 2."""
    if text is not None:
        (tmp_path / "docker-compose.yml").write_text(text)
    answer = _run(tmp_path)
    assert answer.exit_code == 2
    (line,) = answer.output.splitlines()
    assert said in line
    assert not (tmp_path / OUTPUT).exists()


def test_a_service_that_is_not_there(folder: Path) -> None:
    """A misspelt service is told with those that there are."""
    answer = _run(folder, "--image", "lab-tabula-01=x")
    assert answer.exit_code == 2
    assert "no service 'lab-tabula-01'; it has lab-" in answer.output


def test_every_image_of_ours_is_known() -> None:
    """Each image that replaces one of the platform's is built from a Dockerfile."""
    for image in IMAGES.values():
        folder = ROOT / "containers" / re.sub("^dioptra-worker-", "", image)
        assert (folder / "Dockerfile").exists(), image


def test_a_prefix_that_compose_fills_in(folder: Path) -> None:
    """What needs quotes in YAML has them."""
    answer = _run(folder, "--prefix", "${REG:-x}/")
    assert answer.exit_code == 0, answer.output
    image = _services(folder)["lab-pytorchgpu-01"]["image"]
    assert image.startswith("${REG:-x}/dioptra-worker-pytorch-gpu")


def test_a_date_that_there_is_not(folder: Path) -> None:
    """The file cannot be read, which is a sentence."""
    (folder / "docker-compose.yml").write_text("x: 2024-13-45\nservices: {}\n")
    answer = _run(folder)
    assert isinstance(answer.exception, SystemExit)
    assert "cannot be read" in answer.output
