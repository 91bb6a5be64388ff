"""The reference of ``dioptra.toml``, made from what the reader takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.tools.resources.config_file.keys import FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.tools.resources.config_file.keys import Key

EXAMPLE = Path(__file__).parents[1] / "entrypoints/hello-world/dioptra.toml"


def page(notice: str) -> str:
    """The whole page, which begins with a notice."""
    assert FILE.keys is not None
    tables = "\n".join(
        part for name, key in FILE.keys.items() for part in _tables((name,), key)
    )
    example = EXAMPLE.read_text(encoding="utf-8").partition("\n\n")[2]
    return f"""{notice}
# dioptra.toml

The file that says what a folder has for a Dioptra: plugins, the types of what their
tasks take and give, and entrypoints. `dioptra-worker import` registers it, and
`dioptra-worker run` follows it, as the platform's own import page does. Paths begin at
the folder that the file lies in.

`dioptra-worker validate FOLDER` checks it together with the task graphs, the plugins
and the files that they need, without a server, and says of each mistake the file and
the line. `run` and `import` do the same before they begin. A key that is not below is
refused, with the one that was probably meant. At the top of the file and in
`[plugins.tasks]` other keys are left alone, as the platform leaves them.

```toml
{example.rstrip()}
```

A job takes types, tasks, parameters and artifact inputs from this file. Where the file
of a [task graph](task-graph.md) has them, too, what stands only there is told in a
warning: no job has it.

{tables}
## Types of values, and types of parameters

Tasks pass on values of the [types](task-graph.md) that are built in (`string`,
`integer`, `number`, `boolean`, `null`, `any`), and of those that the file defines. A
parameter of an entrypoint is what a person types, and has one of six other types:
`string`, `integer`, `float`, `boolean`, `list`, `mapping`. What is a `number` for a
task is a `float` for an entrypoint.

## Names

Plugins are called as their folders: ASCII letters, digits and `_`, not beginning with a
digit. Entrypoints and types may have spaces, `.` and `-`, too.
"""


def _tables(path: tuple[str, ...], key: Key) -> Iterator[str]:
    if key.keys is None:
        return
    rows = "\n".join(
        f"| `{name}` | {inner.kind} | {'yes' if inner.required else ''} |"
        f" {inner.meaning} |"
        for name, inner in key.keys.items()
    )
    yield f"""## {_title(path)}

{key.meaning[0].upper()}{key.meaning[1:]}.

| key | is | required | says |
|---|---|---|---|
{rows}
"""
    for name, inner in key.keys.items():
        yield from _tables((*path, name), inner)


def _title(path: tuple[str, ...]) -> str:
    name = ".".join(path)
    if path[-1] == "tasks":
        return f"`[{name}]`"
    return f"`[[{name}]]`"
