"""What decides whether a job's results come out alike again, as its process sees it."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

from dioptra_worker.protocol.messages import JobFact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VARIABLES = (
    "PYTHONHASHSEED",
    "OMP_NUM_THREADS",
    "OMP_DYNAMIC",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "MKL_CBWR",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "TF_DETERMINISTIC_OPS",
    "TF_CUDNN_DETERMINISTIC",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "TF_ENABLE_ONEDNN_OPTS",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_TF32_OVERRIDE",
    "XLA_FLAGS",
    "JAX_PLATFORMS",
    "JAX_ENABLE_X64",
    "KERAS_BACKEND",
)
"""Variables that rule threads, the order of hashes, and frameworks."""


def facts_at_start(seed: int | None = None) -> Iterator[JobFact]:
    """What is so before any plugin's code runs.

    Each variable is told, set or not: what a plugin says later of one is not believed.

    Args:
        seed: What the random generators were seeded with; None if nobody has.
    """
    if seed is not None:
        yield JobFact(kind="seed", name="", value=str(seed))
    for name in VARIABLES:
        yield JobFact(kind="variable", name=name, value=os.environ.get(name, ""))


def facts_at_end() -> Iterator[JobFact]:
    """What the frameworks that were imported say when the job is done."""
    for module, name, ask in _ASKED:
        loaded = sys.modules.get(module)
        if loaded is not None:
            with contextlib.suppress(BaseException):  # a plugin may have replaced it
                value = str(ask(loaded))
                yield JobFact(kind="framework", name=f"{module}.{name}", value=value)


_ASKED: tuple[tuple[str, str, Callable[[Any], object]], ...] = (
    (
        "torch",
        "deterministic_algorithms",
        lambda torch: torch.are_deterministic_algorithms_enabled(),
    ),
    ("torch", "num_threads", lambda torch: torch.get_num_threads()),
    (
        "torch",
        "cudnn.deterministic",
        lambda torch: torch.backends.cudnn.deterministic,
    ),
    ("torch", "cudnn.benchmark", lambda torch: torch.backends.cudnn.benchmark),
    ("torch", "initial_seed", lambda torch: torch.initial_seed()),
    (
        "tensorflow",
        "op_determinism",
        lambda tensorflow: (
            tensorflow.python.framework.config.is_op_determinism_enabled()
        ),
    ),
    (
        "tensorflow",
        "intra_op_threads",
        lambda tensorflow: (
            tensorflow.config.threading.get_intra_op_parallelism_threads()
        ),
    ),
    ("jax", "enable_x64", lambda jax: jax.config.jax_enable_x64),
)
"""Module, what of it, and how it is asked."""
