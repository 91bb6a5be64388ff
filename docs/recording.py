"""Writes a recording of a terminal as a picture: what a command prints, as it does.

``python docs/recording.py``, also ``make recording``, runs the command and draws what
it said. It is made anew by hand when that changes, as times in it differ each time.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs/images/run.svg"
COMMAND = ("dioptra-worker", "run", "entrypoints/hello-world", "-P", "name=Ada")
_WIDTH = 100
_LINE, _CHARACTER, _MARGIN = 19, 8.4, 16
_SHOW_INTERVAL = 0.25
"""Seconds between two lines as they appear; a reader's pace, not the command's."""


def record() -> list[str]:
    """What the command prints, a line each, without what is of this machine."""
    program = Path(sys.executable).with_name(COMMAND[0])
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [program, *COMMAND[1:], "--store", f"{folder}/mlruns"],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "HOME": folder, "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=True,
        )
    said = (done.stdout + done.stderr).replace(f"{folder}/", "")
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in said.splitlines()]


def picture(command: str, lines: list[str]) -> str:
    """An SVG in which the lines appear one after the other, then stay.

    Who has asked for less motion sees all of them at once.
    """
    shown = [f"$ {command}", *(line[:_WIDTH] for line in lines)]
    rows = "\n".join(
        f'<text class="{"c" if row == 0 else "l"}" x="{_MARGIN}"'
        f' y="{_MARGIN + (row + 1) * _LINE}"'
        f' style="animation-delay:{row * _SHOW_INTERVAL:.2f}s">{escape(line)}</text>'
        for row, line in enumerate(shown)
    )
    width = round(2 * _MARGIN + _WIDTH * _CHARACTER)
    height = 2 * _MARGIN + (len(shown) + 1) * _LINE
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>{escape(command)}, and what it prints</title>
<style>
text {{ font: 14px ui-monospace, Menlo, Consolas, monospace; white-space: pre;
  opacity: 0; animation: show 0s forwards; }}
.c {{ fill: #7ee787; }}
.l {{ fill: #e6edf3; }}
@keyframes show {{ to {{ opacity: 1; }} }}
@media (prefers-reduced-motion: reduce) {{ text {{ animation: none; opacity: 1; }} }}
</style>
<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>
{rows}
</svg>
"""


if __name__ == "__main__":
    PICTURE.write_text(picture(" ".join(COMMAND), record()), encoding="utf-8")
