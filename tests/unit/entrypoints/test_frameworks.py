"""The examples that need PyTorch or TensorFlow, function by function.

A framework is too large to be installed for the tests, so what trains a network runs
where there is one; the containers' proof runs it in any case, as a job. That the files
can be imported without a framework is proven by their being imported here.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from dioptra_worker.runner.plugins.bundle import Bundle

ROOT = Path(__file__).resolve().parents[3] / "entrypoints"


@dataclass(frozen=True)
class Example:
    """One of the two, which are alike.

    Attributes:
        folder: Its folder.
        framework: The module of its framework.
        plugin: Its plugin; that of its artifact tasks has a longer name.
        network_task: The artifact task that keeps its network.
        shape: What an image looks like.
    """

    folder: str
    framework: str
    plugin: str
    network_task: str
    shape: tuple[int, ...]

    def function(self, name: str) -> Any:
        """A task of its plugin."""
        return self._bundle().function(f"{self.plugin}.{name}")

    def artifact_task(self, module: str, name: str) -> Any:
        """An artifact task."""
        return self._bundle().artifact_task(f"{self.plugin}_artifacts", module, name)

    def _bundle(self) -> Bundle:
        return Bundle(ROOT / self.folder / "plugins", label="the example's plugins")


TORCH = Example("pytorch-attack", "torch", "torch_digits", "TorchFile", (1, 8, 8))
KERAS = Example(
    "tensorflow-attack", "tensorflow", "keras_digits", "KerasFile", (8, 8, 1)
)
EXAMPLES = [pytest.param(example, id=example.folder) for example in (TORCH, KERAS)]
WITH_FRAMEWORK = [
    pytest.param(
        example,
        id=example.folder,
        marks=pytest.mark.skipif(
            find_spec(example.framework) is None,
            reason=f"{example.framework} is not part of the tests' environment",
        ),
    )
    for example in (TORCH, KERAS)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_images(example: Example) -> None:
    """Images are cut as the framework wants them, split as asked, always in one way."""
    load = example.function("data.load_images")
    x_train, y_train, x_test, y_test = load(test_share=0.25, seed=3)
    assert x_train.shape == (len(y_train), *example.shape)
    assert x_test.shape == (len(y_test), *example.shape)
    assert (len(y_train), len(y_test)) == (1347, 450)
    assert (x_train.min(), x_train.max(), str(x_train.dtype)) == (0, 1, "float32")
    assert (load(test_share=0.25, seed=3)[2] == x_test).all()
    assert not (load(test_share=0.25, seed=4)[2] == x_test).all()


@pytest.mark.parametrize("example", EXAMPLES)
def test_images_artifact(example: Example, tmp_path: Path) -> None:
    """Images come back from their file as they were."""
    numpy: Any = importlib.import_module("numpy")
    images = numpy.random.default_rng(0).random((3, *example.shape), numpy.float32)
    task = example.artifact_task("images", "NpzFile")
    path = task.serialize(tmp_path, "thing", images)
    assert path == tmp_path / "thing.npz"
    assert (task.deserialize(tmp_path, path.name) == images).all()


# PyTorch and TensorFlow deprecate of their own and of each other, version by version.
@pytest.mark.filterwarnings("default")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("example", WITH_FRAMEWORK)
def test_network(example: Example, tmp_path: Path) -> None:
    """A network learns, is fooled by small changes, and comes back from its file."""
    mlflow: Any = importlib.import_module("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.sqlite'}")
    x, y, x_test, y_test = example.function("data.load_images")(test_share=0.3, seed=7)
    with mlflow.start_run():
        network = example.function("network.train_network")(x, y, epochs=5, seed=7)
    measure = example.function("network.measure")
    clean = measure(network, x_test, y_test)
    assert clean > 0.8
    changed = example.function("attack.fast_gradient")(network, x_test, y_test, 0.2)
    assert changed.shape == x_test.shape
    assert 0 <= changed.min() <= changed.max() <= 1
    assert 0.1 < abs(changed - x_test).max() < 0.2001
    assert measure(network, changed, y_test) < clean / 2
    task = example.artifact_task("network", example.network_task)
    path = task.serialize(tmp_path, "thing", network)
    again = task.deserialize(tmp_path, path.name)
    if example is TORCH:  # what torch.export has made knows neither train nor eval
        torch: Any = importlib.import_module("torch")
        scores = again(torch.as_tensor(x_test)).argmax(dim=1).numpy()
        assert float((scores == y_test).mean()) == pytest.approx(clean)
    else:
        assert measure(again, x_test, y_test) == pytest.approx(clean)
