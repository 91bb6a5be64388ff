"""Re-exports from `dioptra_worker.sdk.helpers`."""

from pkgutil import extend_path

from dioptra_worker.sdk.helpers import require_package

__all__ = [
    "require_package",
]

__path__ = extend_path(__path__, __name__)
