"""The documentation says what the code does: pages made from it are up to date."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from docs import generate

import dioptra_worker
from dioptra_worker.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    *(path for path in ROOT.glob("docs/**/*.md") if "_build" not in path.parts),
]


@pytest.mark.process
def test_generated_pages_are_up_to_date() -> None:
    """The pages that are made from the code hold what it says now; see `make pages`."""
    # In a process of its own: click remembers the help option of a command as it was
    # first called, and other tests call subcommands without their group.
    answer = subprocess.run(
        [sys.executable, generate.__file__, "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr


def test_help_ends_with_examples() -> None:
    """Every command's help begins with its usage and ends with real invocations."""
    for words in generate.commands():
        text, name = generate.help_text(words), " ".join(words)
        assert text.startswith(f"Usage: {name}")
        _, _, examples = text.partition("Examples:\n")
        shown = "dioptra-worker-v1" if words[-1] == "start" else name  # the same
        assert shown in examples, f"{name} --help has no examples of it"


def test_readme_lists_every_setting() -> None:
    """The README's table has a row for each variable that the daemon reads."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for field in Settings.model_fields.values():
        assert f"| `{field.alias}` |" in readme


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_named_variables_exist(page: Path) -> None:
    """A variable of ours that a page names is one that the code knows."""
    known = "".join(
        file.read_text(encoding="utf-8")
        for pattern in ("src/**/*.py", "tests/**/*.py", "Makefile")
        for file in ROOT.glob(pattern)
    )
    named = set(re.findall(r"\bDIOPTRA_[A-Z_]*[A-Z]", page.read_text(encoding="utf-8")))
    unknown = {name for name in named if name.removesuffix("_FILE") not in known}
    assert unknown == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_linked_files_exist(page: Path) -> None:
    """A link to a file of the repository leads to one."""
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose)
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


def test_architecture_names_real_modules() -> None:
    """Every module that ARCHITECTURE.md names is in the source tree."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    source = ROOT / "src/dioptra_worker"
    parts = {entry.stem for entry in source.iterdir()}
    for name in re.findall(r"`([a-z_0-9]+(?:\.[a-z_0-9]+)+)`", text):
        if name.partition(".")[0] in parts:
            place = source / name.replace(".", "/")
            assert place.is_dir() or place.with_suffix(".py").exists(), name


def test_the_order_of_imports_is_written_down_once() -> None:
    """ARCHITECTURE.md and the package's docstring quote the contract that is proved."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = project["tool"]["importlinter"]["contracts"][0]
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert "\n".join(["```text", *contract["layers"], "```"]) in text
    quoted = "".join(f"    {layer}\n" for layer in contract["layers"])
    assert quoted in (dioptra_worker.__doc__ or "") + "\n"
