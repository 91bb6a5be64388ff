"""The peer's verdict on entrypoints, asked over JSON lines.

This runs in the peer's own environment, where nothing of ours is installed, and uses
only its public functions. Each line in is a question, each line out its answer.
"""

from __future__ import annotations

import ast
import itertools
import json
import logging
import sys
import zlib
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
    """Run a graph whose plugins return two values that depend on all arguments."""
    compiled = entrypoint_swaps.compile_swaps_config(config).config
    calls: list[Any] = []

    def call(_package: str, _module: str, name: str, *args: Any, **kwargs: Any) -> Any:
        calls.append(repr([name, list(args), kwargs]))
        digest = zlib.crc32(repr((name, args, sorted(kwargs.items()))).encode())
        return [f"{name}-{digest}-{index}" for index in range(2)]

    task_engine.dioptra.pyplugs.call = call
    context = task_engine.EngineContext(compiled, parameters, {}, {})
    try:
        task_engine._run_steps(context)
    except Exception as error:  # noqa: BLE001 - how it fails is part of the answer
        return {"calls": calls, "failed": repr(error)}
    graph = compiled["graph"]
    needs = {name: sorted(needs_of(step, graph)) for name, step in graph.items()}
    return {"calls": calls, "failed": None, "needs": needs}


def needs_of(step: Any, graph: Any) -> set[str]:
    """Name the steps that a step waits for, as the peer finds them."""
    found = step.get("dependencies", [])
    names = {found} if isinstance(found, str) else set(found)
    for reference in util.get_references(step):
        names.add(util.get_reference_coords(reference)[0])
    return names & set(graph)


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
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
