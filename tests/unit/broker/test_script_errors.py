"""Errors of scripts have the names that they have outside of one."""

from __future__ import annotations

import pytest
import redis
from redis.exceptions import NoPermissionError

from dioptra_worker.broker.script_errors import ScriptErrorsParser

CALL = "ERR Error running script (call to f_97b22f9b): @user_script:13: "


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            f"{CALL}@user_script: 13: -READONLY You can't write against a replica.",
            redis.ReadOnlyError,
            "You can't write against a replica.",
        ),
        (
            f"{CALL}-WRONGTYPE Operation against a key: -odd",
            redis.ResponseError,
            "WRONGTYPE Operation against a key: -odd",
        ),
        (
            f"{CALL}@user_script: 1: The user executing the script can't access keys",
            NoPermissionError,
            "The user executing the script can't access keys",
        ),
        (f"{CALL}attempt to index a nil value", redis.ResponseError, "a nil value"),
        ("READONLY You can't write", redis.ReadOnlyError, "You can't write"),
    ],
)
def test_an_error_of_a_script(answer: str, kind: type[Exception], words: str) -> None:
    """Redis before 7 says them within another one's words."""
    error = ScriptErrorsParser.parse_error(answer)
    assert type(error) is kind
    assert str(error).endswith(words)
