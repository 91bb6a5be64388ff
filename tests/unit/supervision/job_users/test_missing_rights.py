"""A job that may not do something is told apart from one that fails otherwise."""

from __future__ import annotations

import os
import pwd

import pytest

from dioptra_worker.supervision.job_users.missing_rights import (
    advice,
    tells_of_missing_rights,
)


@pytest.mark.parametrize(
    "text",
    [
        repr(PermissionError(13, "Permission denied", "/data")),
        f"cat: /data: {os.strerror(13)}",
        f"chown: changing ownership of '/data': {os.strerror(1)}",
        "fatal: detected dubious ownership in repository at '/opt/app'",
        "No user exists for uid 60706",
        "Defaulting to user installation because normal site-packages is not writeable",
    ],
)
def test_what_programs_say(text: str) -> None:
    """What Python, shells, git, ssh and pip say where they may not do something."""
    assert tells_of_missing_rights(text)


def test_a_user_without_an_account() -> None:
    """What Python says when it looks for the name of one."""
    with pytest.raises(KeyError) as caught:
        pwd.getpwuid(61183)
    assert tells_of_missing_rights(str(caught.value))


def test_what_is_no_matter_of_rights() -> None:
    """Another failure gets no advice, and the advice is no failure itself."""
    assert not tells_of_missing_rights("FileNotFoundError: no such file: /data")
    assert not tells_of_missing_rights(advice(60706))
