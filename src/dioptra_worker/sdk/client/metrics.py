"""Metrics as the API takes them, and its answer when the daemon delivers them later."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import requests

from dioptra_worker.protocol import metric_rules
from dioptra_worker.sdk.client.endpoints import given


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
            ValueError: The value is no number.
        """
        return metric_rules.wire_value(self.value)

    def wire_step(self) -> int | None:
        """Return the step as the API takes it.

        Raises:
            ValueError: The step is no integer.
        """
        return metric_rules.wire_step(self.step)

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
        if problem := metric_rules.name_problem(self.name):
            found["name"] = [problem]
        for field, wire in ("value", self.wire_value), ("step", self.wire_step):
            try:
                wire()
            except ValueError as error:
                found[field] = [str(error)]
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
    body: dict[str, Any]
    if problems:
        body = {"message": "the API would refuse this metric", "detail": problems}
    else:
        body = {"name": metric.name, "value": metric.wire_value()}
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
