"""Writes the pages that are made from code and measurements, so that they cannot lie.

``python docs/generate.py`` writes them, ``--check`` only says which are out of date. A
unit test checks them, too.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.testing import CliRunner

from dioptra_worker.cli import exit_codes
from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.cli.help import shown
from dioptra_worker.cli.main import main as people_command
from dioptra_worker.cli.start import start
from dioptra_worker.common.text.masking import SHORTEST_SECRET
from dioptra_worker.credentials import IDENTIFIERS, SECRET_NAMES
from dioptra_worker.job_environment import RUNNER_DEFAULTS
from dioptra_worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a file, Python looks for modules beside it only

from benchmarks import page as benchmarks  # noqa: E402
from benchmarks import scale_page  # noqa: E402
from docs import fault_table, platform_tests, soak_page, toml_page  # noqa: E402

EXPLANATION = ROOT / "docs/explanation"
REFERENCE = ROOT / "docs/reference"
README = ROOT / "README.md"
BEGIN = "<!-- settings: this table is written by `make pages` -->\n"
END = "<!-- settings: end -->\n"
HELP_WIDTH = 88
ROOTS = {"dioptra-worker-v1": start, "dioptra-worker": people_command}
NOTICE = "<!-- Written by `make pages`; change the code that it is made from. -->\n"


def outdated() -> list[Path]:
    """The generated files that do not hold what they must."""
    return [path for path, write in PAGES.items() if _text(path) != write()]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def settings_page() -> str:
    """The reference of the environment variables."""
    secrets = "\n".join(f"- `{name}`" for name in SECRET_NAMES)
    defaults = "\n".join(f"- `{k}={v}`" for k, v in sorted(RUNNER_DEFAULTS.items()))
    return f"""{NOTICE}
# Settings

The daemon reads its settings from the environment, once, when it starts. What is
missing or malformed is named in one message, all of it at once, and the
[exit code](exit-codes.md) is {ExitCode.USAGE.value}. An empty variable counts as one
that is not set. An option of the command line goes before its variable (see
[commands](commands.md)).

## Required

{_table(required=True)}
## Optional

{_table(required=False)}
## Not needed

`OBJC_DISABLE_INITIALIZE_FORK_SAFETY`, which the platform's worker wants to be `YES` on
macOS, where it forks a process that has imported much, is not needed here, and
harmless: on macOS a runner is a process that was started for its job, unless
`DIOPTRA_WORKER_ISOLATION` is `fork`.

## Secrets as files

Each of these may be given as `NAME_FILE` instead, the path of a file whose contents,
without line ends behind them, are the value. `NAME` goes before `NAME_FILE`.

{secrets}

In whatever the worker shows or hands on (its log and those of its jobs, Redis, the tags
of a run, what commands print) `***` stands in their place, and in that of

- `DIOPTRA_PASSWORD`, and each variable whose name says that it is a password, a secret,
  a token or a key;
- passwords and tokens in addresses, whichever variable has them;
- the session that a plugin is given;

also as URLs, JSON, HTML and base64 write them. Not hidden are user names, what has
fewer than {SHORTEST_SECRET} characters, as it would hide innocent text, and an access
key's id that has fewer than {IDENTIFIERS["AWS_ACCESS_KEY_ID"]}, which is none of AWS. A
plugin that writes a secret in a way of its own, letter by letter or into a file, is not
hindered.

## What a job sees

A job gets the daemon's environment without the passwords of the API, the address of
Redis and the key that is signed with. So variables of your own, those of AWS and of
MLflow included, reach plugin code. These are added unless you set them:

{defaults}
"""


def _table(*, required: bool) -> str:
    fields = [
        (key, field)
        for key, field in Settings.model_fields.items()
        if field.is_required() == required
    ]
    last = "Example" if required else "Default"
    rows = "".join(_row(key, field) for key, field in fields)
    return f"| Variable | Meaning | {last} |\n|---|---|---|\n{rows}"


def _row(key: str, field: FieldInfo) -> str:
    last = str(field.examples[0]) if field.examples else shown(key) or "(empty)"
    if not set(last) & set(" '("):  # a value, no words
        last = f"`{last}`"
    return f"| `{field.alias}` | {field.description} | {last} |\n"


def commands_page() -> str:
    """The reference of the commands: what each says of itself."""
    sections = [
        f"## `{' '.join(words)}`\n\n```text\n{help_text(words)}```\n"
        for words in commands()
    ]
    return f"""{NOTICE}
# Commands

`dioptra-worker-v1` is the daemon, by the name that Dioptra's containers call.
`dioptra-worker` is for people; its `start` is the same daemon. How they end is in
[exit codes](exit-codes.md).

{chr(10).join(sections)}"""


def commands() -> Iterator[tuple[str, ...]]:
    """The words that call each command, subcommands behind their group."""
    for name, root in ROOTS.items():
        yield from _with_subcommands((name,), root)


def _with_subcommands(
    words: tuple[str, ...], command: click.Command
) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=words[-1])
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None, f"{words} lists {child}, but has none"
            yield from _with_subcommands((*words, child), found)


def help_text(words: tuple[str, ...]) -> str:
    """What a command's ``--help`` prints, for a terminal of a fixed width."""
    name, *rest = words
    answer = CliRunner().invoke(
        ROOTS[name],
        [*rest, "--help"],
        prog_name=name,
        terminal_width=HELP_WIDTH,
        max_content_width=HELP_WIDTH,
    )
    assert answer.exit_code == 0, f"{words}: {answer.output}{answer.exception}"
    return answer.output


def exit_codes_page() -> str:
    """The reference of the exit codes."""
    meanings = _member_docstrings()
    rows = "".join(
        f"| {code.value} | `{code.name}` | {meanings[code.name]} |\n"
        for code in ExitCode
    )
    return f"""{NOTICE}
# Exit codes

Both commands use the same codes.

| Code | Name | Meaning |
|---|---|---|
{rows}
The daemon never ends by itself because a service is away: it waits until the service
is back. It ends with {ExitCode.OK.value} when it is told to by a signal or by RQ, when
`--burst` finds its queues empty, after `--max-jobs` jobs, or after `--max-idle-time`
seconds without one, and with {ExitCode.FAILED.value} when another process has its name.
"""


def _member_docstrings() -> dict[str, str]:
    """The string below each member of `ExitCode`."""
    tree = ast.parse(inspect.getsource(exit_codes))
    body = next(n for n in tree.body if isinstance(n, ast.ClassDef)).body
    return {
        assign.targets[0].id: text.value.value
        for assign, text in itertools.pairwise(body)
        if isinstance(assign, ast.Assign)
        and isinstance(assign.targets[0], ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def readme() -> str:
    """The README with its table of settings made anew."""
    before, _, rest = _text(README).partition(BEGIN)
    _, _, after = rest.partition(END)
    assert rest, f"README.md has lost the line {BEGIN!r}"
    assert after, f"README.md has lost the line {END!r}"
    table = (
        f"Required:\n\n{_table(required=True)}\nOptional:\n\n{_table(required=False)}"
    )
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


PAGES: dict[Path, Callable[[], str]] = {
    REFERENCE / "settings.md": settings_page,
    REFERENCE / "commands.md": commands_page,
    REFERENCE / "exit-codes.md": exit_codes_page,
    REFERENCE / "faults.md": partial(fault_table.page, NOTICE),
    REFERENCE / "soak.md": partial(soak_page.page, NOTICE),
    REFERENCE / "platform-tests.md": partial(platform_tests.page, NOTICE),
    REFERENCE / "dioptra-toml.md": partial(toml_page.page, NOTICE),
    REFERENCE / "benchmarks.md": lambda: f"{NOTICE}{benchmarks.page()}",
    REFERENCE / benchmarks.RATIOS: benchmarks.ratios,
    REFERENCE / benchmarks.SCALE: benchmarks.throughput,
    EXPLANATION / "scale.md": lambda: f"{NOTICE}{scale_page.page()}",
    EXPLANATION / scale_page.CURVE: scale_page.curve,
    README: readme,
}
"""Every generated file and what makes its text."""


def main() -> None:
    """Write the pages, or with ``--check`` say which are out of date."""
    if sys.argv[1:] == ["--check"]:
        names = [str(path.relative_to(ROOT)) for path in outdated()]
        if names:
            sys.exit(f"out of date, run `make pages`: {', '.join(names)}")
        return
    for path, write in PAGES.items():
        path.write_text(write(), encoding="utf-8")


if __name__ == "__main__":
    main()
