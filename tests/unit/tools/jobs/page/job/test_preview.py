"""Artifacts are shown in part, whatever they are, and nothing of them runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.unit.api.scripted import Answer
from tests.unit.tools.jobs.browsing import Browser, serving_page
from tests.unit.tools.jobs.dioptra import Dioptra

from dioptra_worker.tools.jobs.page.job import preview

if TYPE_CHECKING:
    from collections.abc import Iterator

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(3)">{EVIL}</svg>'
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


@pytest.fixture(name="dioptra")
def _dioptra() -> Dioptra:
    dioptra = Dioptra()
    dioptra.put(7, ("queued", 0), ("finished", 5))
    return dioptra


@pytest.fixture(name="browser")
def _browser(dioptra: Dioptra) -> Iterator[Browser]:
    with serving_page(dioptra) as browser:
        yield browser


def _shown(dioptra: Dioptra, browser: Browser, name: str, data: bytes) -> str:
    dioptra.put_artifact(83, name, Answer(body=data))
    found = browser.get("/jobs/7/artifacts/83/preview")
    assert found.status == 200
    assert found.headers["Content-Type"] == "text/html; charset=utf-8"
    return found.text.partition("What it holds")[2]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.html", EVIL.encode()),
        ("a.svg", SVG.encode()),
        ("a.json", json.dumps({EVIL: EVIL}).encode()),
        ("a.json", EVIL.encode()),
        ("a.csv", f"{EVIL},b\n1,{EVIL}\n".encode()),
        ("a.tsv", EVIL.encode()),
        ("a.txt", EVIL.encode()),
        ("a", b"\xef\xbb\xbf" + EVIL.encode()),
        ("a.png", EVIL.encode()),
        (f"{EVIL.replace('/', '')}.txt", b"x"),
    ],
)
def test_nothing_runs(
    name: str, data: bytes, dioptra: Dioptra, browser: Browser
) -> None:
    """What holds markup is text, whatever it is called."""
    shown = _shown(dioptra, browser, name, data)
    assert "<script" not in shown
    assert "<img src=x" not in shown
    assert "<svg" not in shown


def test_json(dioptra: Dioptra, browser: Browser) -> None:
    """JSON is indented; what is none is text."""
    shown = _shown(dioptra, browser, "a.JSON", b'{"a":{"b":[1,"x"]}}')
    assert "{\n  &quot;a&quot;: {\n    &quot;b&quot;: [" in shown
    assert "{&quot;a&quot;: NaN" in _shown(dioptra, browser, "a.json", b'{"a": NaN,')
    deep = b"[" * 200_000
    assert "[[[[" in _shown(dioptra, browser, "a.json", deep)


def test_table(dioptra: Dioptra, browser: Browser) -> None:
    """CSV is a table, of which no more is shown than a page holds."""
    shown = _shown(dioptra, browser, "a.csv", b'name,"loss, last"\nx,"1\n2"\n')
    assert '<th scope="col">loss, last</th>' in shown
    assert "<td>1\n2</td>" in shown
    assert "More rows" not in shown
    many = ("," * 99 + "\n") * 5000
    shown = _shown(dioptra, browser, "a.csv", many.encode())
    assert shown.count("<tr>") == preview._MAX_ROWS
    assert shown.count("<td>") + shown.count("<th ") == 40 * preview._MAX_ROWS
    assert "More rows or columns are there" in shown
    field = b"a," + b"x" * 200_000
    assert "xxx" in _shown(dioptra, browser, "a.csv", field)
    assert "It is empty" in _shown(dioptra, browser, "a.csv", b"")


def test_text_is_cut(dioptra: Dioptra, browser: Browser) -> None:
    """Of a long text its beginning is shown, up to a whole character."""
    shown = _shown(dioptra, browser, "a.log", "ö".encode() * preview.MAX_TEXT_BYTES)
    assert shown.count("ö") == preview.MAX_TEXT_BYTES // 2
    assert "\N{REPLACEMENT CHARACTER}" not in shown
    assert "These are the first" in shown


@pytest.mark.parametrize("data", [bytes(100), bytes(range(128, 256)) * 3])
def test_binary(data: bytes, dioptra: Dioptra, browser: Browser) -> None:
    """What is no text is not shown as one."""
    assert "no text, table or image" in _shown(dioptra, browser, "model.bin", data)


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "image/jpeg"),
        (b"GIF89a" + bytes(20), "image/gif"),
        (b"RIFF0000WEBPVP8 ", "image/webp"),
    ],
)
def test_image(
    data: bytes, content_type: str, dioptra: Dioptra, browser: Browser
) -> None:
    """An image is one by its first bytes, and is sent as what it is."""
    shown = _shown(dioptra, browser, "plot", data)
    assert 'src="/jobs/7/artifacts/83/image" alt="plot"' in shown
    found = browser.get("/jobs/7/artifacts/83/image")
    assert (found.status, found.body) == (200, data)
    assert found.headers["Content-Type"] == content_type
    assert "default-src 'none'" in found.headers["Content-Security-Policy"]
    assert found.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("data", [SVG.encode(), EVIL.encode(), b"", b"\x89PNG"])
def test_what_is_no_image_is_not_sent_as_one(
    data: bytes, dioptra: Dioptra, browser: Browser
) -> None:
    """Nothing that a browser could run comes from the address of an image."""
    dioptra.put_artifact(83, "plot.png", Answer(body=data))
    found = browser.get("/jobs/7/artifacts/83/image")
    assert found.status == 404
    assert "alert(" not in found.text
    assert "no image" in found.text


def test_large_image(
    dioptra: Dioptra, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that is too large is told, not sent in part."""
    monkeypatch.setattr(preview, "MAX_IMAGE_BYTES", 20)
    dioptra.put_artifact(83, "plot.png", Answer(body=PNG))
    assert browser.get("/jobs/7/artifacts/83/image").status == 404
    shown = browser.get("/jobs/7/artifacts/83/preview").text
    assert "too large to be shown" in shown
    assert "<img class" not in shown


def test_on_the_page_of_the_job(dioptra: Dioptra, browser: Browser) -> None:
    """Each file has a link to its preview, and small images are there at once."""
    dioptra.put_artifact(83, "plot.png", Answer(body=PNG))
    dioptra.put_artifact(84, "more", Answer(), is_dir=True)
    dioptra.put_artifact(85, "gone.png", Answer(), description="DELETED by ada")
    page = browser.get("/jobs/7").text
    assert 'href="/jobs/7/artifacts/83/preview"' in page
    assert page.count("/image") == 1
    assert "/jobs/7/artifacts/84/preview" not in page


def test_what_has_no_preview(dioptra: Dioptra, browser: Browser) -> None:
    """A folder, an artifact of another job and one that is gone are told."""
    dioptra.put_artifact(84, "more", Answer(), is_dir=True)
    assert "A folder" in browser.get("/jobs/7/artifacts/84/preview").text
    assert browser.get("/jobs/7/artifacts/84/image").status == 404
    for path in ("/jobs/7/artifacts/99/preview", "/jobs/7/artifacts/99/image"):
        assert browser.get(path).status == 404
    assert browser.get("/jobs/7/artifacts/84/other").status == 404
