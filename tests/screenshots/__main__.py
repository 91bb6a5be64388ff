"""Makes the pictures of the jobs' page that the documentation shows.

Usage: ``python -m tests.screenshots``, also ``make screenshots``. A stack comes up, a
worker runs some jobs, and the browser of the tests photographs the page. Times and ids
of runs are of the moment; all else is the same each time.
"""

from __future__ import annotations

import re
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.plugins.browser import opened, running_browser
from tests.plugins.people import Person
from tests.plugins.stack import fresh_stack
from tests.plugins.worker_process import worker

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs/images"
QUEUE, EXPERIMENT = "gpu", "digits"
FOLDERS = (
    *(ROOT / "entrypoints" / name for name in ("hello-world", "failing-job")),
    Path(__file__).with_name("digits"),
)
JOBS = (
    ("hello-world", "-P", "name=Ada"),
    ("train-digits", "--description", "A first try"),
    ("failing-job",),
    ("train-digits", "-P", "rate=0.2", "--description", "Twice as fast"),
)
FIRST, SECOND = 1, 3
"""Which of the jobs are compared; the second one is shown by itself, too."""
WIDTH = 1000
CHOSEN_IN = "jobs-list"
"""The picture in which the two are chosen."""


def main() -> int:
    """Make the pictures."""
    with tempfile.TemporaryDirectory(prefix="dioptra-pictures-") as name:
        folder = Path(name)
        with (
            fresh_stack(folder / "stack", queues=[QUEUE]) as stack,
            worker(stack.environment(), folder, QUEUE),
        ):
            person = Person(stack.environment(), folder)
            jobs = _jobs(person)
            with _page(person) as address:
                _photograph(address, jobs)
    return 0


def _jobs(person: Person) -> list[int]:
    """Run the jobs; their ids."""
    for folder in FOLDERS:
        person.told("import", folder)
    jobs = []
    for words in JOBS:
        given = (*words, "--experiment", EXPERIMENT, "--queue", QUEUE)
        jobs.append(int(person.json("jobs", "submit", "--json", *given)["id"]))
        person.call("jobs", "wait", "--timeout", 120, jobs[-1])
    return jobs


@contextmanager
def _page(person: Person) -> Iterator[str]:
    """Serve the page; the address that lets in."""
    with person.calling("jobs", "serve", "--port", 0) as call:
        call.wait_for("token=")
        found = re.search(r"are at (http://\S+)\n", call.text)
        assert found is not None, call.text
        yield found[1]
        call.process.terminate()
        call.wait()


def _photograph(sign_in: str, jobs: list[int]) -> None:
    address = sign_in.partition("?")[0]
    first, second = jobs[FIRST], jobs[SECOND]
    pictures = (
        (CHOSEN_IN, "", "light", 480),
        ("jobs-job", f"jobs/{second}", "dark", 1250),
        ("jobs-compare", f"compare?first={first}&second={second}", "light", 1250),
    )
    with running_browser() as browser:
        for name, path, scheme, height in pictures:
            viewport = {"width": WIDTH, "height": height}
            with opened(browser, viewport=viewport, color_scheme=scheme) as page:
                page.goto(sign_in)
                page.goto(address + path, wait_until="networkidle")
                # The address has a port that is another one each time.
                page.evaluate("document.querySelector('.where')?.remove()")
                for job in (first, second) if name == CHOSEN_IN else ():
                    page.get_by_role("checkbox", name=f"#{job}").check()
                page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
