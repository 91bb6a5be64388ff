"""The parts of the images' proof that need no image."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from containers.proof.context import pip_conf, stage
from containers.proof.deployment import Deployment
from containers.proof.errors import ProofError
from containers.proof.images import DAEMON, IMAGES, ROUTINE, Image
from containers.proof.origins import DEBIAN, PYTHON, provide
from containers.proof.tools import Tools, find

from dioptra_worker.engine import load

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = ROOT / "containers/test"

ECHO = r"""#!/bin/sh
printf '%s\n' "$@" > "$0.called"
echo something broke >&2
read -r code < "$0.code"
exit "$code"
"""


def _program(folder: Path, name: str, code: int = 0) -> Path:
    path = folder / name
    path.write_text(ECHO)
    path.chmod(0o755)
    path.with_name(f"{name}.code").write_text(str(code))
    return path


def _called(path: Path) -> list[str]:
    return path.with_name(f"{path.name}.called").read_text().splitlines()


@pytest.mark.process
def test_what_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker with its daemon comes first, then Podman; Buildah can only build."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find() is None
    _program(tmp_path, "docker", code=1)  # `docker info` fails: no daemon
    assert find() is None
    _program(tmp_path, "buildah")
    assert (found := find()) is not None
    assert (found.builder, found.runner) == (("buildah", "build"), ())
    _program(tmp_path, "podman")
    assert (found := find()) is not None
    assert (found.builder, found.runner) == (("podman", "build"), ("podman",))
    assert "docker" in found.build_flags  # the format that keeps health checks
    _program(tmp_path, "docker")
    assert (found := find()) is not None
    assert (found.builder, found.runner) == (("docker", "build"), ("docker",))


@pytest.mark.process
def test_build_passes_arguments_on(tmp_path: Path) -> None:
    """Build arguments, file and context reach the builder as they are."""
    builder = _program(tmp_path, "builder")
    Tools(builder=(str(builder),), build_flags=("--layers",)).build(
        "image",
        tmp_path / "Dockerfile",
        context=tmp_path,
        arguments={"TORCH_OPTIONS": "--find-links /wheels"},
        log=tmp_path / "log",
    )
    assert _called(builder) == [
        *("--layers", "--tag", "image"),
        *("--build-arg", "TORCH_OPTIONS=--find-links /wheels"),
        *("--file", str(tmp_path / "Dockerfile"), str(tmp_path)),
    ]


@pytest.mark.process
def test_failed_build_says_why(tmp_path: Path) -> None:
    """What the builder said last is in the error."""
    builder = _program(tmp_path, "builder", code=3)
    with pytest.raises(ProofError, match=r"image could not be built:\nsomething broke"):
        Tools(builder=(str(builder),)).build(
            "image",
            tmp_path / "Dockerfile",
            context=tmp_path,
            arguments={},
            log=tmp_path / "log",
        )


@pytest.mark.process
def test_containers_are_closed_off(tmp_path: Path) -> None:
    """A container runs on a read-only filesystem, without capabilities."""
    runner = _program(tmp_path, "runner")
    tools = Tools(builder=(), runner=(str(runner),))
    container = tools.run("name", "image", "queue a", environment=tmp_path / "env")
    words = _called(runner)
    assert words[-2:] == ["image", "queue a"]
    for word in ("--read-only", "--cap-drop", "no-new-privileges"):
        assert word in words
    assert container.name == "name"


def test_context(tmp_path: Path) -> None:
    """The build context holds the sources, and the certificates and wheels given."""
    extra = tmp_path / "extra"
    extra.mkdir()
    for name in ("own.crt", "own.whl"):
        (extra / name).touch()
    context = tmp_path / "context"
    context.mkdir()
    stage(context, certificates=[extra / "own.crt"], wheels=[extra / "own.whl"])
    for path in (
        "src/dioptra_worker/__init__.py",
        "containers/base/Dockerfile",
        "containers/ca-certificates/own.crt",
        "containers/wheels/own.whl",
        ".dockerignore",
    ):
        assert (context / path).exists(), path
    assert not list(context.rglob("__pycache__"))


@pytest.mark.process
def test_indexes_are_a_secret(tmp_path: Path) -> None:
    """The indexes that pip has here reach the builds in a file of their owner alone."""
    assert pip_conf(tmp_path, {"PIP_INDEX_URL": ""}) is None
    file = pip_conf(tmp_path, {"PIP_EXTRA_INDEX_URL": "https://u:p@index/simple"})
    assert file is not None
    assert file.stat().st_mode & 0o077 == 0
    lines = file.read_text().splitlines()
    assert lines == ["[global]", "extra-index-url = https://u:p@index/simple"]
    builder = _program(tmp_path, "builder")
    Tools(builder=(str(builder),)).build(
        "image",
        tmp_path / "Dockerfile",
        context=tmp_path,
        arguments={},
        log=tmp_path / "log",
        pip_conf=file,
    )
    assert f"id=pip.conf,src={file}" in _called(builder)


@pytest.mark.parametrize("image", IMAGES.values(), ids=lambda image: image.name)
def test_images(image: Image) -> None:
    """Every image that is proven has a Dockerfile and an entrypoint of its values."""
    assert (ROOT / "containers" / image.name / "Dockerfile").exists()
    document = load(ROOT / image.folder / "entrypoint.yml").data
    assert image.long.keys() <= document["parameters"].keys()


def test_command_of_a_bare_image() -> None:
    """An image without an entrypoint runs its own command, or is told all of one."""
    bare, ours = IMAGES["two-lines"], IMAGES["base"]
    assert bare.command() == ()
    assert bare.command("--wait-for", "a:1", "q") == (DAEMON, "--wait-for", "a:1", "q")
    assert ours.command() == ours.queues
    assert ours.command("q") == ("q",)


@pytest.mark.process
def test_origin_that_is_there(tmp_path: Path) -> None:
    """An image that is there is neither pulled nor made again."""
    runner = _program(tmp_path, "runner")
    tools = Tools(builder=(), runner=(str(runner),))
    log = tmp_path / "log"
    assert provide(PYTHON, tools, certificates=[], log=log) == PYTHON.public
    assert _called(runner) == ["inspect", "--type", "image", PYTHON.public]


@pytest.mark.process
def test_origin_that_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be pulled and nothing made, the error says what to do."""
    runner = _program(tmp_path, "runner", code=1)
    tools = Tools(builder=(), runner=(str(runner),))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProofError, match=r"slim cannot be pulled.*debootstrap"):
        provide(DEBIAN, tools, certificates=[], log=tmp_path / "log")


@pytest.mark.process
def test_origin_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be pulled, Debian's packages are asked for one like it."""
    programs = tmp_path / "programs"
    programs.mkdir()
    runner = _program(programs, "runner", code=1)
    _program(programs, "debootstrap", code=4)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    tools = Tools(builder=(), runner=(str(runner),))
    log = tmp_path / "log"
    with pytest.raises(ProofError, match=r"debootstrap failed; see .*log"):
        provide(PYTHON, tools, certificates=[], log=log)
    *options, root = _called(programs / "debootstrap")
    include = "--include=python3-venv,ca-certificates"
    assert options == ["--variant=minbase", include, "trixie"]
    assert "something broke" in log.read_text()
    assert not Path(root).parent.exists()  # what was half made is removed


@pytest.mark.process
def test_compose_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Docker Compose, one sentence says so, and nothing is begun."""
    _program(tmp_path, "docker", code=1)
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = tmp_path / "project"
    with ExitStack() as ending, pytest.raises(ProofError, match="docker-compose"):
        Deployment.begin(Tools(builder=(), runner=("docker",)), folder, ending)
    assert not folder.exists()


@pytest.mark.process
def test_project_of_compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project has both files, and each variable that the example asks for."""
    _program(tmp_path, "docker")
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = tmp_path / "project"
    with ExitStack() as ending:
        Deployment.begin(Tools(builder=(), runner=("docker",)), folder, ending)
        told = dict(
            line.split("=", 1) for line in (folder / ".env").read_text().splitlines()
        )
        assert all((folder / name).exists() for name in told["COMPOSE_FILE"].split(":"))
        example = (ROOT / "deploy/compose/example.env").read_text()
        assert {*re.findall(r"^([A-Z_]+)=$", example, re.MULTILINE)} <= told.keys()
        passwords = [told[name] for name in told if name.endswith("PASSWORD")]
        assert len({*passwords}) == len(passwords) == 7
    assert _called(tmp_path / "docker")[:4] == ["compose", "--profile", "*", "down"]


def test_routine() -> None:
    """What is proven unless told otherwise begins with the base of all else."""
    assert ROUTINE[0] == next(iter(IMAGES)) == "base"
    assert {*ROUTINE} <= IMAGES.keys()


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("pytorch",), "no image 'pytorch': there are base, "),
        (("--wheel", "no.whl"), "'no.whl' is no file"),
        ((), "Neither Docker, Podman nor Buildah is here"),
    ],
)
def test_nothing_can_be_tried(
    arguments: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    """Why nothing can be tried is one sentence, and the code is 2."""
    answer = subprocess.run(
        [sys.executable, PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": str(tmp_path)},
    )
    assert answer.returncode == 2
    (line,) = answer.stderr.splitlines()
    assert line.startswith(told)
