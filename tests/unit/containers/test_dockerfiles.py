"""The Dockerfiles, read line by line: what must hold without building any of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from containers.proof.images import DAEMON
from containers.proof.images import IMAGES as PROVEN
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

from dioptra_worker import __version__

ROOT = Path(__file__).resolve().parents[3]
CONTAINERS = ROOT / "containers"
FRAMEWORKS = ("tensorflow-cpu", "tensorflow-gpu", "pytorch-cpu", "pytorch-gpu")
IMAGES = ("base", *FRAMEWORKS)


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile, its lines joined."""

    name: str
    value: str


def _read(image: str) -> list[Instruction]:
    """The instructions of an image's Dockerfile, without comments."""
    text = (CONTAINERS / image / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n", " ", "\n".join(lines))
    return [
        Instruction(name.upper(), value.strip())
        for name, _, value in (line.partition(" ") for line in whole.splitlines())
        if name
    ]


def _values(image: str, name: str) -> list[str]:
    return [found.value for found in _read(image) if found.name == name]


def _last(image: str, name: str) -> str:
    return _values(image, name)[-1]


def _arguments(image: str) -> dict[str, str]:
    """The build arguments with their defaults."""
    pairs = (value.partition("=") for value in _values(image, "ARG"))
    return {name: default.strip('"') for name, _, default in pairs if default or _}


def _pins(path: Path) -> set[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def test_every_image_is_looked_at() -> None:
    """There is no Dockerfile in containers/ that these tests do not know."""
    found = {path.parent.name for path in CONTAINERS.glob("*/Dockerfile")}
    assert found - {"custom", "two-lines", "stand-ins"} == set(IMAGES)


def test_two_lines() -> None:
    """What makes a worker of any image are two lines: an installation and a command."""
    names = [found.name for found in _read("two-lines")]
    assert [name for name in names if name not in {"ARG", "FROM"}] == ["RUN", "CMD"]
    assert "pip install" in _last("two-lines", "RUN")
    command = json.loads(_last("two-lines", "CMD"))
    assert command == [DAEMON, *PROVEN["two-lines"].queues]


def test_preload_follows_torchvision() -> None:
    """Without torchvision for CPUs, it is neither installed nor preloaded."""
    assert _arguments("pytorch-cpu")["TORCHVISION"] == "torchvision"
    assert "torch,${TORCHVISION:+torchvision,}art." in _last("pytorch-cpu", "ENV")
    run = next(run for run in _values("pytorch-cpu", "RUN") if "for_cpus" in run)
    installs = [part for part in run.split("&&") if "pip install" in part]
    (part,) = [part for part in installs if "TORCH_OPTIONS" in part]
    assert part.split()[-2:] == ["torch", "${TORCHVISION}"]


@pytest.mark.parametrize("image", IMAGES)
def test_user_is_not_root(image: str) -> None:
    """An image ends with a user that is not root, told by number (Kubernetes asks)."""
    user = _last(image, "USER")
    if image == "base":
        assert user == "${WORKER_UID}:${WORKER_GID}"
        assert _arguments("base")["WORKER_UID"] == "39000"
        assert _arguments("base")["WORKER_GID"] == "100"
        assert "DIOPTRA_UID=${WORKER_UID}" in _last("base", "ENV")
        assert "DIOPTRA_GID=${WORKER_GID}" in _last("base", "ENV")
    else:
        assert user == "${DIOPTRA_UID}:${DIOPTRA_GID}"


def test_no_shell_is_process_1() -> None:
    """The daemon is the entrypoint in the list form, and no image puts it elsewhere."""
    assert json.loads(_last("base", "ENTRYPOINT")) == ["dioptra-worker-v1"]
    for image in FRAMEWORKS:
        assert _values(image, "ENTRYPOINT") == []


def test_health_check() -> None:
    """Health is asked of our own command, without a shell."""
    check = _last("base", "HEALTHCHECK")
    assert json.loads(check[check.index("CMD") + 3 :]) == ["dioptra-worker", "health"]


@pytest.mark.parametrize("image", FRAMEWORKS)
def test_framework_image(image: str) -> None:
    """It is built on the base, serves the queue of its name, preloads its framework."""
    assert _values(image, "FROM") == ["${BASE_IMAGE}"]
    assert _arguments(image)["BASE_IMAGE"] == "dioptra-worker-base"
    assert json.loads(_last(image, "CMD")) == [image]
    module = "torch" if image.startswith("pytorch") else "tensorflow"
    assert f"DIOPTRA_WORKER_PRELOAD={module}" in _last(image, "ENV")
    pins = "worker" if image == "pytorch-cpu" else image
    assert f"--requirement /opt/pins/{pins}.txt" in _last(image, "RUN")
    assert "--requirement /opt/pins/worker.txt" in _last(image, "RUN")
    # Else the threads of several workers spin while they wait, and all get slow.
    assert "OMP_WAIT_POLICY=PASSIVE" in _values(image, "ENV")


@pytest.mark.parametrize("image", FRAMEWORKS)
def test_gpus_are_asked_for(image: str) -> None:
    """Images for GPUs, and no others, ask NVIDIA's runtime for them."""
    asks = "NVIDIA_VISIBLE_DEVICES=all" in _last(image, "ENV")
    assert asks == image.endswith("-gpu")


@pytest.mark.parametrize("image", IMAGES)
def test_installs_are_pinned(image: str) -> None:
    """Every installation takes files by their hashes, and leaves no cache.

    Only PyTorch for CPUs is of an index of its own, and pinned by its version.
    """
    installs = [
        command
        for run in _values(image, "RUN")
        for command in run.split("&&")
        if "pip install" in command
    ]
    assert installs
    for command in installs:
        assert "--no-cache-dir" in command
        if "TORCH_OPTIONS" in command:
            assert image == "pytorch-cpu"
            assert "--constraint /opt/constraints.txt" in command
        elif "--no-index" in command:
            assert "--no-deps" in command
        else:
            assert "--require-hashes" in command
            files = re.findall(r"--requirement /opt/pins/(\S+)", command)
            assert files
            assert all((CONTAINERS / "pins" / file).exists() for file in files)
            # Nothing beside what the files name.
            assert not re.search(r"pip install .*\s'?[a-z][\w-]*\[", command)


@pytest.mark.parametrize("image", IMAGES)
def test_no_source_of_packages_is_written_down(image: str) -> None:
    """Where packages come from is an argument or a secret, never in the file."""
    for found in _read(image):
        assert "://" not in found.value, found
        if found.name == "ARG" and "OPTIONS" in found.value:
            assert found.value.endswith('=""')
    assert any("id=pip.conf" in run for run in _values(image, "RUN"))


@pytest.mark.parametrize("image", IMAGES)
def test_sources_are_in_the_build_context(image: str) -> None:
    """What is copied is there, and .dockerignore lets it through."""
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore
    for value in _values(image, "COPY"):
        words = [word for word in value.split() if not word.startswith("--")]
        if "--from=" in value:
            continue
        for source in words[:-1]:
            path = source.replace("${CA_CERTIFICATES}", "containers/ca-certificates")
            assert (ROOT / path).exists(), source
            assert path.split("/")[0] in allowed, source


def test_what_is_copied_is_a_whole_package(tmp_path: Path) -> None:
    """The wheel can be built of it: no file is missing that its metadata name."""
    for value in _values("base", "COPY"):
        *sources, target = value.split()
        for source in sources if target.startswith("/source") else ():
            below = target.removeprefix("/source").strip("/") or Path(source).name
            (tmp_path / below).symlink_to(ROOT / source)
    metadata = ProjectMetadata(str(tmp_path), PluginManager())
    core = metadata.core
    assert core.version == __version__
    assert "dioptra-worker" in core.readme
    assert core.license_files == ["LICENSE"]
    assert set(metadata.build.requires) == {"hatchling>=1.27"}  # pinned in build.txt


def test_constraints_are_pins() -> None:
    """Each line pins one package; those of the tests' environment are the same.

    Not so NumPy, which is older in the images, and what does not go with that.
    """
    ours, tested = (
        _pins(CONTAINERS / "constraints.txt"),
        _pins(ROOT / "constraints.txt"),
    )
    for line in ours:
        assert re.match(r"[a-z0-9][a-z0-9.-]*==[0-9][^ ]*( ; .+)?$", line), line

    def named(pins: set[str]) -> dict[str, set[str]]:
        by_name: dict[str, set[str]] = {}
        for pin in pins:
            by_name.setdefault(pin.partition("==")[0], set()).add(
                pin.partition(" ;")[0]
            )
        return by_name

    known = named(tested)
    assert {"torch", "tensorflow", "tensorflow-cpu", "rq"} <= named(ours).keys()
    others = {
        name for name, pins in named(ours).items() if not pins <= known.get(name, pins)
    }
    assert others == {"numpy", "pandas"}


PINS = sorted((CONTAINERS / "pins").glob("*.txt"))


@pytest.mark.parametrize("file", PINS, ids=lambda file: file.name)
def test_pins_have_hashes(file: Path) -> None:
    """Each line pins one package, as the constraints do, with hashes and no address."""
    text = file.read_text(encoding="utf-8")
    assert "://" not in text
    pins = re.findall(
        r"^([a-z0-9][a-z0-9.-]*==\S+)( ; .+?)? \\\n((?: {4}--hash=.*\n)+)",
        text,
        re.MULTILINE,
    )
    assert len(pins) == len(re.findall(r"^\S", text, re.MULTILINE)) > 0
    known = {pin.partition(" ;")[0] for pin in _pins(CONTAINERS / "constraints.txt")}
    for pin, _, hashes in pins:
        assert re.fullmatch(r"(?: {4}--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", hashes), (
            pin
        )
        if file.name != "build.txt":
            assert pin in known, pin


def test_pins_hold_what_is_needed() -> None:
    """The worker's extras and each framework are pinned; sets do not repeat a pin."""

    def named(name: str) -> set[str]:
        text = (CONTAINERS / "pins" / f"{name}.txt").read_text(encoding="utf-8")
        return {*re.findall(r"^([a-z0-9.-]+)==", text, re.MULTILINE)}

    assert {"rq", "boto3", "mlflow-skinny"} <= named("base")
    assert {"mlflow", "scikit-learn"} | named("base") <= named("worker")
    assert "hatchling" in named("build")
    for framework, package in {
        "tensorflow-cpu": "tensorflow-cpu",
        "tensorflow-gpu": "tensorflow",
        "pytorch-gpu": "torchvision",
    }.items():
        assert package in named(framework)


def test_numpy_goes_with_the_toolbox() -> None:
    """The images have a NumPy with which the pinned ART makes adversarial patches.

    It takes a mean of two 32-bit numbers for a `float`, which it is with NumPy 1 only.
    """
    pins = _pins(CONTAINERS / "constraints.txt")
    (toolbox,) = [pin for pin in pins if pin.startswith("adversarial-robustness-")]
    assert toolbox.partition("==")[2].startswith("1.20."), "try with NumPy 2 again"
    numpy = [pin for pin in pins if pin.startswith("numpy==")]
    assert "numpy==1.26.4 ; python_full_version < '3.13'" in numpy
    worker = (CONTAINERS / "pins/worker.txt").read_text(encoding="utf-8")
    assert "\nnumpy==1.26.4 ; python_full_version < '3.13' " in worker


def test_what_the_guide_adds_is_pinned() -> None:
    """The lines with constraints that the guide gives name packages that they have."""
    guide = (ROOT / "docs/how-to/replace-the-platforms-worker.md").read_text()
    lines = re.findall(r"--constraint /opt/constraints\.txt ([a-z -]+)`", guide)
    named = {name for line in lines for name in line.split()} - {"torchaudio"}
    assert {"tensorflow-datasets", "opencv-python-headless"} <= named
    pinned = {pin.partition("==")[0] for pin in _pins(CONTAINERS / "constraints.txt")}
    assert named <= pinned


def test_health_check_of_the_platform() -> None:
    """What the platform's deployment calls for health is a program that asks ours."""
    script = CONTAINERS / "base/healthcheck.sh"
    assert "exec dioptra-worker health" in script.read_text(encoding="utf-8")
    assert "/usr/local/bin/healthcheck.sh" in " ".join(_values("base", "COPY"))
