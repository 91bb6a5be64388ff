"""Re-exports from `dioptra_worker.sdk.helpers`."""

from pkgutil import extend_path

from dioptra_worker.sdk.helpers import set_cwd, set_path_ext

__all__ = [
    "set_cwd",
    "set_path_ext",
]

__path__ = extend_path(__path__, __name__)
