"""The errors of the client; the names are the platform's.

.. code-block:: text

    DioptraClientError
     ├─ APIConnectionError         the API could not be reached, or did not answer
     ├─ StatusCodeError            it answered with something else than 2xx
     ├─ JSONDecodeError            it answered 2xx with something else than JSON
     ├─ IllegalArgumentError       an argument is not usable
     ├─ FieldsValidationError      the fields of a draft are not usable
     │   └─ DraftFieldsValidationError
     ├─ FieldNameCollisionError    a field of a draft was given in two spellings
     └─ SubCollectionUrlError      a sub-collection got too few or too many ids
"""

from __future__ import annotations

import json


class DioptraClientError(Exception):
    """Root of the client's errors."""


class APIConnectionError(DioptraClientError):
    """The API could not be reached, or did not answer in time."""


class StatusCodeError(DioptraClientError):
    """The API answered with something else than 2xx.

    Attributes:
        status_code: The HTTP status.
        message: The body of the answer; indented when it is JSON.
    """

    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(status_code, message)
        self.status_code = status_code
        self.message = _indented(message)

    def __str__(self) -> str:
        return f"the API answered {self.status_code}: {self.message}"


class JSONDecodeError(DioptraClientError):
    """The API answered 2xx with something else than JSON."""


class IllegalArgumentError(DioptraClientError):
    """An argument of a call is not usable."""


class FieldNameCollisionError(DioptraClientError):
    """A field of a draft was given twice, in two spellings."""


class FieldsValidationError(DioptraClientError):
    """The fields of a draft are not usable."""


class DraftFieldsValidationError(FieldsValidationError):
    """A draft has unknown fields, or lacks some."""


class SubCollectionUrlError(DioptraClientError):
    """A sub-collection got too few or too many ids of its parents."""


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=4)
    except (ValueError, RecursionError):
        return text
