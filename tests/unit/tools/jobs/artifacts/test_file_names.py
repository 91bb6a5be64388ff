"""Names of artifacts as names of files."""

from __future__ import annotations

from email.message import Message
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dioptra_worker.api.models import Artifact
from dioptra_worker.tools.jobs.artifacts.file_names import (
    disposition,
    file_name,
    file_names,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("model.pt", "model.pt"),
        ("größe 1.md", "größe 1.md"),
        ("gro\u0308ße.md", "größe.md"),
        ("模型.bin", "模型.bin"),
        ("..", "other"),
        (".", "other"),
        ("", "other"),
        ("...", "other"),
        (" \t ", "other"),
        (".bashrc", "_bashrc"),
        ("../../etc/passwd", "_._.._etc_passwd"),
        ("a\\b", "a_b"),
        ("a\r\nSet-Cookie: x", "a__Set-Cookie_ x"),
        ('say "hi".txt', "say _hi_.txt"),
        ("gpj.\u202eexe", "gpj._exe"),
        ("half\ud800.txt", "half_.txt"),
        ("nul\0.txt", "nul_.txt"),
        ("report.", "report"),
    ],
)
def test_file_name(text: str, name: str) -> None:
    """What leads elsewhere, hides or looks like something else is taken out."""
    assert file_name(text, otherwise="other") == name


@given(st.text())
def test_any_text(text: str) -> None:
    """Whatever it was called, it is one visible file of a folder."""
    name = file_name(text, otherwise="other")
    assert 0 < len(name.encode()) <= 200
    assert "/" not in name
    assert not name.startswith(".")
    assert name.isprintable()
    assert file_name(name, otherwise="other") == name


def test_long_names() -> None:
    """A name that is too long keeps its ending."""
    name = file_name("ü" * 300 + ".json", otherwise="other")
    assert name.endswith("ü.json")
    assert len(name.encode()) <= 200
    assert len(file_name("a." + "b" * 300, otherwise="other")) <= 200


def _artifact(id_: int, uri: str) -> Artifact:
    return Artifact(id=id_, snapshot_id=1, job_id=7, uri=uri, is_dir=False)


def test_one_name_twice() -> None:
    """Artifacts of one name get their ids before it, whatever the case of letters."""
    uris = ("s3://b/x/out.txt", "s3://b/y/Out.txt", "s3://b/z/other.txt", "s3://b/..")
    artifacts = [_artifact(id_, uri) for id_, uri in enumerate(uris, start=7)]
    assert file_names(artifacts) == {
        7: "7-out.txt",
        8: "8-Out.txt",
        9: "other.txt",
        10: "artifact-10",
    }


@given(st.text())
def test_disposition(text: str) -> None:
    """The header is one line of ASCII, and means the name, whatever it is."""
    name = file_name(text, otherwise="other")
    header = disposition(name)
    assert header.isascii()
    assert header.isprintable()
    message = Message()
    message["Content-Disposition"] = header
    assert message.get_content_disposition() == "attachment"
    assert unquote(header.partition("; filename*=UTF-8''")[2]) == name


def test_disposition_of_an_old_browser() -> None:
    """Who knows ASCII only gets a name, too."""
    assert disposition("größe %.md") == (
        "attachment; filename=\"gr__e _.md\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%20%25.md"
    )


def test_a_name_that_another_one_gets() -> None:
    """All differ, also where one is called as another would be made to be."""
    artifacts = [
        Artifact(id=id_, snapshot_id=1, job_id=1, uri=f"s3://b/{name}", is_dir=False)
        for id_, name in ((1, "a"), (2, "A"), (3, "1-a"), (4, "3-1-a"))
    ]
    found = file_names(artifacts)
    assert len({name.casefold() for name in found.values()}) == len(artifacts)
    assert found[2] == "2-A"
