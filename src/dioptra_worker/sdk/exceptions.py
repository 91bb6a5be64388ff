"""The errors that plugins may catch by the names of ``dioptra.sdk.exceptions``.

.. code-block:: text

    BaseDioptraError
     ├─ BaseGenericsRegistryError
     │   └─ EstimatorPredictGenericPredTypeError
     ├─ BaseOptionalDependencyError
     │   ├─ ARTDependencyError
     │   ├─ CryptographyDependencyError
     │   └─ TensorflowDependencyError
     ├─ BasePyPlugsException
     │   ├─ UnknownPackageError          no such package of plugins
     │   ├─ UnknownPluginError           no such file in the package
     │   └─ UnknownPluginFunctionError   no such registered function in the file
     ├─ BaseTaskPluginError
     └─ BaseTaskEngineError

The names are the platform's and cannot follow our own conventions.
"""

from __future__ import annotations


class BaseDioptraError(Exception):
    """Root of the errors that the platform's SDK raises."""


class BaseGenericsRegistryError(BaseDioptraError):
    """Something about a generic function of the platform's SDK."""


class EstimatorPredictGenericPredTypeError(BaseGenericsRegistryError):
    """A prediction was asked for in a form that the estimator does not have."""


class BaseOptionalDependencyError(BaseDioptraError):
    """A function needs a package that is not installed."""


class ARTDependencyError(BaseOptionalDependencyError):
    """A function needs ``adversarial-robustness-toolbox``."""


class CryptographyDependencyError(BaseOptionalDependencyError):
    """A function needs ``cryptography``."""


class TensorflowDependencyError(BaseOptionalDependencyError):
    """A function needs ``tensorflow``."""


class BasePyPlugsException(BaseDioptraError):
    """A plugin was asked for that is not there."""


class UnknownPackageError(BasePyPlugsException):
    """There is no such package of plugins."""


class UnknownPluginError(BasePyPlugsException):
    """The package has no such plugin file."""


class UnknownPluginFunctionError(BasePyPlugsException):
    """The plugin file registers no such function."""


class BaseTaskPluginError(BaseDioptraError):
    """A task of a plugin could not do its work; for plugins to derive from."""


class BaseTaskEngineError(BaseDioptraError):
    """A task graph is wrong or cannot be run."""
