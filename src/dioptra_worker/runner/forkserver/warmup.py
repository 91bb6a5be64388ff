"""What a fork server does beforehand, so that no job pays for doing it first.

The first call of many a library is far slower than the next: it imports more modules,
reads the data models that come with it, compiles patterns. Here each is called once,
without the network, without a thread and without a trace that a job could see.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dioptra_worker import engine
from dioptra_worker.tracking.backend import SERVER_MODULES

if TYPE_CHECKING:
    from collections.abc import Callable

_CONFIG = {
    "parameters": {"who": {"type": "string", "default": "world"}},
    "tasks": {
        "greet": {
            "plugin": "plugin.tasks.greet",
            "inputs": [{"name": "who", "type": "string"}],
            "outputs": [{"greeting": "string"}],
        }
    },
    "graph": {"greeting": {"greet": ["$who"]}},
}


def warm_up_caches() -> None:
    """Call once what every job calls; what fails is said and is no one's end."""
    steps: list[Callable[[], object]] = [_import_engine, _compile]
    if sys.modules.keys() & set(SERVER_MODULES):
        from dioptra_worker.tracking.mlflow import run as mlflow_run  # noqa: PLC0415 - they are slow
        from dioptra_worker.tracking.s3 import (  # noqa: PLC0415 - they are slow
            client as s3,
        )

        steps += [mlflow_run.warm_up_caches, s3.warm_up_caches]
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - a job may still get by
            print(f"rehearsal: {error!r}", file=sys.stderr)  # noqa: T201


def _import_engine() -> None:
    """Import all of it: it is imported as it is asked for."""
    for name in engine.__all__:
        getattr(engine, name)


def _compile() -> None:
    engine.compile(_CONFIG)
