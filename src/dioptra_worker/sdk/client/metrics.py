"""Metrics as the API takes them, and its answer when the daemon delivers them later."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

import requests

from dioptra_worker.sdk.client.endpoints import given

# The API's rule: a letter, or a letter or underscore with more of them or digits.
_NAME = re.compile(r"([A-Za-z]|[A-Za-z_][A-Za-z0-9_]+)$")


@dataclass(frozen=True)
class Metric:
    """A value that was measured.

    Attributes:
        name: Its name.
        value: Its value, in whatever numeric type the plugin has.
        step: Where in the series.
        timestamp: When it was measured, in ISO 8601.
    """

    name: str
    value: Any
    step: Any = None
    timestamp: str | None = None

    def wire_value(self) -> float | str:
        """Return the value as JSON can carry it: NaN and infinities are words.

        Raises:
            TypeError: The value is no number.
            ValueError: The value is a text that is no number.
        """
        # pandas.NA is neither a float nor can it be made one.
        value = math.nan if str(self.value) == "<NA>" else float(self.value)
        return value if math.isfinite(value) else str(value)

    def body(self) -> dict[str, Any]:
        """Return the body of the request."""
        return given(
            name=self.name,
            value=self.wire_value(),
            step=self.step,
            timestamp=self.timestamp,
        )

    def problems(self) -> dict[str, list[str]]:
        """Return what the API would refuse, by field, with the reason."""
        found: dict[str, list[str]] = {}
        if not (isinstance(self.name, str) and _NAME.match(self.name)):
            rule = "use letters, digits and underscores, and begin with a letter"
            found["name"] = [f"{self.name!r} is no name for a metric: {rule}"]
        try:
            int(0 if self.step is None else self.step)
        except (TypeError, ValueError):
            found["step"] = [f"{self.step!r} is no integer"]
        return found


def metric_response(
    url: str, metric: Metric, problems: dict[str, list[str]]
) -> requests.Response:
    """Build the answer that the API gives to a metric.

    Args:
        url: Where the metric would have been posted.
        metric: The metric.
        problems: What the API refuses of it; empty when it takes it.
    """
    body: dict[str, Any] = {"name": metric.name, "value": metric.wire_value()}
    if problems:
        body = {"message": "the API would refuse this metric", "detail": problems}
    response = requests.Response()
    response.status_code = 400 if problems else 200
    response.reason = "BAD REQUEST" if problems else "OK"
    response.url = url
    response.encoding = "utf-8"
    response.headers["Content-Type"] = "application/json"
    response.request = requests.PreparedRequest()
    response.request.method, response.request.url = "POST", url
    response._content = json.dumps(body).encode()  # noqa: SLF001 - no public way
    return response
