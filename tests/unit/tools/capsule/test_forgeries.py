"""What somebody may put into a capsule, or say as a job, and what is believed of it."""

from __future__ import annotations

import dataclasses
import io
import json
import struct
import zipfile
from concurrent.futures import Future
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from tests.plugins.example_job import ROOT, ExampleJob, file_digest

from dioptra_worker.cli.main import main
from dioptra_worker.daemon.job.running.output_artifacts import OutputArtifacts
from dioptra_worker.evidence import keys, verification
from dioptra_worker.evidence.predicates import MANIFEST, subjects_of
from dioptra_worker.evidence.signing import Signer
from dioptra_worker.protocol.messages import ArtifactStored, OutputFile
from dioptra_worker.provenance.manifest import OutputFacts, artifact_folder
from dioptra_worker.provenance.receipt import Held
from dioptra_worker.supervision.channel.message_limits import (
    MessageChecks,
    NotBelieved,
)
from dioptra_worker.tools.capsule import archive, layout, verifying
from dioptra_worker.tools.capsule.errors import BadCapsule
from dioptra_worker.tools.capsule.making import Point, Record, make
from dioptra_worker.tools.capsule.opening import Capsule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = keys.generate()


def _with_output(*files: str, uri: str = f"{ROOT}/scaled/model") -> ExampleJob:
    """A job whose output is a folder with some files."""

    class Job(ExampleJob):
        def output(self, one: OutputFacts, target: Path) -> None:
            del one
            for name in files:
                (target / "model").mkdir(exist_ok=True)
                (target / "model" / name).write_bytes(b"1")

    job = Job()
    digests = tuple(file_digest(name, b"1") for name in files)
    output = OutputFacts(name="scaled", uri=uri, files=digests)
    job.__dict__["facts"] = dataclasses.replace(job.facts, outputs=(output,))
    return job


@pytest.mark.parametrize(
    "uri",
    [
        f"{ROOT}/dioptra/manifest.json",
        f"{ROOT}/%64ioptra/manifest.json",
        f"{ROOT}/dioptra",
        f"{ROOT}//dioptra/manifest.json",
        f"{ROOT}/%2Fdioptra/manifest.json",
        f"{ROOT}/scaled/../dioptra/manifest.json",
    ],
)
def test_a_job_has_nothing_in_the_workers_folder(uri: str) -> None:
    """It could have the worker sign a manifest of its own."""
    output = {"task": {"name": "Keep"}}
    task = SimpleNamespace(name="Keep", plugin_snapshot_id=1, task_id=2)
    plan = SimpleNamespace(
        config={"artifact_outputs": {"scaled": output}}, artifact_tasks=[task]
    )
    prepared: Future[Any] = Future()
    prepared.set_result(SimpleNamespace(plan=plan, worker_run="0-1", group_id=1))
    artifacts = OutputArtifacts(prepared)
    artifacts.uri = ROOT
    stored = ArtifactStored(name="scaled", uri=uri, plugin_snapshot_id=0, task_id=0)
    with pytest.raises(NotBelieved, match="does not lie at"):
        artifacts.labelled(stored)
    good = dataclasses.replace(stored, uri=f"{ROOT}/scaled//model%2F%2Fx/")
    assert artifacts.labelled(good).task_id == 2


def test_no_output_stands_for_the_manifest() -> None:
    """Whatever an output's address is, the manifest's digest is the manifest's."""
    job = _with_output("manifest.json", uri=f"{ROOT}/dioptra")
    signed = subjects_of(job.facts, job.manifest())
    honest = subjects_of(ExampleJob().facts, job.manifest())
    assert list(signed) == [MANIFEST]
    assert signed[MANIFEST] == honest[MANIFEST]
    for name in ("dioptra", "dioptra/scores"):  # an artifact may be called so
        assert artifact_folder(name).partition("/")[0] != "dioptra"
    assert artifact_folder("scores/dioptra") == "scores/dioptra"


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/x", "a//x", "a\0", "./a", ""])
def test_paths_that_no_runner_tells(path: str) -> None:
    """What leads out of an artifact would make evidence that nobody can verify."""
    message = OutputFile(artifact="a", path=path, size=1, sha256="0" * 64)
    with pytest.raises(NotBelieved):
        MessageChecks().checked(message)
    MessageChecks().checked(dataclasses.replace(message, path="a/b\u2028 c"))


def test_one_file_counts_for_one(tmp_path: Path) -> None:
    """Of two that were signed with the same digest, one that is missing is missed."""
    (tmp_path / "m.bin").write_bytes(b"x")
    sha256 = file_digest("m.bin", b"x").sha256
    odd = {"a/" + "n" * 300: sha256, "a/\0": sha256, "dioptra/more.bin": sha256}
    found = verification.compare(
        tmp_path, {"a/m.bin": sha256, "b/m.bin": sha256, MANIFEST: sha256, **odd}
    )
    assert found.compared == 1
    assert found.unseen == (MANIFEST,)
    assert [it.partition(":")[0] for it in found.changed] == [
        "a/\0",
        "a/" + "n" * 300,
        "b/m.bin",
        "dioptra/more.bin",
    ]


POINTS = [Point(name="number", value=it, step=at) for at, it in enumerate((3.0, 7.5))]
FALSE = [dataclasses.replace(point, value=9.0) for point in POINTS]
LINE = Record(
    severity="INFO",
    logger="dioptra_worker",
    message="2026-01-01T00:00:02.000000Z anything",
)


@pytest.mark.parametrize(
    ("points", "line", "words"),
    [
        ([*FALSE, Point(name="number", value=1.0, step=2)], None, "1 more than the po"),
        (POINTS, LINE, "1 more than the lines that worker 'w' wrote"),
        (FALSE, None, "a point of 'number' was changed"),
    ],
)
def test_what_was_added_is_told(
    monkeypatch: pytest.MonkeyPatch,
    points: list[Point],
    line: Record | None,
    words: str,
) -> None:
    """One line or point more does not hide that all others were changed."""
    job: Any = ExampleJob()
    log = [*job.log()]
    log[1:1] = [line] if line else []
    source: Any = SimpleNamespace(
        manifest=job.manifest, log=lambda: log, metrics=lambda: points, tag=lambda _: ""
    )
    monkeypatch.setattr(verifying, "_held", lambda *_: Held(lost_lines=0, points={}))
    found = [it.words for it in verifying.verify(source).receipt.missing]
    assert any(words in it for it in found), found


@pytest.mark.parametrize(
    "name", ["a\u2028b", "a\x85b", "a\x1cb", "a\rb", "a\nb", "a\\b"]
)
def test_odd_names_of_honest_files(tmp_path: Path, name: str) -> None:
    """A capsule of them is whole; what it cannot hold is left out, and said so."""
    made = make(_with_output(name, "b"), tmp_path / "odd.zip")
    with Capsule(tmp_path / "odd.zip") as capsule:
        assert capsule.findings() == []
        path = f"outputs/scaled/model/{name}"
        assert (path in capsule.omitted) is not archive.can_hold(name)
        assert made.omitted == tuple(sorted(capsule.omitted))


def test_lists_of_what_was_left_out() -> None:
    """Each name is a line, and comes back."""
    names = frozenset({'outputs/a"b', "outputs/a\nb", "outputs/a\\b", "outputs/ö"})
    text = "".join(f"{layout.omitted_line(name)}\n" for name in names)
    assert layout.omitted_paths(text) == names


def _edited(
    file: Path, name: str, edit: Callable[[str], str], *, target: str = "edited"
) -> Path:
    """A capsule with a file changed, all sums mended."""
    folder = file.parent / target
    with zipfile.ZipFile(file) as packed:
        packed.extractall(folder)
    (folder / layout.SUMS).unlink()
    (folder / name).write_text(edit((folder / name).read_text()))
    archive.write(folder, file.parent / f"{target}.zip")
    return file.parent / f"{target}.zip"


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    """A signed capsule."""
    job = ExampleJob()
    evidence = Signer([KEY]).sign(job.facts, job.manifest())
    make(job.changed(signed=evidence), tmp_path / "good.zip")
    return tmp_path / "good.zip"


ADDED = '{"logger":"dioptra_worker","message":"x %s","severity":"ERROR"}\n'


@pytest.mark.parametrize(
    "edit",
    [
        lambda log: log.replace("the job finished", "the job failed: 0.01"),
        lambda log: ADDED % "the job finished" + log,
        lambda log: log + ADDED % "the job finished",
        lambda log: log + ADDED % "the job failed: retracted",
    ],
)
def test_only_one_end_of_the_log_goes_without_saying(
    file: Path, edit: Callable[[str], str]
) -> None:
    """It is the last line, and says what the manifest does; others are told."""
    with Capsule(file) as capsule:
        assert capsule.uncovered() == []
    with Capsule(_edited(file, layout.LOG, edit)) as capsule:
        (told,) = capsule.uncovered()
        assert "log.jsonl: 1 lines are not in the manifest" in told


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"step":1', '"step":1.9'),
        ('"step":1', '"step":"1"'),
        ('"step":1', '"step":true'),
        ('"value":7.5', '"value":"7.5"'),
        ('"value":7.5', '"value":[]'),
    ],
)
def test_numbers_are_numbers(file: Path, old: str, new: str) -> None:
    """A file with another number than the chain has does not fit it."""
    changed = _edited(file, layout.METRICS, lambda text: text.replace(old, new))
    with Capsule(changed) as capsule:
        assert any("metrics.jsonl: " in it for it in capsule.findings())


def test_archives_that_lead_nowhere(file: Path, tmp_path: Path) -> None:
    """A name that is none, a place that no file has, a graph without an end."""
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as packed:
        packed.writestr(layout.MANIFEST, "{}")
        packed.writestr("x", b"1")
        packed.infolist()[1].filename = ""
    deep = _edited(
        file,
        layout.MANIFEST,
        lambda text: text.replace(
            '"types":{', f'"types":{{"x":{"[" * 600 + "]" * 600},'
        ),
        target="deep",
    )
    for bad in (tmp_path / "empty.zip", deep, _far_away(file)):
        for command in ("verify", "show", "replay"):
            answer = CliRunner().invoke(main, ["capsule", command, str(bad)])
            assert isinstance(answer.exception, SystemExit), (bad, command)
            assert answer.exit_code != 0


def _far_away(file: Path) -> Path:
    """The same archive whose manifest is said to begin behind its end."""
    data = file.read_bytes()
    with zipfile.ZipFile(file) as packed:
        infos, start = packed.infolist(), packed.start_dir
    directory = io.BytesIO()
    for info in infos:
        is_far = info.filename == layout.MANIFEST
        extra = struct.pack("<HHQ", 1, 8, 1 << 62) if is_far else b""
        name = info.filename.encode()
        head = (45, 3, 45, 0, info.flag_bits, info.compress_type, 0, 33, info.CRC)
        sizes = (info.compress_size, info.file_size, len(name), len(extra), 0, 0, 0)
        offset = 0xFFFFFFFF if is_far else info.header_offset
        fixed = struct.pack(
            "<4s4B4HL2L5H2L", b"PK\1\2", *head, *sizes, info.external_attr, offset
        )
        directory.write(fixed + name + extra)
    whole = directory.getvalue()
    end = struct.pack(
        "<4s4H2LH", b"PK\5\6", 0, 0, len(infos), len(infos), len(whole), start, 0
    )
    far = file.with_name("far.zip")
    far.write_bytes(data[:start] + whole + end)
    return far


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("t.csv", b"a" * 200_000, b"b" * 200_000),
        ("t.json", json.dumps([10**400]).encode(), b"[1.5]"),
        ("t.npz", b"PK\3\4first", b"PK\3\4second"),
        ("t.npy", b"\x93NUMPYfirst", b"\x93NUMPYsecond"),
        ("model.pt", b"\0" * (65 << 20), b"\1" * (65 << 20)),
    ],
)
def test_outputs_that_differ_and_cannot_be_compared(
    tmp_path: Path, name: str, first: bytes, second: bytes
) -> None:
    """They differ; whatever is in them, that is what is said."""
    for capsule, data in (("a.zip", first), ("b.zip", second)):
        job = _with_content(name, data)
        make(job, tmp_path / capsule)
    answer = CliRunner().invoke(
        main, ["capsule", "diff", str(tmp_path / "a.zip"), str(tmp_path / "b.zip")]
    )
    assert isinstance(answer.exception, SystemExit), answer.exception
    assert f"artifact outputs/scaled/{name}" in answer.output


def _with_content(name: str, data: bytes) -> ExampleJob:
    class Job(ExampleJob):
        def output(self, one: OutputFacts, target: Path) -> None:
            del one
            (target / name).write_bytes(data)

    job = Job()
    digests = (file_digest(name, data),)
    output = OutputFacts(name="scaled", uri=f"{ROOT}/scaled/{name}", files=digests)
    job.__dict__["facts"] = dataclasses.replace(job.facts, outputs=(output,))
    return job


def test_damage_is_told_of_the_file(file: Path) -> None:
    """What the system says of a place that cannot be read is no crash."""
    with pytest.raises(BadCapsule, match="is damaged"):
        Capsule(_far_away(file))
