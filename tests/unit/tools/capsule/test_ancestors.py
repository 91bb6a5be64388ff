"""A capsule holds those of the jobs that its job came from, and verifies them."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from tests.plugins.example_job import ROOT, ExampleJob

from dioptra_worker.cli.main import main
from dioptra_worker.errors import NotFound
from dioptra_worker.evidence import envelope, keys
from dioptra_worker.evidence.predicates import statements_of
from dioptra_worker.tools.capsule import layout
from dioptra_worker.tools.capsule.errors import CapsuleError
from dioptra_worker.tools.capsule.making import Ancestors, Made, make
from dioptra_worker.tools.capsule.opening import Capsule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dioptra_worker.provenance.manifest import Manifest, OutputFacts

OLDER = "ancestors/41.crate.zip"
KEY = keys.generate()


@dataclass(frozen=True, kw_only=True)
class ChainedJob(ExampleJob):
    """A job of a chain: what one has made is what the next one reads."""

    id: int = 42
    run: str = "abc"
    reads: str = "s3://bucket/given/given.json"
    trouble: Exception | None = None
    without_artifacts: bool = False

    @cached_property
    def facts(self) -> Manifest:
        """The manifest."""
        facts = ExampleJob.facts.func(self)  # type: ignore[attr-defined]
        root = ROOT.replace("abc", self.run)
        (given,), (kept,) = facts.inputs, facts.outputs
        uri, name = f"{root}/scaled/scaled.json", self.reads.rpartition("/")[2]
        files = tuple(dataclasses.replace(it, path=name) for it in given.files)
        changed: Manifest = dataclasses.replace(
            facts,
            job=dataclasses.replace(facts.job, id=self.id),
            mlflow=dataclasses.replace(facts.mlflow, id=self.run, uri=root),
            inputs=(
                dataclasses.replace(given, uri=self.reads, file_name=name, files=files),
            ),
            outputs=(dataclasses.replace(kept, uri=uri),),
        )
        return changed

    def manifest(self) -> bytes:
        """The manifest's bytes, if it has one."""
        if self.trouble is not None:
            raise self.trouble
        return self.facts.to_bytes()

    def output(self, one: OutputFacts, target: Path) -> None:
        """The output artifact, if it was not deleted."""
        if self.without_artifacts:
            raise NotFound("the store has it no more", service="S3")
        super().output(one, target)

    def evidence(self) -> bytes | None:
        """What was signed."""
        made = statements_of(self.facts, self.facts.to_bytes())
        return envelope.write([envelope.signed(it.payload(), [KEY]) for it in made])


FIRST = ChainedJob(id=41, run="first")
LAST = ChainedJob(
    reads=FIRST.facts.outputs[0].uri, numbers=tuple(FIRST.scaled), run="last"
)


def made(
    folder: Path, *ancestors: ChainedJob, job: ChainedJob = LAST, **options: Any
) -> tuple[Path, Made]:
    """A capsule with some ancestors."""
    file = folder / "42.crate.zip"
    given = Ancestors(
        lineage={"complete": True}, sources={it.id: it for it in ancestors}
    )
    return file, make(job, file, ancestors=given, **options)


def findings(file: Path) -> list[str]:
    """What of a capsule was changed."""
    with Capsule(file) as capsule:
        return capsule.findings()


def repacked(file: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    """Change files of a capsule, with its sums."""
    with zipfile.ZipFile(file) as packed:
        contents = {name: packed.read(name) for name in packed.namelist()}
    change(contents)
    del contents[layout.SUMS]
    sums = (
        f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in sorted(contents.items())
    )
    with zipfile.ZipFile(file, "w") as packed:
        for name, data in contents.items():
            packed.writestr(name, data)
        packed.writestr(layout.SUMS, "".join(sums))


def test_it_is_whole(tmp_path: Path) -> None:
    """The ancestors are there, each a capsule as any other, and all is verified."""
    file, told = made(tmp_path, FIRST)
    assert (told.ancestors, told.missing) == ((OLDER,), {})
    assert findings(file) == []
    with Capsule(file) as capsule:
        assert capsule.ancestors == [OLDER]
        with capsule.ancestor(OLDER) as ancestor:
            assert ancestor.manifest == FIRST.facts
            assert ancestor.archive.is_as_written() is True
        crate = json.loads(capsule.archive.read(layout.CRATE))
        assert json.loads(capsule.archive.read(layout.LINEAGE))["complete"] is True
    words = {it["@id"]: it.get("description") for it in crate["@graph"]}
    assert words[OLDER] == "A job that the job came from, in a capsule of its own."
    (tmp_path / "again").mkdir()
    again, _ = made(tmp_path / "again", FIRST)
    assert again.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("mended", [False, True])
def test_a_changed_byte_in_an_ancestor_is_named(tmp_path: Path, mended: bool) -> None:
    """By its capsule and its file, though the sums around it were mended."""
    file, _ = made(tmp_path, FIRST)

    def flip(inner: dict[str, bytes]) -> None:
        data = inner["outputs/scaled/scaled.json"]
        inner["outputs/scaled/scaled.json"] = data.replace(b"3", b"4")

    def change(contents: dict[str, bytes]) -> None:
        inner = tmp_path / "inner.zip"
        inner.write_bytes(contents[OLDER])
        if mended:
            repacked(inner, flip)
            contents[OLDER] = inner.read_bytes()
        else:
            contents[OLDER] = flipped(contents[OLDER])

    repacked(file, change)
    said = findings(file)
    assert said
    assert all(it.startswith(f"{OLDER}: ") for it in said)
    if mended:
        assert any("outputs/scaled/scaled.json: it was changed" in it for it in said)


def flipped(data: bytes) -> bytes:
    """A capsule with one byte of the first file's content turned over."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        info = packed.infolist()[0]
    at = info.header_offset + 30 + len(info.filename) + 20 + info.compress_size // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_every_byte_of_an_ancestor_counts(tmp_path: Path) -> None:
    """Wherever it is turned over, that capsule is named."""
    file, _ = made(tmp_path, FIRST)
    with zipfile.ZipFile(file) as packed:
        contents = {name: packed.read(name) for name in packed.namelist()}
    data = contents[OLDER]
    for place in range(0, len(data), len(data) // 12):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        with zipfile.ZipFile(file, "w") as packed:
            for name, content in contents.items():
                packed.writestr(name, bytes(changed) if name == OLDER else content)
        said = findings(file)
        assert said, place
        assert all(it.startswith(OLDER) for it in said), said


@pytest.mark.parametrize(
    ("ancestor", "words"),
    [
        (dataclasses.replace(FIRST, run="other"), "no job here has read what it made"),
        (
            dataclasses.replace(FIRST, factor=5.0),
            "job 42 has read 'given' otherwise than job 41 wrote it",
        ),
    ],
)
def test_what_is_no_ancestor_is_told(
    tmp_path: Path, ancestor: ChainedJob, words: str
) -> None:
    """A capsule of a job that had no part in it, or of one that made other bytes."""
    file, _ = made(tmp_path, ancestor)
    assert findings(file) == [f"{OLDER}: {words}"]


def test_a_capsule_under_another_name_is_told(tmp_path: Path) -> None:
    """Its manifest says of which job it is."""
    file, _ = made(tmp_path, FIRST)
    repacked(file, lambda it: it.update({"ancestors/7.crate.zip": it.pop(OLDER)}))
    assert findings(file) == ["ancestors/7.crate.zip: it is of job 41"]


def test_capsules_are_not_looked_at_without_an_end(tmp_path: Path) -> None:
    """Those in one that is in another are told, and not opened."""
    (tmp_path / "a").mkdir()
    inner, _ = made(tmp_path / "a", FIRST, job=dataclasses.replace(FIRST))
    file, _ = made(tmp_path, FIRST)
    repacked(file, lambda it: it.update({OLDER: inner.read_bytes()}))
    said = f"{OLDER}: it holds others, which are not looked at"
    assert findings(file) == [said]


@pytest.mark.parametrize(
    "trouble",
    [CapsuleError("job 40 has no manifest"), NotFound("it is gone", service="API")],
)
def test_who_cannot_be_in_it_is_told(tmp_path: Path, trouble: Exception) -> None:
    """A job without a manifest, or one that was deleted, is named with the reason."""
    lost = ChainedJob(id=40, trouble=trouble)
    file, told = made(tmp_path, FIRST, lost)
    assert told.missing == {40: str(trouble)}
    assert told.ancestors == (OLDER,)
    assert findings(file) == []
    for command in ("show", "verify"):
        result = CliRunner().invoke(main, ["capsule", command, str(file)])
        assert result.exit_code == 0
        assert f"is not in it: {trouble}" in result.output
        result = CliRunner().invoke(main, ["capsule", command, str(file), "--json"])
        assert json.loads(result.stdout)["missing_ancestors"] == {"40": str(trouble)}


def test_an_ancestor_whose_artifacts_were_deleted(tmp_path: Path) -> None:
    """It is there without them; its manifest has their digests."""
    file, told = made(tmp_path, dataclasses.replace(FIRST, without_artifacts=True))
    assert told.ancestors == (OLDER,)
    assert f"{OLDER}: outputs/scaled/scaled.json" in told.omitted
    assert findings(file) == []


def test_the_size_is_that_of_all(tmp_path: Path) -> None:
    """The job's own artifacts go first; what is left is for those of ancestors."""
    own = sum(
        size for path, _, size in layout.digests(LAST.facts) if "plugins" not in path
    )
    _, told = made(tmp_path, FIRST, max_size=own)
    paths = ("inputs/given/given.json", "outputs/scaled/scaled.json")
    assert told.omitted == tuple(f"{OLDER}: {path}" for path in paths)
    assert told.data_bytes == own


def test_show_and_verify_say_so(tmp_path: Path) -> None:
    """Each ancestor is told, and whether it is signed, too."""
    file, _ = made(tmp_path, FIRST)
    shown = CliRunner().invoke(main, ["capsule", "show", str(file)]).output
    assert f"job 41 of scaling: finished, in {OLDER}" in shown
    document = json.loads(
        CliRunner().invoke(main, ["capsule", "show", str(file), "--json"]).stdout
    )
    assert document["ancestors"][OLDER]["job"] == 41
    public = tmp_path / "evidence.pub"
    public.write_text(KEY.public.pem())
    words = ["capsule", "verify", str(file), "--key", str(public)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert f"{OLDER}: verified, too" in result.output

    def unsigned(contents: dict[str, bytes]) -> None:
        inner = tmp_path / "inner.zip"
        inner.write_bytes(contents[OLDER])
        repacked(inner, lambda it: it.pop(layout.EVIDENCE))
        contents[OLDER] = inner.read_bytes()

    repacked(file, unsigned)
    assert findings(file) == []
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    said = f"{OLDER}: it holds no evidence: it is not signed"
    assert said in result.output.splitlines()
