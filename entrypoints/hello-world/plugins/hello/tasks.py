"""Two tasks: a plain function becomes a task when it is registered."""

import structlog
from dioptra import pyplugs

LOGGER = structlog.get_logger()


@pyplugs.register
def greet(name: str) -> str:
    """Make a greeting.

    Args:
        name: Who is greeted.

    Returns:
        One sentence.
    """
    greeting = f"Hello, {name}!"
    LOGGER.info("made a greeting", name=name)
    return greeting


@pyplugs.register
def repeat(line: str, times: int = 1) -> str:
    """Write a line several times.

    Args:
        line: What to write.
        times: How often.

    Returns:
        A text of that many lines.
    """
    # What a task prints is part of the job's log, too.
    for number in range(1, times + 1):
        print(f"{number}. {line}")
    return "".join(f"{line}\n" for _ in range(times))
