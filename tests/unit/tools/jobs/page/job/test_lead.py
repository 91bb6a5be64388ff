"""What a job's page begins with."""

from __future__ import annotations

import re

import pytest
from tests.unit.tools.jobs.browsing import serving_page
from tests.unit.tools.jobs.dioptra import Dioptra

from dioptra_worker.protocol.messages import OWN_LOGGER, STEP_LOGGER

STEP = ("INFO", STEP_LOGGER, "step 2 of 3: 'fit' runs task 'train'")
FAILED = ("ERROR", OWN_LOGGER, "the job failed: <b> in step 'fit'")
SOME = ("INFO", "x", "&lt;i&gt; epoch\n17")


@pytest.mark.parametrize(
    ("changes", "log", "begins"),
    [
        (["queued"], [], "Waits queued in 'local' for"),
        (["queued", "started"], [], "Running running for"),
        (["queued", "started"], [STEP, SOME], "Step 2 of 3: fit (train) running for"),
        (["queued", "started", "failed"], [STEP, FAILED], "Failed <b> in step 'fit'"),
    ],
)
def test_lead(changes: list[str], log: list[tuple[str, str, str]], begins: str) -> None:
    """It is why a job failed or waits, or how far it is, before all else."""
    dioptra = Dioptra(logs={7: log})
    dioptra.put(7, *((status, at) for at, status in enumerate(changes)))
    with serving_page(dioptra) as browser:
        for path in ("/jobs/7", "/jobs/7/parts"):
            page = browser.get(path).text
            found = re.search(r'<div class="lead \w+">(.*?)</div>', page, re.S)
            assert found is not None
            assert page.index('class="lead') < page.index('class="card')
            assert "<b>" not in found[1]
            text = re.sub("<[^>]*>", "", found[1])
            for name, letter in (("&#x27;", "'"), ("&lt;", "<"), ("&gt;", ">")):
                text = text.replace(name, letter)
            assert text.startswith(begins)
            if SOME in log:
                assert text.strip().endswith("<i> epoch 17")


def test_no_lead() -> None:
    """Of a job that has finished there is nothing to say first."""
    dioptra = Dioptra()
    dioptra.put(7, ("queued", 0), ("started", 1), ("finished", 2))
    with serving_page(dioptra) as browser:
        assert 'class="lead' not in browser.get("/jobs/7").text
