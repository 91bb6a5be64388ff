"""A pytest plugin for authors of Dioptra plugins.

It makes ``from dioptra import pyplugs`` work in their tests, and offers the fixture
`run_entrypoint`. Every pytest run of an environment with this package loads it, so it
imports nothing before it is used. ``-p no:dioptra_worker`` leaves it out.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from dioptra_worker.sdk import compat
from dioptra_worker.sdk.missing_names import explain_missing_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dioptra_worker.tools.workbench.planning.run_plan import RunPlan
    from dioptra_worker.tools.workbench.running.results import Result

__all__ = ["RunEntrypoint"]  # a fixture is taken by its name, not imported


class RunEntrypoint(Protocol):
    """What the fixture `run_entrypoint` is."""

    def __call__(
        self,
        path: str | Path,
        parameters: Mapping[str, Any] | None = None,
        *,
        artifacts: Mapping[str, str | Path] | None = None,
        swaps: Mapping[str, str] | None = None,
        plugins: str | Path | None = None,
        isolated: bool = False,
        timeout: float | None = None,
    ) -> Result:
        """Run an entrypoint without any server.

        Args:
            path: Its folder or file, from pytest's root folder.
            parameters: Values by parameter; text is read by the parameter's type.
            artifacts: Paths by artifact input, as ``--artifact`` takes them.
            swaps: Choices by swap.
            plugins: The folder of plugin packages, for a file of its own.
            isolated: Run in a process of its own, as a worker does: then a plugin may
                crash, but what steps return is not seen.
            timeout: Seconds that it may take, if it is isolated.

        Returns:
            What came of it, also when it failed.

        Raises:
            WorkbenchError: It cannot be run as it is.
            ValueError: There is a *timeout*, and it is not *isolated*.
        """
        ...


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Let a conftest import plugins."""
    _show_names()


def pytest_configure() -> None:
    """Let tests import plugins."""
    _show_names()


def _show_names() -> None:
    names = str(compat.path())
    if names not in sys.path:
        sys.path.insert(0, names)
    explain_missing_names()


@pytest.fixture
def run_entrypoint(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> RunEntrypoint:
    """Run entrypoints without any server; see `RunEntrypoint`."""
    from dioptra_worker.tools.workbench.planning.run_request import (  # noqa: PLC0415 - only when used
        RunRequest,
    )

    def run(
        path: str | Path,
        parameters: Mapping[str, Any] | None = None,
        *,
        artifacts: Mapping[str, str | Path] | None = None,
        swaps: Mapping[str, str] | None = None,
        plugins: str | Path | None = None,
        isolated: bool = False,
        timeout: float | None = None,
    ) -> Result:
        if timeout is not None and not isolated:
            raise ValueError(
                "a timeout needs isolated=True: nothing else can end a run"
            )
        root = pytestconfig.rootpath
        request = RunRequest(
            path=root / path,
            plugins=None if plugins is None else root / plugins,
            parameters=parameters or {},
            artifacts={name: root / file for name, file in (artifacts or {}).items()},
            swaps=swaps or {},
        )
        folder = tmp_path_factory.mktemp("dioptra-runs")
        if isolated:
            return _isolated(request.prepare(), folder, timeout)
        return _in_process(request.prepare(), folder)

    return run


def _in_process(run_plan: RunPlan, folder: Path) -> Result:
    from dioptra_worker.tools.workbench.running import inprocess  # noqa: PLC0415
    from dioptra_worker.tools.workbench.running.api_sessions import (  # noqa: PLC0415
        sessions,
    )

    session = sessions(os.environ)
    return inprocess.run(run_plan, folder=folder, sessions=session, capture=True)


def _isolated(run_plan: RunPlan, folder: Path, timeout: float | None) -> Result:
    from dioptra_worker.job_environment import for_local_runs  # noqa: PLC0415
    from dioptra_worker.tools.workbench.running.api_sessions import (  # noqa: PLC0415
        sessions,
    )
    from dioptra_worker.tools.workbench.running.supervised import LocalRunner  # noqa: PLC0415

    runner = LocalRunner(
        folder=folder,
        isolation="auto",
        preload=(),
        environment=for_local_runs(os.environ),
        session=sessions(os.environ),
    )
    with runner:
        result = runner.run(run_plan, listener=None, timeout=timeout)
    if runner.interrupted:
        raise KeyboardInterrupt
    return result
