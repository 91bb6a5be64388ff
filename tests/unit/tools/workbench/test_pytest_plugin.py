"""The pytest plugin, as an author of plugins uses it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.unit.tools.workbench.folders import sums, write

if TYPE_CHECKING:
    from collections.abc import Callable

    RunTests = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(name="run_tests")
def _run_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunTests:
    """Run a test file in a pytest of its own, which knows nothing of ours."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    sums(tmp_path)

    def run(
        code: str, *options: str, plugin: str = "dioptra_worker.pytest_plugin"
    ) -> subprocess.CompletedProcess[str]:
        write(tmp_path, {"test_it.py": code, "pytest.ini": "[pytest]\n"})
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", plugin, "-q", *options],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


def _passed(answer: subprocess.CompletedProcess[str], count: int) -> None:
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"{count} passed" in answer.stdout


def test_plugins_can_be_imported(run_tests: RunTests, tmp_path: Path) -> None:
    """Tests, and the conftest, import a plugin and call its functions."""
    write(
        tmp_path,
        {
            "conftest.py": """
            import sys
            from pathlib import Path

            sys.path.insert(0, str(Path(__file__).parent / "plugins"))
            from sums.tasks import add
            """
        },
    )
    answer = run_tests(
        """
        from sums.tasks import Number, add

        def test_add():
            assert add(1, 2) == 3

        def test_number(tmp_path):
            path = Number.serialize(tmp_path, "n", 7)
            assert Number.deserialize(tmp_path, path.name) == 7
        """
    )
    _passed(answer, 2)


def test_the_fixture_gives_all_that_came_of_a_run(
    run_tests: RunTests,
) -> None:
    """Outputs, metrics, artifacts, log and status; the folder is as before."""
    answer = run_tests(
        """
        import os

        def test_sums(run_entrypoint, capsys):
            before = os.getcwd(), dict(os.environ)
            result = run_entrypoint("sums.yml", {"start": "5"})
            assert result.status == "finished", result.reason
            assert result.parameters == {"start": 5}
            assert result.outputs == {"first": {"sum": 6}, "second": {"sum": 16}}
            assert result.artifact("total").read_text() == "16"
            assert "adding 5 1" in result.log
            assert "adding 5 1" in capsys.readouterr().out
            assert [step.name for step in result.steps] == ["first", "second"]
            assert (os.getcwd(), dict(os.environ)) == before

        def test_again(run_entrypoint):
            assert run_entrypoint("sums.yml").outputs["second"]["sum"] == 12
        """
    )
    _passed(answer, 2)


def test_failures_and_mistakes(run_tests: RunTests, tmp_path: Path) -> None:
    """A run that fails is a result; one that cannot be made is an error."""
    plugin = tmp_path / "plugins/sums/tasks.py"
    plugin.write_text(plugin.read_text().replace("return a + b", "return a / 0"))
    answer = run_tests(
        """
        import pytest
        from dioptra_worker.tools.workbench.errors import InvalidRequest

        def test_failing(run_entrypoint):
            result = run_entrypoint("sums.yml")
            assert result.status == "failed"
            assert "ZeroDivisionError" in result.reason
            assert "line 11 of plugin file 'sums/tasks.py'" in result.log

        def test_mistake(run_entrypoint):
            with pytest.raises(InvalidRequest, match="Did you mean 'start'"):
                run_entrypoint("sums.yml", {"strat": 1})

        def test_timeout_needs_isolation(run_entrypoint):
            with pytest.raises(ValueError, match="isolated=True"):
                run_entrypoint("sums.yml", timeout=1)
        """
    )
    _passed(answer, 3)


def test_isolated(run_tests: RunTests, tmp_path: Path) -> None:
    """A plugin that ends its process ends no test run."""
    plugin = tmp_path / "plugins/sums/tasks.py"
    plugin.write_text(plugin.read_text().replace("return a + b", "os._exit(3)"))
    plugin.write_text("import os\n" + plugin.read_text())
    answer = run_tests(
        """
        def test_exit(run_entrypoint):
            result = run_entrypoint("sums.yml", isolated=True, timeout=60)
            assert result.status == "failed"
            assert "exit code 3 in step 'first'" in result.reason
        """
    )
    _passed(answer, 1)


def test_monkeypatched_plugins_and_logging(run_tests: RunTests, tmp_path: Path) -> None:
    """What a test changes in a plugin holds in the run, and its log is in caplog."""
    write(
        tmp_path,
        {
            "plugins/sums/tasks.py": """
            import structlog
            from dioptra import pyplugs

            LOG = structlog.get_logger()

            def fetch():
                raise RuntimeError("no network in tests")

            @pyplugs.register
            def add(a, b):
                LOG.info("fetched", value=fetch())
                return a + b
            """
        },
    )
    graph = tmp_path / "sums.yml"
    graph.write_text(graph.read_text().partition("artifact_outputs")[0])
    answer = run_tests(
        """
        import sys
        from pathlib import Path

        def test_patched(run_entrypoint, monkeypatch, caplog):
            monkeypatch.syspath_prepend(Path("plugins").absolute())
            import sums.tasks

            monkeypatch.setattr(sums.tasks, "fetch", lambda: 42)
            result = run_entrypoint("sums.yml")
            assert result.status == "finished", result.log
            assert "fetched value=42" in result.log
            assert "fetched" in caplog.text
            assert sys.modules["sums.tasks"] is sums.tasks
        """
    )
    _passed(answer, 1)


def test_it_imports_nothing_until_it_is_used(
    run_tests: RunTests,
) -> None:
    """A pytest run that has nothing to do with Dioptra does not pay for it."""
    answer = run_tests(
        """
        import sys

        def test_light():
            ours = {name for name in sys.modules if name.startswith("dioptra_worker")}
            assert ours <= {
                "dioptra_worker",
                "dioptra_worker.sdk",
                "dioptra_worker.sdk.compat",
                "dioptra_worker.sdk.missing_names",
                "dioptra_worker.pytest_plugin",
            }
            heavy = {"boto3", "click", "mlflow", "requests", "structlog", "yaml"}
            assert not heavy & set(sys.modules)
        """
    )
    _passed(answer, 1)


def test_it_leaves_another_dioptra_importable(
    run_tests: RunTests,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What our names do not have comes from an installed platform."""
    write(tmp_path / "site", {"dioptra/rest/__init__.py": "VALUE = 1"})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    answer = run_tests(
        """
        def test_both():
            from dioptra import pyplugs
            from dioptra.rest import VALUE

            assert VALUE == 1
            assert pyplugs.register
        """
    )
    _passed(answer, 1)


def test_pytest_finds_it() -> None:
    """The package announces it by the name that ``-p no:dioptra_worker`` leaves out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    announced = project["entry-points"]["pytest11"]
    assert announced == {"dioptra_worker": "dioptra_worker.pytest_plugin"}
