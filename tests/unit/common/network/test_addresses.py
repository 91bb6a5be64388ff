"""Addresses as people see them."""

from __future__ import annotations

import pytest

from dioptra_worker.common.network.addresses import shown


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("http://a:b@host:1/x?y", "http://host:1/x?y"),
        ("http://host", "http://host"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("mlflow-artifacts:/0/1", "mlflow-artifacts:/0/1"),
    ],
)
def test_addresses_are_shown_bare(url: str, bare: str) -> None:
    """An address is shown without user and password."""
    assert shown(url) == bare
