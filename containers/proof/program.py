"""The command line of `containers/test`, and the table at its end."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .context import trusted_here
from .errors import ProofError
from .images import IMAGES, ROUTINE
from .story import Options, Outcome, play
from .tools import find

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .tools import Tools

_USAGE = 2
_NOTHING = "Neither Docker, Podman nor Buildah is here: no image is built or run."
_EXAMPLES = """\
examples:
  containers/test
  containers/test base custom
  containers/test --build-only tensorflow-gpu pytorch-gpu
  containers/test --compose base tensorflow-cpu
  containers/test --certificate company.crt --wheel torch.whl \\
    --build-arg TORCH_OPTIONS='--find-links /wheels' --build-arg TORCHVISION=

The exit code is 0 if all holds, 1 if something does not, 2 if nothing can be tried.
"""


def main() -> int:
    """Build images, run jobs in them, and print a table of what was seen."""
    arguments = _parser().parse_args()
    try:
        options = _options(arguments)
        tools = find()
        if tools is None:
            print(_NOTHING, file=sys.stdout if arguments.if_possible else sys.stderr)
            return 0 if arguments.if_possible else _USAGE
        outcomes = play(options, tools, show=_line)
    except ProofError as error:
        print(error, file=sys.stderr)
        return _USAGE
    _table(outcomes, tools)
    return 0 if all(outcome.good for outcome in outcomes) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="containers/test",
        description=main.__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("images", nargs="*", metavar="IMAGE", help=f"of {', '.join(IMAGES)}")
    add("--base-image", help="what the base is built on, instead of Debian's")
    add(
        "--build-arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a build argument of every image",
    )
    add(
        "--certificate",
        action="append",
        default=None,
        type=Path,
        metavar="FILE",
        help="a *.crt file to be trusted in the images; without, those that were added"
        " to this machine",
    )
    add(
        "--wheel",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a *.whl file that pip is to find in /wheels",
    )
    add("--build-only", action="store_true", help="run nothing")
    add("--run-only", action="store_true", help="run what is built already")
    add(
        "--compose",
        action="store_true",
        help="bring up deploy/compose/compose.yaml, too; without an IMAGE only that,"
        " with the images that are built",
    )
    add("--if-possible", action="store_true", help="nothing to build with is no error")
    return parser


def _options(arguments: argparse.Namespace) -> Options:
    names = arguments.images or ([] if arguments.compose else list(ROUTINE))
    unknown = [name for name in names if name not in IMAGES]
    if unknown:
        raise ProofError(f"no image {unknown[0]!r}: there are {', '.join(IMAGES)}")
    pairs = [pair.partition("=") for pair in arguments.build_arg]
    certificates = arguments.certificate
    if certificates is None:
        certificates = trusted_here()
    for file in (*certificates, *arguments.wheel):
        if not file.is_file():
            raise ProofError(f"{str(file)!r} is no file")
    cache = os.environ.get("DIOPTRA_WORKER_CACHE_DIR")
    return Options(
        images=[image for name, image in IMAGES.items() if name in names],
        base_image=arguments.base_image,
        arguments={name: value for name, _, value in pairs},
        certificates=certificates,
        wheels=arguments.wheel,
        build_only=arguments.build_only,
        run_only=arguments.run_only,
        compose=arguments.compose,
        cache=Path(cache).absolute() if cache else None,
    )


def _line(outcome: Outcome) -> None:
    mark = "✓" if outcome.good else "✗"
    print(
        f"{mark} {outcome.image:<15} {outcome.check:<14} {outcome.seconds:6.1f} s "
        f" {outcome.detail}",
        flush=True,
    )


def _table(outcomes: Sequence[Outcome], tools: Tools) -> None:
    """A row for each check, a column for each image."""
    images = list(dict.fromkeys(outcome.image for outcome in outcomes))
    checks = list(dict.fromkeys(outcome.check for outcome in outcomes))
    cells = {(outcome.check, outcome.image): outcome for outcome in outcomes}
    rows = [["", *images]]
    for check in checks:
        rows.append([check])
        for image in images:
            cell = cells.get((check, image))
            first = cell.detail.splitlines()[0] if cell and cell.detail else ""
            rows[-1].append(f"{'✓' if cell.good else '✗'} {first}" if cell else "-")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print()
    for row in rows:
        cells_of = zip(row, widths, strict=True)
        print("  ".join(cell.ljust(width) for cell, width in cells_of).rstrip())
    good = sum(outcome.good for outcome in outcomes)
    running = " ".join(tools.runner) or "nothing: run them elsewhere"
    print(f"\n{good} of {len(outcomes)} hold")
    print(f"built by {' '.join(tools.builder)}, run by {running}")
