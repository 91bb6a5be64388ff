"""Forks of one fork server draw different numbers, as cold processes do."""

from __future__ import annotations

import hashlib
import json
import random
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.forkserver.programs import printed

from dioptra_worker.runner.forkserver.children.randomness import (
    fresh_seed,
    reseed,
    states,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

JOBS = 20

FORKS = """
import importlib, json, os, sys
from dioptra_worker.runner.forkserver.children.randomness import fresh_seed, reseed
for name in {imports!r}:
    importlib.import_module(name)
{beforehand}
drawn = []
for _ in range({jobs}):
    reading, writing = os.pipe()
    if not os.fork():
        reseed(fresh_seed())
        os.write(writing, str({draw}).encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as file:
        drawn.append(file.read())
    os.wait()
print(json.dumps(drawn))
"""


def _drawn(imports: list[str], draw: str, beforehand: str = "") -> list[str]:
    """What jobs draw first, in forks of a process that has imported modules."""
    program = FORKS.format(imports=imports, draw=draw, beforehand=beforehand, jobs=JOBS)
    said = printed(program)
    found: list[str] = json.loads(said.splitlines()[-1])
    return found


def _installed(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        find_spec(module) is None, reason=f"{module} is too large for the tests"
    )


@pytest.mark.parametrize(
    ("imports", "draw", "beforehand"),
    [
        pytest.param(["random"], "random.random()", "import random", id="random"),
        pytest.param(
            ["numpy.random"],
            "numpy.random.rand()",
            "import numpy; numpy.random.rand()",
            id="numpy",
        ),
        pytest.param(
            ["numpy.random"],
            "numpy.random.default_rng().random()",
            "import numpy",
            id="a new generator of numpy",
        ),
        pytest.param(
            ["sklearn.utils"],
            "check_random_state(None).rand()",
            "from sklearn.utils import check_random_state",
            id="sklearn",
        ),
        pytest.param(["uuid"], "uuid.uuid1()", "import uuid; uuid.uuid1()", id="uuid"),
        pytest.param(
            ["tempfile"],
            "next(tempfile._get_candidate_names())",
            "import tempfile; next(tempfile._get_candidate_names())",
            id="tempfile",
        ),
        pytest.param(
            ["ssl"], "ssl.RAND_bytes(8)", "import ssl; ssl.RAND_bytes(8)", id="ssl"
        ),
        pytest.param(
            ["torch"],
            "(torch.rand(1), torch.nn.Linear(2, 2).weight)",
            "import torch",
            id="torch",
            marks=_installed("torch"),
        ),
        pytest.param(
            ["tensorflow"],
            "(tensorflow.random.uniform([2]), tensorflow.random"
            ".get_global_generator().uniform([2]))",
            "import tensorflow",
            id="tensorflow",
            marks=_installed("tensorflow"),
        ),
        pytest.param(
            ["keras"],
            "keras.layers.Dense(2).kernel_initializer((2, 2))",
            "import keras",
            id="keras",
            marks=_installed("keras"),
        ),
    ],
)
def test_first_draws_differ(imports: list[str], draw: str, beforehand: str) -> None:
    """Twenty jobs of one warm worker begin with twenty different numbers."""
    assert len(set(_drawn(imports, draw, beforehand))) == JOBS


@pytest.mark.parametrize(
    ("imports", "draw"),
    [
        (["random"], "__import__('random').random()"),
        (["numpy.random"], "__import__('numpy').random.rand()"),
        pytest.param(
            ["torch"], "__import__('torch').rand(1)", marks=_installed("torch")
        ),
    ],
)
def test_a_job_that_seeds_gets_equal_numbers(imports: list[str], draw: str) -> None:
    """A seed of the job's own gives what it gives in a cold process."""
    seeding = {
        "random": "__import__('random').seed(7)",
        "numpy.random": "__import__('numpy').random.seed(7)",
        "torch": "__import__('torch').manual_seed(7)",
    }[imports[0]]
    warm = set(_drawn(imports, f"({seeding}, {draw})[1]"))
    cold = printed(f"import {imports[0]}; print(({seeding}, {draw})[1])")
    assert warm == {cold.strip()}


def test_the_seed_is_what_was_drawn_from() -> None:
    """Equal seeds give equal numbers: the tag of a run tells what it drew from."""
    code = (
        "from dioptra_worker.runner.forkserver.children.randomness import reseed\n"
        "import random, numpy.random\n"
        "reseed(2**63 + 11); print(random.random(), numpy.random.rand())"
    )
    said = {printed(code) for _ in range(2)}
    assert len(said) == 1
    assert fresh_seed() != fresh_seed()


LIBRARY = {
    "random when it is imported": "import random\ndraw = random.Random().random\n",
    "of NumPy": "import numpy\nrng = numpy.random.default_rng()\ndraw = rng.random\n",
    "held by a class": (
        "import random\nclass Noise:\n    rng = random.Random()\n"
        "draw = lambda: Noise.rng.random()\n"
    ),
    "held by an object": (
        "import numpy\nclass Noise:\n    def __init__(self):\n"
        "        self.parts = {'rng': numpy.random.RandomState()}\nnoise = Noise()\n"
        "draw = lambda: noise.parts['rng'].rand()\n"
    ),
    "a function's default": (
        "import random\ndef draw(rng=random.Random()):\n    return rng.random()\n"
    ),
    "a constant": "import random\ndraw = random.Random(7).random\n",
    "the system's": "import random\ndraw = random.SystemRandom().random\n",
    "of a kind of its own": (
        "import os\nclass Generator:\n    def __init__(self):\n"
        "        self.state = os.urandom(8)\nrng = Generator()\n"
        "draw = lambda: rng.state\n"
    ),
}


@pytest.mark.parametrize("kind", LIBRARY)
def test_a_library_without_a_rule(kind: str, tmp_path: Path) -> None:
    """It is renewed in each fork; where that cannot be done, nothing is forked."""
    (tmp_path / "a_library.py").write_text(LIBRARY[kind])
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import os; os.environ['PYTHONPATH'] = sys.argv[1]\n"
        "import a_library\n"
        "from dioptra_worker.runner.forkserver import preload\n"
        "from dioptra_worker.runner.forkserver.children import randomness\n"
        "print(randomness.shared(['a_library']), flush=True)\n"
        "for _ in range(3):\n"
        "    if not os.fork():\n"
        "        randomness.reseed(randomness.fresh_seed())\n"
        "        print(a_library.draw(), flush=True)\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
    )
    said = printed(program, tmp_path)
    found, *drawn = said.splitlines()
    unknown = kind == "of a kind of its own"
    assert ("a_library.rng" in found) if unknown else (found == "None")
    assert len(set(drawn)) == (1 if unknown or kind == "a constant" else 3)


def test_what_we_import_ourselves_is_covered() -> None:
    """No module of ours, of MLflow's or of boto3's holds a generator without a rule."""
    program = (
        "from dioptra_worker.runner.forkserver import preload\n"
        "from dioptra_worker.runner.forkserver.children import randomness\n"
        "preload.preload(['dioptra_worker.tracking.mlflow.run'])\n"
        "found = list(randomness._generators())\n"
        "print(randomness._equal_in_two_forks(found) or None)"
    )
    said = printed(program)
    assert said.splitlines()[-1] == "None"


def test_states_are_told_apart() -> None:
    """A generator that has drawn has another state than before."""
    before = hashlib.sha256(repr(random.getstate()).encode()).hexdigest()
    assert before in states()
    reseed(fresh_seed())
    assert before not in states()
