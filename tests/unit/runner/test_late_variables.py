"""A job that sets what a preloaded library has read already is told so."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

BEGIN = """
import logging, os, sys, types
logging.basicConfig(format="%(message)s", stream=sys.stdout)
for name in ("KERAS_BACKEND", "OMP_NUM_THREADS", "JAX_PLATFORMS"):
    os.environ.pop(name, None)
os.environ["JAX_PLATFORMS"] = "cpu"
for name in ("keras", "torch", "numpy", "jax"):
    sys.modules[name] = types.ModuleType(name)
environment = os.environ
from dioptra_worker.runner.late_variables import tell_of_late_variables
"""


def _said(program: str, *, preloaded: bool = True) -> list[str]:
    begin = BEGIN + ("" if preloaded else "for n in ('keras',): del sys.modules[n]\n")
    done = subprocess.run(
        [sys.executable, "-c", f"{begin}tell_of_late_variables()\n{program}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "setting",
    [
        "os.environ['KERAS_BACKEND'] = 'jax'",
        "os.environ.setdefault('KERAS_BACKEND', 'jax')",
        "environment.update(KERAS_BACKEND='jax')",
        "os.environ |= {'KERAS_BACKEND': 'jax'}",
    ],
)
def test_told_once_however_it_is_set(setting: str) -> None:
    """The variable is set, and the log says once who has read it before."""
    said = _said(f"{setting}\n{setting}\nprint(os.getenv('KERAS_BACKEND'))")
    assert said[1:] == ["jax"]
    assert said[0].startswith(
        "the plugin sets KERAS_BACKEND too late for keras, which reads it when it is"
    )


def test_all_who_have_read_it_are_named() -> None:
    """Of two libraries that have read a variable both are named, in one line."""
    (said,) = _said("os.environ['OMP_NUM_THREADS'] = '1'")
    assert "too late for numpy and torch, which read it when they are" in said


def test_nothing_is_told_where_nothing_is_late() -> None:
    """A value as it was, another variable, a library that the job imports itself."""
    program = "os.environ.update(JAX_PLATFORMS='cpu', KERAS_HOME='/', KERAS_BACKEND='')"
    assert _said(program, preloaded=False) == []
