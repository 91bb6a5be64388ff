"""What to say of a queue that nobody has registered."""

from __future__ import annotations

import difflib


def unknown_queue(name: str, known: list[str]) -> str:
    """What to say of a queue that the API does not know.

    Args:
        name: The queue that we listen on.
        known: The API's queues.
    """
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = (
        f"did you mean {' or '.join(map(repr, near))}?"
        if near
        else "it knows: " + (", ".join(map(repr, sorted(known))) or "none")
    )
    return (
        f"the Dioptra API has no queue {name!r}, so no job can come from it until it is"
        f" registered; {hint}"
    )
