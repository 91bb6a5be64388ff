"""The peer's verdict on entrypoints, asked over JSON lines.

This runs in the peer's own environment, where nothing of ours is installed, and uses
only its public functions. Each line in is a question, each line out its answer.
"""

from __future__ import annotations

import ast
import collections
import itertools
import json
import logging
import sys
from typing import Any

from dioptra.sdk.utilities import entrypoint_swaps
from dioptra.task_engine import task_engine, util
from dioptra.task_engine.issues import IssueSeverity


def verdict(config: Any) -> dict[str, Any]:
    """Judge the configuration of a job, as the peer's worker does."""
    try:
        issues = entrypoint_swaps.compile_swaps_config(config).validate()
    except ValueError as error:
        return {"accepted": False, "why": [str(error)]}
    except Exception as error:  # noqa: BLE001 - a crash refuses the job too
        return {"accepted": False, "crash": repr(error), "why": [repr(error)]}
    errors = [str(i) for i in issues if i.severity is IssueSeverity.ERROR]
    return {"accepted": not errors, "why": errors}


def open_verdict(config: Any) -> dict[str, Any]:
    """Judge an entrypoint with open swaps: every combination of their choices."""
    graph = config["graph"]
    why = [str(i) for i in entrypoint_swaps.check_swaps_graph_dependencies(graph)]
    swaps = entrypoint_swaps.extract_swaps(graph)
    for chosen in itertools.product(*swaps.values()):
        rendered = entrypoint_swaps.render_swaps_config(
            config, dict(zip(swaps, chosen, strict=True))
        )
        why += verdict(rendered)["why"]
    return {"accepted": not why, "why": why}


def run(config: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Run a graph whose plugins return what they were called with."""
    compiled = entrypoint_swaps.compile_swaps_config(config).config
    calls: list[Any] = []
    counts: collections.Counter[str] = collections.Counter()

    def call(package: str, module: str, name: str, *args: Any, **kwargs: Any) -> Any:
        calls.append([name, list(args), kwargs])
        counts[name] += 1
        return [f"{name}:{index}" for index in range(2)]

    task_engine.dioptra.pyplugs.call = call
    context = task_engine.EngineContext(compiled, parameters, {}, {})
    try:
        task_engine._run_steps(context)  # noqa: SLF001 - the rest of its engine does I/O
    except Exception as error:  # noqa: BLE001 - how it fails is part of the answer
        return {"calls": calls, "failed": repr(error)}
    steps = list(util.get_sorted_steps(compiled["graph"]))
    return {"calls": calls, "failed": None, "steps": steps}


def main() -> None:
    """Answer until the input ends."""
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        question = json.loads(line)
        config = ast.literal_eval(question["config"])
        if question["kind"] == "job":
            answer = verdict(config)
        elif question["kind"] == "open":
            answer = open_verdict(config)
        else:
            answer = run(config, question["parameters"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
