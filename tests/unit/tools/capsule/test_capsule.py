"""A capsule holds a job, and says what of it was changed."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import struct
import zipfile
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from tests.plugins.example_job import ExampleJob

from dioptra_worker.cli.main import main
from dioptra_worker.evidence import envelope, keys
from dioptra_worker.evidence.errors import NotEvidence
from dioptra_worker.evidence.predicates import statements_of
from dioptra_worker.tools.capsule import layout
from dioptra_worker.tools.capsule.errors import (
    BadCapsule,
    CapsuleError,
    ChangedCapsule,
)
from dioptra_worker.tools.capsule.making import make
from dioptra_worker.tools.capsule.opening import Capsule
from dioptra_worker.tools.capsule.signed import verified_signers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILES = [
    "evidence.dsse",
    "inputs/given/given.json",
    "log.jsonl",
    "manifest.json",
    "metrics.jsonl",
    "outputs/scaled/scaled.json",
    "plugins/artifacts/keeping/numbers.py",
    "plugins/reader-12/keeping/numbers.py",
    "plugins/tasks/scaling/tasks.py",
    "requirements.txt",
    "ro-crate-metadata.json",
    "workflow/entrypoint.yml",
]
KEY = keys.generate()


def signed(job: ExampleJob) -> ExampleJob:
    """The same with its evidence."""
    statements = statements_of(job.facts, job.manifest())
    made = [envelope.signed(one.payload(), [KEY]) for one in statements]
    return job.changed(signed=envelope.write(made))


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    """A capsule."""
    make(signed(ExampleJob()), tmp_path / "42.crate.zip")
    return tmp_path / "42.crate.zip"


def findings(file: Path) -> list[str]:
    """What of a capsule was changed."""
    with Capsule(file) as capsule:
        try:
            capsule.check()
        except ChangedCapsule as error:
            return list(error.findings)
    return []


def test_it_holds_the_job_and_is_as_it_was(file: Path) -> None:
    """All files are there, nothing was changed, and its evidence is about it."""
    with Capsule(file) as capsule:
        assert capsule.archive.names == sorted([*FILES, layout.SUMS])
        capsule.check()
        assert capsule.archive.is_as_written() is True
        assert verified_signers(capsule, [KEY.public]) == (KEY.public.id,)
        assert [point.value for point in capsule.metrics] == [3.0, 7.5]


def test_the_same_job_gives_the_same_bytes(file: Path, tmp_path: Path) -> None:
    """Two capsules of a job can be told to be one by their digest."""
    with Capsule(file) as capsule:
        job = ExampleJob(signed=capsule.evidence)
    make(job, tmp_path / "again.crate.zip")
    assert (tmp_path / "again.crate.zip").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_named(file: Path, tmp_path: Path, name: str) -> None:
    """Whichever file has another byte, with its sum mended or not, it is named."""
    for mended in (False, True):
        changed = _with(file, tmp_path, name, _flipped, mended=mended)
        said = findings(changed)
        if mended and name in {layout.EVIDENCE, layout.CRATE, layout.MANIFEST}:
            continue  # the sums are no signature
        assert [it.partition(":")[0] for it in said] == [name]


CLASSES = {
    "artifact": (
        "outputs/scaled/scaled.json",
        b"7.5",
        "outputs/scaled/scaled.json: it",
    ),
    "input": ("inputs/given/given.json", b"2.5", "inputs/given/given.json: it was"),
    "plugin": ("plugins/tasks/scaling/tasks.py", b"factor", "plugins/tasks/scaling/"),
    "log line": (
        layout.LOG,
        b"scaled 2",
        "log.jsonl: a line of worker 'w' was changed",
    ),
    "metric": (layout.METRICS, b"7.5", "metrics.jsonl: a point of metric 'number' was"),
    "parameter": (layout.MANIFEST, b'"value":3.0', "factor was 3.0 and is 3.1"),
    "package": (layout.LOCK, b"click", "requirements.txt: these are other packages"),
    "graph": (layout.GRAPH, b"scale", "workflow/entrypoint.yml: this is another task"),
    "log's chain": (layout.MANIFEST, b'"lines":2', "log lines was 2 and is 3"),
    "envelope": (layout.EVIDENCE, b'"payload":"', "what is signed, or the signature"),
    "signature": (layout.EVIDENCE, b'"sig":"', "what is signed, or the signature"),
    "key id": (layout.EVIDENCE, b'"keyid":"', "the id of the key that signed it was"),
}
"""Of each class of bytes: the file, what stands before the byte, and what is said."""


@pytest.mark.parametrize("what", CLASSES)
def test_each_class_of_bytes_is_flipped(file: Path, tmp_path: Path, what: str) -> None:
    """Though all sums are mended, who has the worker's key is told what was changed."""
    name, before, words = CLASSES[what]

    def flipped(data: bytes) -> bytes:
        at = data.index(before) + len(before) - (before[-1:] != b'"')
        # What is no base64 any more is not a changed signature, but an unreadable one.
        bit = next(bit for bit in (1, 2, 64) if chr(data[at] ^ bit).isalnum())
        return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]

    changed = _with(file, tmp_path, name, flipped, mended=True)
    public = tmp_path / "evidence.pub"
    public.write_text(KEY.public.pem())
    verify = ["capsule", "verify", "--key", str(public)]
    assert CliRunner().invoke(main, [*verify, str(file)]).exit_code == 0
    result = CliRunner().invoke(main, [*verify, str(changed)])
    assert result.exit_code == 1
    assert words in result.output
    assert "verified" not in result.output.replace("no signature was verified", "")


def test_evidence_tells_of_a_forged_manifest(file: Path, tmp_path: Path) -> None:
    """Who makes a whole other capsule has no signature of it."""

    def better(data: bytes) -> bytes:
        return data.replace(b'"user":"ada"', b'"user":"eve"')

    forged = _with(file, tmp_path, layout.MANIFEST, better, mended=True)
    assert findings(forged) == []
    with Capsule(forged) as capsule, pytest.raises(NotEvidence, match="another"):
        verified_signers(capsule, [KEY.public])


def test_evidence_of_its_own_is_compared_with_it(file: Path, tmp_path: Path) -> None:
    """Evidence beside a capsule is about this one, whole, or it is said."""
    evidence, public = tmp_path / "42.dsse", tmp_path / "evidence.pub"
    with Capsule(file) as capsule:
        evidence.write_bytes(capsule.evidence or b"")
    public.write_text(KEY.public.pem())
    words = ["evidence", "verify", str(evidence), "--key", str(public), "--capsule"]
    assert CliRunner().invoke(main, [*words, str(file)]).exit_code == 0
    other = tmp_path / "43.crate.zip"
    make(ExampleJob(factor=4.0), other)
    result = CliRunner().invoke(main, [*words, str(other)])
    assert result.exit_code == 1
    assert "another manifest than manifest.json was signed" in result.output
    changed = _with(file, tmp_path, "log.jsonl", _flipped, mended=False)
    result = CliRunner().invoke(main, [*words, str(changed)])
    assert result.exit_code == 1
    assert result.output.startswith("log.jsonl: it was changed")


def test_every_byte_of_the_archive_counts(file: Path) -> None:
    """With any byte of the file turned over it is no capsule, or one that says it."""
    data = file.read_bytes()
    for place in range(0, len(data), 211):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        file.write_bytes(changed)
        try:
            assert findings(file), place
        except BadCapsule:
            continue


def test_a_line_or_a_point_that_is_missing_is_counted(
    file: Path, tmp_path: Path
) -> None:
    """With all sums mended, the manifest still knows how many there were."""

    def shorter(data: bytes) -> bytes:
        return data.partition(b"\n")[2]

    log = _with(file, tmp_path, layout.LOG, shorter, mended=True)
    assert findings(log) == ["log.jsonl: it has 1 lines of the 2 that worker 'w' wrote"]
    metrics = _with(file, tmp_path, layout.METRICS, shorter, mended=True)
    assert findings(metrics) == ["metrics.jsonl: metric 'number' has 1 points of 2"]


def test_a_file_that_is_missing_or_added_is_named(file: Path, tmp_path: Path) -> None:
    """The job's files are all there, and no others."""
    without = _repacked(file, tmp_path, lambda it: it.pop("inputs/given/given.json"))
    assert findings(without) == ["inputs/given/given.json: it is missing"]
    more = _repacked(file, tmp_path, lambda it: it.update({"more.txt": b"more"}))
    assert findings(more) == ["more.txt: it is none of the job's files"]


@pytest.mark.parametrize(
    "name", ["plugins/tasks/scaling/more.py", "plugins/tasks/json.py", "more/a.txt"]
)
def test_a_file_that_was_added_with_its_sum_is_named(
    file: Path, tmp_path: Path, name: str
) -> None:
    """The manifest tells which files are the job's: a module beside them would run."""

    def add(contents: dict[str, bytes]) -> None:
        contents[name] = b"more"
        line = f"{hashlib.sha256(b'more').hexdigest()}  {name}\n"
        contents[layout.SUMS] += line.encode()

    more = _repacked(file, tmp_path, add)
    assert findings(more) == [f"{name}: it is none of the job's files"]


@pytest.mark.parametrize("name", ["plugins/tasks/scaling/tasks.py", layout.LOG])
def test_only_data_can_be_left_out(file: Path, tmp_path: Path, name: str) -> None:
    """What is said to be left out and is no artifact is missing."""

    def leave_out(contents: dict[str, bytes]) -> None:
        del contents[name]
        contents[layout.OMITTED] = told = f"{name}\n".encode()
        lines = contents[layout.SUMS].decode().splitlines(keepends=True)
        lines = [line for line in lines if not line.endswith(f"  {name}\n")]
        lines.append(f"{hashlib.sha256(told).hexdigest()}  {layout.OMITTED}\n")
        contents[layout.SUMS] = "".join(lines).encode()

    assert name in findings(_repacked(file, tmp_path, leave_out))[0]


def test_what_was_written_among_the_records_is_named(
    file: Path, tmp_path: Path
) -> None:
    """A metric of nobody's, and a line of another time between two of the job's."""
    point = b'{"name":"accuracy","step":0,"value":0.99}\n'
    changed = _with(file, tmp_path, layout.METRICS, lambda it: it + point, mended=True)
    assert findings(changed) == ["metrics.jsonl: the manifest has no metric 'accuracy'"]
    line = b'{"logger":"a","message":"2030 forged","severity":"INFO"}\n'

    def between(log: bytes) -> bytes:
        first, *others = log.splitlines(keepends=True)
        return b"".join([first, line, *others])

    changed = _with(file, tmp_path, layout.LOG, between, mended=True)
    (said,) = findings(changed)
    assert said.startswith("log.jsonl: 1 among the job's lines")
    assert "2030 forged" in said


def test_what_nobody_has_signed_is_told(file: Path, tmp_path: Path) -> None:
    """Lines after the job's end are no finding, and are not taken for the job's."""
    with Capsule(file) as capsule:
        assert capsule.uncovered() == []
    line = b'{"logger":"a","message":"2030 accuracy 0.99","severity":"INFO"}\n'
    late = _with(file, tmp_path, layout.LOG, lambda it: it + line, mended=True)
    result = CliRunner().invoke(main, ["capsule", "verify", str(late)])
    assert result.exit_code == 0
    assert "not covered: log.jsonl: 1 lines are not in the manifest" in result.output
    assert "2030 accuracy 0.99" in result.output


def test_the_log_tells_of_this_evidence(file: Path, tmp_path: Path) -> None:
    """The digest that the worker has said is that of the evidence that is there."""
    line = (
        '{"logger":"dioptra_worker","message":"2030 evidence of this job was signed:'
        f' sha256:{"0" * 64}","severity":"INFO"}}\n'
    )
    told = _with(file, tmp_path, layout.LOG, lambda it: it + line.encode(), mended=True)
    assert findings(told) == ["log.jsonl: it tells another digest of evidence.dsse"]


def test_who_packs_it_anew_changes_nothing(file: Path, tmp_path: Path) -> None:
    """The files count: the archive around them may be another."""
    assert findings(_repacked(file, tmp_path, lambda _: None)) == []


def test_data_can_be_left_out(tmp_path: Path) -> None:
    """What was left out is told, and is not missing."""
    made = make(ExampleJob(), tmp_path / "a.crate.zip", with_data=False)
    paths = ("inputs/given/given.json", "outputs/scaled/scaled.json")
    assert (made.omitted, made.omitted_bytes) == (paths, 20)
    assert findings(tmp_path / "a.crate.zip") == []
    made = make(ExampleJob(), tmp_path / "b.crate.zip", max_size=10)
    assert made.omitted == ("inputs/given/given.json",)
    assert findings(tmp_path / "b.crate.zip") == []


def test_no_file_is_replaced(file: Path) -> None:
    """A capsule that is there stays, and nothing is left beside it."""
    before = file.read_bytes()
    with pytest.raises(CapsuleError, match="is there already"):
        make(ExampleJob(), file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    "name", ["../out.txt", "/out.txt", "a/../../out.txt", "a\\b", "a//b", "./a"]
)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    """Nothing is read of an archive with such a name."""
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(BadCapsule, match="unsafe"):
        Capsule(file)


def test_what_is_no_file_or_no_archive_is_refused(tmp_path: Path) -> None:
    """Links, names that are there twice, bombs, and what is no ZIP."""
    file = tmp_path / "a.zip"
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr(link, b"/etc/passwd")
    with pytest.raises(BadCapsule, match="unsafe"):
        Capsule(file)
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            packed.writestr("a", b"2")
    with pytest.raises(BadCapsule, match="twice"):
        Capsule(file)
    file.write_bytes(b"no archive")
    with pytest.raises(BadCapsule, match="no capsule"):
        Capsule(file)


def test_an_archive_that_says_more_than_it_has(tmp_path: Path) -> None:
    """A folder has no content, and a file all that it says to have."""
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr(zipfile.ZipInfo("folder/"), b"payload")
    with pytest.raises(BadCapsule, match="unsafe"):
        Capsule(file)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(layout.MANIFEST, bytes(100))
    told = struct.pack("<L", 100)
    file.write_bytes(file.read_bytes().replace(told, struct.pack("<L", 101)))
    with pytest.raises(BadCapsule, match="1 bytes less than said"):
        Capsule(file)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """A file that has more in it than it says is read no further."""
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(layout.MANIFEST, bytes(10 << 20))
    data = file.read_bytes()
    told = struct.pack("<L", 10 << 20)
    file.write_bytes(data.replace(told, struct.pack("<L", 100)))
    with pytest.raises(BadCapsule):
        Capsule(file)


def _flipped(data: bytes) -> bytes:
    digits = (place for place, byte in enumerate(data) if chr(byte).isdigit())
    at = next(digits, len(data) // 2)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _with(
    file: Path,
    folder: Path,
    name: str,
    change: Callable[[bytes], bytes],
    *,
    mended: bool,
) -> Path:
    """The capsule with one file changed, and its sum if need be."""

    def changed(contents: dict[str, bytes]) -> None:
        before = hashlib.sha256(contents[name]).hexdigest()
        contents[name] = change(contents[name])
        after = hashlib.sha256(contents[name]).hexdigest()
        if mended:
            sums = contents[layout.SUMS]
            old, new = (f"{digest}  {name}\n".encode() for digest in (before, after))
            contents[layout.SUMS] = sums.replace(old, new)

    return _repacked(file, folder, changed)


def _repacked(
    file: Path, folder: Path, change: Callable[[dict[str, bytes]], object]
) -> Path:
    """The capsule with other contents."""
    with zipfile.ZipFile(file) as packed:
        contents = {name: packed.read(name) for name in packed.namelist()}
    change(contents)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as packed:
        for name, data in contents.items():
            packed.writestr(name, data)
    target = folder / "changed.zip"
    target.write_bytes(made.getvalue())
    return target


def test_other_tools_find_the_run(file: Path) -> None:
    """The crate's metadata names the profiles, the workflow and what came of it."""
    with zipfile.ZipFile(file) as packed:
        document = json.loads(packed.read(layout.CRATE))
    entities = {it["@id"]: it for it in document["@graph"]}
    root = entities["./"]
    assert {"@id": "https://w3id.org/ro/wfrun/workflow/0.5"} in root["conformsTo"]
    workflow = entities[root["mainEntity"]["@id"]]
    assert "ComputationalWorkflow" in workflow["@type"]
    run = entities["#run"]
    assert run["instrument"] == {"@id": "workflow/entrypoint.yml"}
    assert run["result"] == [{"@id": "outputs/scaled/scaled.json"}]
    referred = {it["@id"] for it in (*run["object"], *run["result"], *root["hasPart"])}
    assert referred <= entities.keys()
