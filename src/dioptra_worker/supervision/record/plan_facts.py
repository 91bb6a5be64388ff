"""What a manifest says of a plan, and the digests of what the plan names."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from dioptra_worker.provenance.manifest import ParameterValue, PlanFacts, WriterFacts
from dioptra_worker.supervision.record.digests import Digests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dioptra_worker.protocol.messages import Plan
    from dioptra_worker.provenance import Parameter


def digests_of(
    plan: Plan,
    *,
    known: Mapping[Path, str] = MappingProxyType({}),
    links: bool = False,
) -> Digests:
    """The digests of the plugins and inputs of a plan, whose folders are filled.

    Args:
        plan: The plan.
        known: The SHA-256 of files that nobody could change since it was computed.
        links: Whether its inputs may be links, which are a person's own.
    """
    names = (
        plan.plugins,
        plan.artifact_plugins,
        *(item.bundle for item in plan.inputs),
        *(item.directory for item in plan.inputs),
    )
    return Digests(dict.fromkeys(map(Path, names)), known=known, links=links)


def plan_facts(
    plan: Plan,
    declared: Sequence[Parameter],
    *,
    inputs: Mapping[str, tuple[int, int]],
    swaps: Mapping[str, str],
) -> PlanFacts:
    """What a manifest says of a plan.

    Args:
        plan: The plan.
        declared: The parameters that the entrypoint declares, for their types.
        inputs: Artifact and snapshot of each input, by name.
        swaps: The chosen task alias by the swap's name.
    """
    kinds = {parameter.name: parameter.kind for parameter in declared}
    return PlanFacts(
        graph=plan.config,
        swaps=dict(swaps),
        parameters=tuple(
            ParameterValue(
                name=name,
                type=kinds.get(name, ""),
                value=value,
                default=plan.defaults.get(name),
            )
            for name, value in sorted(plan.parameters.items())
        ),
        artifact_parameters=dict(inputs),
        writers=tuple(
            WriterFacts(
                name=task.name,
                package=task.package,
                module=task.module,
                plugin_snapshot=task.plugin_snapshot_id,
                task=task.task_id,
            )
            for task in plan.artifact_tasks
        ),
        steps=tuple(plan.config.get("graph", {})),
    )
