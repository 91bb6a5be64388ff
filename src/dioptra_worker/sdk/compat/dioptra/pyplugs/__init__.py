"""Re-exports `dioptra_worker.sdk.pyplugs`."""

from pkgutil import extend_path

from dioptra_worker.sdk.pyplugs import (
    PluginInfo,
    call,
    call_factory,
    exists,
    exists_factory,
    funcs,
    funcs_factory,
    get,
    get_factory,
    info,
    info_factory,
    names,
    names_factory,
    register,
)
from dioptra_worker.sdk.worker.spawned_children import attach
from dioptra_worker.tracking.mlflow.active_run import attach_as_child

__all__ = [
    "PluginInfo",
    "call",
    "call_factory",
    "exists",
    "exists_factory",
    "funcs",
    "funcs_factory",
    "get",
    "get_factory",
    "info",
    "info_factory",
    "names",
    "names_factory",
    "register",
]

__path__ = extend_path(__path__, __name__)

# A process that a task has started begins with its plugin's modules.
attach_as_child()
attach(capture=True)
