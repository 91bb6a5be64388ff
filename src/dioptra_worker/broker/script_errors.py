"""What goes wrong in a script of Redis', told as what goes wrong outside of one.

Before version 7 a server gives all of it one name: neither a primary that is none any
more nor a right that is missing would be known.
"""

from __future__ import annotations

from redis.connection import DefaultParser

_OF_A_SCRIPT = "ERR Error running script"
_NO_RIGHT = "The user executing the script can't"


class ScriptErrorsParser(DefaultParser):  # type: ignore[misc, valid-type]
    """Reads answers of a server as redis-py does, but for errors of scripts."""

    @classmethod
    def parse_error(cls, response: str) -> Exception:
        """The exception for an answer that is an error."""
        error: Exception = super().parse_error(without_script(response))
        return error


def without_script(response: str) -> str:
    """An error with the name that it has outside of a script.

    Args:
        response: The error, its name first.
    """
    if not response.startswith(_OF_A_SCRIPT):
        return response
    if _NO_RIGHT in response:
        return f"NOPERM {response.removeprefix('ERR ')}"
    _, found, named = response.partition(": -")
    return named if found else response
