"""What a job's results came from, as a picture: SVG, coloured by the style sheet.

The job is at the top. Below it are the artifacts that it has read, below those the jobs
that made them, and so on. The same stands below the picture in sentences.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from dioptra_worker.tools.jobs.page.drawing.layers import Line, Spot, layers
from dioptra_worker.tools.jobs.page.html import NOTHING, Html, fill, join

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dioptra_worker.tools.jobs.ancestors.graph import (
        ArtifactNode,
        JobNode,
        Lineage,
        Read,
    )

MAX_JOBS = 24
"""Jobs of a picture: more are not seen at a glance, and take a second to read."""
_WIDTH, _HEIGHT = 172, 46
_GAP, _ROW = 18, 84
_EDGE = 6
_Key = tuple[str, int]
"""``job`` or ``artifact``, and its id."""
_CHARACTERS = 20
"""Characters that have room in a box."""

_SECTION = """\
<section class="card" aria-labelledby="lineage"><h2 id="lineage">Lineage</h2>
{picture}{note}
<details><summary>The same in words</summary>
<ul>
{sentences}
</ul></details>
</section>"""

_PICTURE = """\
<div class="lineage"><svg viewBox="0 0 {width} {height}" width="{width}"
 height="{height}" role="group" aria-label="What job {job} came from">
{lines}
{boxes}
</svg></div>"""

_LINE = '<path class="{kind}" d="{way}"/>'

_BOX = """\
<g class="{kind}"><title>{title}</title>
<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{round}"/>
<text x="{middle}" y="{first}"><tspan class="name">{name}</tspan></text>
<text x="{middle}" y="{second}"><tspan>{words}</tspan></text></g>"""

_LINK = '<a href="{address}" aria-label="{title}">\n{box}</a>'


def lineage_section(lineage: Lineage) -> Html:
    """What a job came from, as a picture and in words; nothing if it has read nothing.

    Args:
        lineage: That of the job.
    """
    if not lineage.artifacts:
        return NOTHING
    note = f"Left out: {lineage.left_out}. 'dioptra-worker lineage' tells all."
    return fill(
        _SECTION,
        picture=_picture(lineage),
        note=fill('<p class="note">{words}</p>', words=note)
        if lineage.left_out
        else NOTHING,
        sentences=join(_sentences(lineage)),
    )


def trouble_section(sentence: str) -> Html:
    """The section where the lineage cannot be read.

    Args:
        sentence: Why not.
    """
    return fill(
        '<section class="card" aria-labelledby="lineage"><h2 id="lineage">Lineage</h2>'
        '<p class="note">It cannot be told: {why}</p></section>',
        why=sentence,
    )


def _picture(lineage: Lineage) -> Html:
    lines = _lines(lineage)
    placed = layers(_rows(lineage), lines)
    boxes = [
        *(_job_box(it, placed.boxes["job", it.id]) for it in lineage.jobs.values()),
        *(
            _artifact_box(it, placed.boxes["artifact", it.id])
            for it in lineage.artifacts.values()
        ),
    ]
    return fill(
        _PICTURE,
        job=lineage.job,
        width=f"{placed.columns * (_WIDTH + _GAP) - _GAP + 2 * _EDGE:g}",
        height=f"{(placed.rows - 1) * _ROW + _HEIGHT + 2 * _EDGE:g}",
        lines=join(
            fill(_LINE, kind=lines[line], way=_way(spots))
            for line, spots in placed.lines.items()
        ),
        boxes=join(boxes),
    )


def _rows(lineage: Lineage) -> list[list[_Key]]:
    """The jobs and artifacts of each row, those of jobs and of artifacts in turn."""
    levels = _levels(lineage)
    rows: list[list[_Key]] = [[] for _ in range(2 * max(levels.values()) + 2)]
    below: dict[int, int] = {}
    for job in lineage.jobs.values():
        rows[2 * levels[job.id]].append(("job", job.id))
        for read in job.reads:
            row = 2 * levels[job.id] + 1
            below[read.artifact] = max(below.get(read.artifact, 0), row)
    for artifact, row in below.items():
        rows[row].append(("artifact", artifact))
    return [row for row in rows if row]


def _levels(lineage: Lineage) -> dict[int, int]:
    """How far each job is from the result: one further than any that has read of it."""
    levels = dict.fromkeys(lineage.jobs, 0)
    for _ in lineage.jobs:  # so often at most, even if what is told goes in a circle
        changed = False
        for job in lineage.jobs.values():
            for read in job.reads:
                maker = lineage.artifacts[read.artifact].job
                level = levels[job.id] + 1
                if maker in levels and levels[maker] < level < len(levels):
                    levels[maker] = level
                    changed = True
        if not changed:
            break
    return levels


def _lines(lineage: Lineage) -> dict[Line, str]:
    """What joins which boxes, the upper one first: that it was read, or made."""
    levels = _levels(lineage)
    found: dict[Line, str] = {}
    lowest: dict[int, int] = {}
    for job in lineage.jobs.values():
        for read in job.reads:
            changed = lineage.is_as_written(read) is False
            line = ("job", job.id), ("artifact", read.artifact)
            found[line] = "changed" if changed else "plain"
            level = max(lowest.get(read.artifact, 0), levels[job.id])
            lowest[read.artifact] = level
    for node in lineage.artifacts.values():
        # Where what is told goes in a circle, the line that closes it is not drawn.
        if node.job in levels and levels[node.job] > lowest.get(node.id, 0):
            found[("artifact", node.id), ("job", node.job)] = "plain"
    return found


def _way(spots: Sequence[Spot]) -> str:
    """A line from box to box, straight where it passes a row."""
    words: list[str] = []
    for upper, lower in itertools.pairwise(spots):
        begin, end = _top(upper) + _HEIGHT, _top(lower)
        x, to, half = _middle(upper), _middle(lower), (begin + end) / 2
        words.append(f"{'L' if words else 'M'}{x:g} {begin:g}")
        words.append(f"C{x:g} {half:g} {to:g} {half:g} {to:g} {end:g}")
    return " ".join(words)


def _left(spot: Spot) -> float:
    return _EDGE + spot.column * (_WIDTH + _GAP)


def _middle(spot: Spot) -> float:
    return _left(spot) + _WIDTH / 2


def _top(spot: Spot) -> float:
    return _EDGE + spot.row * _ROW


def _job_box(job: JobNode, spot: Spot) -> Html:
    box = _box(
        spot,
        kind="job gone" if job.is_deleted else f"job {job.status}",
        name=f"Job {job.id}",
        words=job.entrypoint or _fate(job),
        title=_job_words(job),
        corner=8,
    )
    return box if job.is_deleted else _linked(f"/jobs/{job.id}", _job_words(job), box)


def _artifact_box(node: ArtifactNode, spot: Spot) -> Html:
    gone = node.is_deleted or node.is_unknown
    box = _box(
        spot,
        kind="artifact gone" if gone else "artifact",
        name=node.file_name or f"Artifact {node.id}",
        words=f"artifact {node.id}",
        title=_artifact_words(node),
        corner=_HEIGHT / 2,
    )
    if not node.job:
        return box
    return _linked(f"/artifacts/{node.id}", _artifact_words(node), box)


def _box(
    spot: Spot, *, kind: str, name: str, words: str, title: str, corner: float
) -> Html:
    return fill(
        _BOX,
        kind=kind,
        title=title,
        x=f"{_left(spot):g}",
        y=f"{_top(spot):g}",
        width=_WIDTH,
        height=_HEIGHT,
        round=f"{corner:g}",
        middle=f"{_middle(spot):g}",
        first=f"{_top(spot) + 20:g}",
        second=f"{_top(spot) + 36:g}",
        name=_cut(name),
        words=_cut(words),
    )


def _linked(address: str, title: str, box: Html) -> Html:
    return fill(_LINK, address=address, title=title, box=box)


def _cut(text: str) -> str:
    short = text if len(text) <= _CHARACTERS else f"{text[: _CHARACTERS - 1]}…"
    return short.strip()


def _fate(job: JobNode) -> str:
    return "deleted" if job.is_deleted else job.status


def _job_words(job: JobNode) -> str:
    words = [job.entrypoint, job.status, "deleted" if job.is_deleted else ""]
    return f"job {job.id}: {', '.join(word for word in words if word)}"


def _artifact_words(node: ArtifactNode) -> str:
    words = [
        node.file_name,
        "its contents were deleted" if node.is_deleted else "",
        "the REST API has no record of it" if node.is_unknown else "",
    ]
    return f"artifact {node.id}: {', '.join(word for word in words if word)}"


def _sentences(lineage: Lineage) -> Iterable[Html]:
    """One for everything that was read."""
    for job in lineage.jobs.values():
        for read in job.reads:
            yield _sentence(lineage, job, read)


def _sentence(lineage: Lineage, job: JobNode, read: Read) -> Html:
    node = lineage.artifacts[read.artifact]
    maker = lineage.jobs.get(node.job)
    made = NOTHING
    if maker is not None:
        made = join([Html(", made by "), _job_link(maker)], "")
    elif node.job:
        made = fill(", made by job {id}, which is left out", id=node.job)
    changed = lineage.is_as_written(read) is False
    return fill(
        "<li>{job} has read {artifact} as {name}{made}{changed}.</li>",
        job=_job_link(job),
        artifact=_artifact_words(node),
        name=read.name,
        made=made,
        changed=", and not as that had written it" if changed else "",
    )


def _job_link(job: JobNode) -> Html:
    words = _job_words(job)
    if job.is_deleted:
        return fill("{words}", words=words)
    return fill('<a href="/jobs/{id}">{words}</a>', id=job.id, words=words)
