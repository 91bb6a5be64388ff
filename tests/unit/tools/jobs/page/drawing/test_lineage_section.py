"""What a job came from, as a picture with links and in sentences."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from tests.unit.api.scripted import Answer
from tests.unit.tools.jobs.browsing import serving_page
from tests.unit.tools.jobs.dioptra import Dioptra

from dioptra_worker.provenance.manifest import FileDigest
from dioptra_worker.tools.jobs.ancestors.graph import (
    ArtifactNode,
    JobNode,
    Lineage,
    Read,
)
from dioptra_worker.tools.jobs.page.drawing.lineage_section import lineage_section

if TYPE_CHECKING:
    from dioptra_worker.tools.jobs.page.html import Html

EVIL = "<script>alert(1)</script>\"'&"


def artifact(id_: int, job: int) -> ArtifactNode:
    """An artifact that a job has made."""
    return ArtifactNode(id=id_, job=job, uri=f"s3://b/{id_}.csv")


def job(id_: int, *reads: int, name: str = "train") -> JobNode:
    """A job that has read artifacts."""
    return JobNode(
        id=id_,
        status="finished",
        entrypoint=name,
        reads=tuple(Read(name=f"in{it}", artifact=it, snapshot=1) for it in reads),
    )


def lineage(*jobs: JobNode, makers: dict[int, int], left_out: str = "") -> Lineage:
    """The lineage of the first of some jobs."""
    return Lineage(
        job=jobs[0].id,
        jobs={it.id: it for it in jobs},
        artifacts={id_: artifact(id_, maker) for id_, maker in makers.items()},
        left_out=left_out,
    )


def drawn(section: Html) -> ET.Element:
    """The picture, which is well formed."""
    found = re.search(r"<svg.*</svg>", section, re.DOTALL)
    assert found is not None
    return ET.fromstring(found[0])  # noqa: S314 - our own


def tops(picture: ET.Element) -> dict[str, float]:
    """How far from the top each box is, by its title."""
    return {
        box.findtext("title", "").partition(":")[0]: float(rect.attrib["y"])
        for box in picture.iter("g")
        if (rect := box.find("rect")) is not None
    }


def test_causes_are_below_what_came_of_them() -> None:
    """A job that was read of at two distances is below both, and nothing overlaps."""
    found = lineage(
        job(30, 21, 12),
        job(20, 11),
        job(10),
        makers={21: 20, 12: 10, 11: 10},
    )
    picture = drawn(lineage_section(found))
    at = tops(picture)
    assert at["job 30"] < at["artifact 21"] < at["job 20"] < at["artifact 11"]
    assert at["artifact 11"] < at["job 10"]
    assert at["artifact 12"] == at["artifact 21"]  # below what has read them
    boxes = [
        (float(it.attrib["x"]), float(it.attrib["y"])) for it in picture.iter("rect")
    ]
    assert len(set(boxes)) == len(boxes) == 6
    width, height = (float(picture.attrib[it]) for it in ("width", "height"))
    assert all(0 <= x < width and 0 <= y < height for x, y in boxes)
    assert len(list(picture.iter("path"))) == 6
    links = {it.attrib["href"] for it in picture.iter("a")}
    assert {"/jobs/10", "/jobs/20", "/jobs/30", "/artifacts/21"} < links
    assert all(it.attrib["aria-label"] for it in picture.iter("a"))


def test_the_same_in_words() -> None:
    """A sentence for everything that was read, with links to the jobs."""
    found = lineage(job(20, 11), job(10), makers={11: 10})
    plain = re.sub("<[^>]*>", "", lineage_section(found))
    words = (
        "job 20: train, finished has read artifact 11: 11.csv as in11,"
        " made by job 10: train, finished."
    )
    assert words in plain


def test_nothing_is_drawn_of_a_job_that_has_read_nothing() -> None:
    """There is nothing to see."""
    assert lineage_section(lineage(job(20), makers={})) == ""


def test_what_is_missing_is_told() -> None:
    """Jobs that are left out or deleted, and bytes that were changed."""
    file = FileDigest(path="11.csv", size=1, sha256="1" * 64)
    other = FileDigest(path="11.csv", size=1, sha256="2" * 64)
    gone = JobNode(id=10, is_deleted=True, wrote={"s3://b/11.csv": (file,)})
    reader = JobNode(
        id=20, reads=(Read(name="data", artifact=11, snapshot=1, files=(other,)),)
    )
    section = lineage_section(lineage(reader, gone, makers={11: 10}))
    assert 'class="job gone"' in section
    assert 'class="changed"' in section
    assert "and not as that had written it" in section
    assert '"/jobs/10"' not in section
    left_out = "jobs beyond the nearest 1"
    section = lineage_section(lineage(job(20, 11), makers={11: 10}, left_out=left_out))
    assert "made by job 10, which is left out" in section
    assert "Left out: jobs beyond the nearest 1." in section


def test_a_circle_is_drawn() -> None:
    """What no platform says does not keep the page from its end."""
    found = lineage(job(20, 11), job(10, 21), makers={11: 10, 21: 20})
    assert len(list(drawn(lineage_section(found)).iter("rect"))) == 4


@pytest.fixture(name="dioptra")
def _dioptra() -> Dioptra:
    dioptra = Dioptra()
    dioptra.put(7, ("queued", 0), ("started", 1), ("finished", 2), name=EVIL)
    dioptra.put(8, ("queued", 2), ("started", 3), ("finished", 5))
    dioptra.put_artifact(11, EVIL, Answer(body=b"x"))
    dioptra.jobs[8]["artifactValues"] = {EVIL: {"id": 11, "snapshotId": 1011}}
    return dioptra


def test_on_the_page(dioptra: Dioptra) -> None:
    """A job that has read something has the section, with nothing of others in it."""
    with serving_page(dioptra) as browser:
        page = browser.get("/jobs/8").text
        assert '<h2 id="lineage">' not in browser.get("/jobs/7").text
        assert '<h2 id="lineage">' in page
        assert "<script>alert" not in page
        assert 'href="/jobs/7" aria-label="job 7: &lt;script&gt;' in page
        # What an ancestor's record has wrong is no reason to show nothing.
        dioptra.jobs[7]["status"] = 5
        page = browser.get("/jobs/8").text
    assert '<h2 id="lineage">Lineage</h2><p class="note">It cannot be told: ' in page
    assert 'id="log"' in page
