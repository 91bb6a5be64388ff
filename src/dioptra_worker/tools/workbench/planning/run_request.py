"""What a person asks for, which may turn out wrong, and may come right again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dioptra_worker.tools.resources.folders import CONFIG
from dioptra_worker.tools.workbench.planning.entrypoint import PLUGINS, SUFFIXES, find
from dioptra_worker.tools.workbench.planning.run_plan import prepare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.tools.workbench.planning.run_plan import RunPlan


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """An entrypoint by its path, and what it is to be run with.

    Attributes:
        path: A folder or a file; see `planning.entrypoint.find`.
        plugins: The folder of plugin packages, for a file of its own.
        config: A file that stands for the ``dioptra.toml``.
        parameters: Values by parameter.
        artifacts: Paths by artifact input; see `planning.inputs`.
        swaps: Choices by swap.
    """

    path: Path
    plugins: Path | None = None
    config: Path | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, str | Path] = field(default_factory=dict)
    swaps: Mapping[str, str] = field(default_factory=dict)

    def prepare(self) -> RunPlan:
        """Read and check everything.

        Raises:
            InvalidRequest: What is asked for cannot be run.
            InvalidEntrypoint: The task graph is wrong.
        """
        return prepare(
            find(self.path, plugins=self.plugins, config=self.config),
            parameters=self.parameters,
            artifacts=self.artifacts,
            swaps=self.swaps,
        )

    def watched(self) -> tuple[Path, ...]:
        """The files and folders that may mend it, as far as they can be told."""
        folder = self.path if self.path.is_dir() else self.path.parent
        graphs = [file for file in folder.glob("*") if file.suffix in SUFFIXES]
        plugins = self.plugins or folder / PLUGINS
        return (*graphs, self.config or folder / CONFIG, plugins, *self._files())

    def _files(self) -> tuple[Path, ...]:
        return tuple(Path(path) for path in self.artifacts.values())

    def watched_with(self, run_plan: RunPlan) -> tuple[Path, ...]:
        """The files and folders that make another plan of it."""
        return (*run_plan.entrypoint.watched(), *self._files())
