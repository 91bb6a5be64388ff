"""Which variables say whose certificates are believed."""

from __future__ import annotations

import pytest

from dioptra_worker.certificates import unverified, without_empty

SWITCHES = ("MLFLOW_TRACKING_INSECURE_TLS", "MLFLOW_S3_IGNORE_TLS")


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize(("value", "told"), [("true", 1), ("1", 1), ("False", 0)])
def test_switches(name: str, value: str, told: int) -> None:
    """What turns a check off is told with its name, value and consequence."""
    found = [words for words, _ in unverified({name: value})]
    assert len(found) == told
    assert all(words.startswith(f"{name}={value}: the cert") for words in found)


def test_empty_variables() -> None:
    """An empty variable is as one that is not set; others stay as they are."""
    given = {
        "MLFLOW_TRACKING_SERVER_CERT_PATH": "",
        "REQUESTS_CA_BUNDLE": "",
        "MLFLOW_S3_IGNORE_TLS": "",
        "AWS_CA_BUNDLE": "ours.pem",
        "EMPTY": "",
    }
    assert without_empty(given) == {"AWS_CA_BUNDLE": "ours.pem", "EMPTY": ""}
