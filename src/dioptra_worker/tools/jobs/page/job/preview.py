"""What an artifact holds, as far as it can be shown: an image, a table, JSON or text.

Whatever an artifact calls itself, nothing of it is run or obeyed: text is escaped, and
HTML and SVG are text; an image is one by its first bytes, and sent as nothing else. No
more is read of it than is shown.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from dioptra_worker.common.text import strict_json
from dioptra_worker.tools.jobs.artifacts.selection import open_contents
from dioptra_worker.tools.jobs.formatting import extent
from dioptra_worker.tools.jobs.page.html import NOTHING, Html, fill, join
from dioptra_worker.tools.resources.errors import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.models import Artifact
    from dioptra_worker.api.session import DownloadStream

MAX_TEXT_BYTES = 512 << 10
"""Of what is shown as text."""
MAX_IMAGE_BYTES = 16 << 20
MAX_SMALL_IMAGE_BYTES = 2 << 20
"""Of an image that stands on the page of its job."""
MAX_SMALL_IMAGES = 12
"""Images on the page of a job."""
_MAX_ROWS, _MAX_COLUMNS, _MAX_LETTERS = 200, 40, 300
_MAX_ODD_SHARE = 0.02
"""Of the characters of what still counts as text."""
_IMAGES = {".png", ".jpg", ".jpeg", ".gif", ".webp"}
_TABLES = {".csv": ",", ".tsv": "\t"}

_PAGE = """\
<p class="crumbs"><a href="/">All jobs</a> / <a href="/jobs/{job}">Job #{job}</a></p>
<div class="title"><h1>{name} <span class="id">#{id} {size}</span></h1>
<div class="buttons">{download}</div></div>
<section class="card preview" aria-label="What it holds">{shown}</section>"""
_IMAGE = (
    '<a href="{page}"><img class="{style}" src="{source}" alt="{name}" loading="lazy">'
    "</a>"
)


def preview_page(job_id: int, artifact: Artifact, shown: Html) -> Html:
    """The page of an artifact.

    Args:
        job_id: The job that it is of.
        artifact: The artifact.
        shown: What it holds, as `preview` shows it.
    """
    download = fill(
        '<a class="button" href="/jobs/{job}/artifacts/{id}">Download</a>',
        job=job_id,
        id=artifact.id,
    )
    return fill(
        _PAGE,
        job=job_id,
        id=artifact.id,
        name=artifact.file_name,
        size=extent(artifact),
        download=NOTHING if artifact.is_deleted else download,
        shown=shown,
    )


def preview_link(job_id: int, artifact: Artifact) -> Html:
    """A link to the page of an artifact."""
    return fill(
        '<a class="download" href="/jobs/{job}/artifacts/{id}/preview"'
        ' aria-label="Preview {name}">Preview</a>',
        job=job_id,
        id=artifact.id,
        name=artifact.file_name,
    )


def may_be_image(artifact: Artifact) -> bool:
    """Whether an artifact calls itself an image, and is small enough for a list."""
    return (
        _ending(artifact) in _IMAGES
        and not artifact.is_dir
        and not artifact.is_deleted
        and artifact.size is not None
        and artifact.size <= MAX_SMALL_IMAGE_BYTES
    )


def image(job_id: int, artifact: Artifact, *, small: bool) -> Html:
    """An image, which leads to its page where it is small."""
    place = f"/jobs/{job_id}/artifacts/{artifact.id}"
    return fill(
        _IMAGE,
        page=f"{place}/preview" if small else place,
        source=f"{place}/image",
        style="small" if small else "whole",
        name=artifact.file_name,
    )


def preview_body(api: DioptraApi, job_id: int, artifact: Artifact) -> Html:
    """The page of an artifact, of which as much is read as is shown.

    Args:
        api: A session with the API.
        job_id: The job that it is of.
        artifact: The artifact.

    Raises:
        NoContents: It was deleted, or the API cannot read it.
        ServiceError: The API refused, or cannot be asked.
    """
    if artifact.is_dir:
        shown = _note("A folder can only be downloaded.")
    else:
        data, whole = start_of(open_contents(api, artifact), MAX_TEXT_BYTES)
        shown = preview(job_id, artifact, data, whole=whole)
    return preview_page(job_id, artifact, shown)


def image_contents(api: DioptraApi, artifact: Artifact) -> tuple[bytes, str]:
    """An image and its content type.

    Raises:
        Unknown: It is no image, or too large a one.
        NoContents: It was deleted, or the API cannot read it.
        ServiceError: The API refused, or cannot be asked.
    """
    data, whole = b"", True
    if not artifact.is_dir:
        data, whole = start_of(open_contents(api, artifact), MAX_IMAGE_BYTES)
    content_type = image_type(data)
    if content_type is None or not whole:
        limit = f"none of less than {MAX_IMAGE_BYTES >> 20} MiB"
        raise Unknown(f"artifact {artifact.id} is no image, or {limit}")
    return data, content_type


def start_of(stream: DownloadStream, limit: int) -> tuple[bytes, bool]:
    """Read the beginning of a download, and no more of it.

    Args:
        stream: The download; it is closed.
        limit: How many bytes are wanted.

    Returns:
        The beginning, and whether that is all.

    Raises:
        ServiceUnavailable: It broke off.
    """
    found = bytearray()
    with stream:
        for piece in stream:
            found += piece
            if len(found) > limit:
                return bytes(found[:limit]), False
    return bytes(found), True


def image_type(data: bytes) -> str | None:
    """The content type of an image that a browser shows, by how it begins."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def preview(job_id: int, artifact: Artifact, data: bytes, *, whole: bool) -> Html:
    """Show what an artifact holds.

    Args:
        job_id: The job that it is of.
        artifact: The artifact, which is a file.
        data: How it begins.
        whole: Whether that is all.
    """
    if image_type(data):
        if (artifact.size or 0) > MAX_IMAGE_BYTES:
            return _note("This image is too large to be shown: download it.")
        return image(job_id, artifact, small=False)
    text = _text(data, whole=whole)
    if text is None:
        return _note("What it holds is no text, table or image that can be shown here.")
    if not text:
        return _note("It is empty.")
    ending = _ending(artifact)
    if ending in _TABLES:
        return _table(artifact.file_name, text, _TABLES[ending], whole=whole)
    if ending == ".json" and whole:
        text = _indented(data) or text
    more = _note(f"These are the first {len(data):,} bytes: download it for the rest.")
    return fill(
        '<pre tabindex="0">{text}</pre>{more}',
        text=text,
        more=NOTHING if whole else more,
    )


def _ending(artifact: Artifact) -> str:
    return PurePosixPath(artifact.file_name).suffix.lower()


def _text(data: bytes, *, whole: bool) -> str | None:
    """Data as text; None if it is none."""
    if b"\0" in data:
        return None
    text = data.decode("utf-8-sig", "replace")
    if not whole:  # which may end within a character
        text = text.rstrip("\N{REPLACEMENT CHARACTER}")
    odd = sum(it == "\N{REPLACEMENT CHARACTER}" for it in text)
    return text if odd <= len(text) * _MAX_ODD_SHARE else None


def _indented(data: bytes) -> str | None:
    """JSON, a member a line; None if it is none."""
    try:
        found = strict_json.loads(data)
    except strict_json.NotJson:
        return None
    text = json.dumps(found, indent=2, ensure_ascii=False)
    # Indenting makes much of what is nested deeply.
    return text if len(text) <= 4 * MAX_TEXT_BYTES else None


def _table(name: str, text: str, separator: str, *, whole: bool) -> Html:
    rows: list[list[str]] = []
    lines = text.splitlines(keepends=True)
    if not whole:
        lines = lines[:-1]  # which may have been cut
    try:
        for row in csv.reader(
            io.StringIO("".join(lines), newline=""), delimiter=separator
        ):
            rows.append(row)
            if len(rows) > _MAX_ROWS:
                break
    except csv.Error:
        return fill('<pre tabindex="0">{text}</pre>', text=text)
    cut = len(rows) > _MAX_ROWS or not whole
    wide = any(len(row) > _MAX_COLUMNS for row in rows)
    note = _note("More rows or columns are there: download it for all of them.")
    head, *rest = rows[:_MAX_ROWS] or [[]]
    return fill(
        '<div class="wide" tabindex="0" role="group" aria-label="{name}"><table>'
        "<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{note}",
        name=name,
        head=_cells('<th scope="col">{text}</th>', head),
        rows=join(
            fill("<tr>{cells}</tr>", cells=_cells("<td>{text}</td>", row))
            for row in rest
        ),
        note=note if cut or wide else NOTHING,
    )


def _cells(template: str, row: Sequence[str]) -> Html:
    return join(
        (fill(template, text=_cut(cell)) for cell in row[:_MAX_COLUMNS]), between=""
    )


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_LETTERS else f"{text[:_MAX_LETTERS]} ..."


def _note(words: str) -> Html:
    return fill('<p class="note">{words}</p>', words=words)


def images(job_id: int, artifacts: Iterable[Artifact]) -> Html:
    """Those of a job's artifacts that call themselves small images."""
    found = [it for it in artifacts if may_be_image(it)][:MAX_SMALL_IMAGES]
    shown = join(image(job_id, it, small=True) for it in found)
    return fill('<p class="images">{shown}</p>', shown=shown) if found else NOTHING
