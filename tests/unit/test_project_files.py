"""The files that stand around the code: they fit the Makefile, and each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from dioptra_worker import __version__

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = [
    path
    for path in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
    if path.name != "config.yml"
]
PAGES = ("CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md", "CHANGELOG.md")
_PINNED = re.compile(r"[\w.-]+/[\w./-]+@v\d+\.\d+\.\d+")
_CALL = re.compile(
    r"make ([a-z0-9-]+)((?: [A-Z_]+=(?:\"[^\"]*\"|\S+|\$\{\{[^}]*\}\}))*)"
)


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _jobs(path: Path) -> dict[str, dict[str, Any]]:
    jobs: dict[str, dict[str, Any]] = _yaml(path)["jobs"]
    return jobs


def _targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    phony = re.search(r"^\.PHONY:(.*)$", makefile, re.MULTILINE)
    assert phony
    return set(phony[1].split())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_each_step_is_a_pinned_action_or_a_target(path: Path) -> None:
    """A workflow holds no program of its own: what it does, anybody can do."""
    variables = (ROOT / "Makefile").read_text(encoding="utf-8")
    for job in _jobs(path).values():
        for step in job["steps"]:
            if "uses" in step:
                assert _PINNED.fullmatch(step["uses"]), step["uses"]
                continue
            call = _CALL.fullmatch(step["run"])
            assert call, step["run"]
            assert call[1] in _targets(), step["run"]
            for name in re.findall(r" ([A-Z_]+)=", call[2]):
                assert f"$({name})" in variables or f"$(or $({name})" in variables


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_may_little_and_end(path: Path) -> None:
    """Rights are named, and to write to the code is none of them; each job ends."""
    workflow = _yaml(path)
    granted = [workflow["permissions"]]
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 180
        granted.append(job.get("permissions", {}))
    for rights in granted:
        assert rights.get("contents", "read") == "read"
        assert isinstance(rights, dict)
    assert "pull_request_target" not in workflow[True]  # YAML takes "on" for true


def test_ci_tries_what_is_promised() -> None:
    """Each version of Python that the package names is tried on Linux, and macOS is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    start = "Programming Language :: Python :: 3."
    named = {
        classifier.rpartition(" ")[2]
        for classifier in project["project"]["classifiers"]
        if classifier.startswith(start)
    }
    jobs = _jobs(ROOT / ".github/workflows/ci.yml")
    assert named <= set(jobs["linux"]["strategy"]["matrix"]["python"])
    assert jobs["macos"]["runs-on"].startswith("macos-")
    runs = [step.get("run", "") for step in jobs["macos"]["steps"]]
    assert [run.split()[1] for run in runs if run] == [
        "unit",
        "process",
        "spawn",
        "demo",
    ]


def test_images_are_built_from_dockerfiles_that_there_are() -> None:
    """Each image of the workflow has its Dockerfile, and none is forgotten."""
    jobs = _jobs(ROOT / ".github/workflows/images.yml")
    built = {
        each["image"] for each in jobs["frameworks"]["strategy"]["matrix"]["include"]
    }
    there = {path.parent.name for path in ROOT.glob("containers/*-[cg]pu/Dockerfile")}
    assert built == there


def test_hooks_are_targets() -> None:
    """What runs before a commit is what `make check` runs; nothing is fetched."""
    (repository,) = _yaml(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        make, target = hook["entry"].split()
        assert make == "make"
        assert target in _targets()


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms(path: Path) -> None:
    """A form has what GitHub wants, and asks for what the doctor says."""
    form = _yaml(path)
    assert form.keys() >= {"name", "description", "body"}
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
    assert "doctor --json" in path.read_text(encoding="utf-8")


def test_paths_of_owners_are_there() -> None:
    """Each path that wants a second reader exists."""
    text = (ROOT / ".github/CODEOWNERS").read_text(encoding="utf-8")
    paths = re.findall(r"^#? *(?:and )?/(\S+)|and /(\S+)", text, re.MULTILINE)
    named = [first or second for first, second in paths]
    assert len(named) >= 6
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_citation() -> None:
    """It cites the version that there is, with the day that the changelog says."""
    citation = _yaml(ROOT / "CITATION.cff")
    assert str(citation["version"]) == __version__
    line = f"## {__version__} - {citation['date-released']}"
    assert line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    """A file that such a page links is there."""
    text = (ROOT / name).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:\s]+)\)", text)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_files_that_contributing_names_are_there() -> None:
    """Files and folders that the page for contributors names exist."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:src|tests|docs|entrypoints|\.github)/[\w./]+)`", text)
    assert len(named) > 5
    assert [path for path in named if not (ROOT / path).exists()] == []
