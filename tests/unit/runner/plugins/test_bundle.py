"""Tests of loading plugin bundles side by side."""

from __future__ import annotations

import importlib
import pickle
import sys
from textwrap import dedent
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.runner.plugins.bundle import Bundle
from dioptra_worker.runner.plugins.errors import (
    FunctionNotFound,
    PluginError,
    PluginImportError,
    PluginModuleMissing,
    PluginNotFound,
    PluginSyntaxError,
)
from dioptra_worker.sdk import compat, pyplugs
from dioptra_worker.sdk.artifact import ArtifactTaskInterface
from dioptra_worker.sdk.missing_names import explain_missing_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Make = Callable[..., Bundle]

REGISTER = "from dioptra_worker.sdk import pyplugs\n"
HELPER = "from .helper import value\n"
TASK = f"{REGISTER}{HELPER}@pyplugs.register\ndef task():\n    return value\n"


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Whatever a test loads, the process is afterwards as it was before."""
    modules, path = dict(sys.modules), list(sys.path)
    yield
    assert sys.path == path
    new = {name for name in sys.modules.keys() - modules.keys() if "plug" in name}
    assert {name for name in new if not name.startswith("dioptra")} == set()


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a bundle of files: ``make("tasks", **{"plug/tasks.py": "..."})``."""

    def write(name: str, files: dict[str, str], *beside: Bundle) -> Bundle:
        for path, code in files.items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(code))
        return Bundle(tmp_path / name, label=f"the {name}", beside=beside)

    return write


@pytest.fixture(params=["package", "namespace"])
def init(request: pytest.FixtureRequest) -> dict[str, str]:
    """The plugin has an ``__init__.py``, or has none."""
    return {"plug/__init__.py": ""} if request.param == "package" else {}


def versions(make: Make, init: dict[str, str]) -> tuple[Bundle, Bundle]:
    """Return two bundles with the same plugin in different versions."""
    return (
        make("tasks", init | {"plug/tasks.py": TASK, "plug/helper.py": "value = 1\n"}),
        make(
            "writers", init | {"plug/tasks.py": TASK, "plug/helper.py": "value = 2\n"}
        ),
    )


def test_equal_names_do_not_clash_one_after_the_other(
    make: Make, init: dict[str, str]
) -> None:
    """Each bundle's functions run each bundle's code, in any order."""
    one, two = versions(make, init)
    assert one.function("plug.tasks.task")() == 1
    assert two.function("plug.tasks.task")() == 2
    assert one.function("plug.tasks.task")() == 1


def test_equal_names_do_not_clash_when_nested(make: Make, init: dict[str, str]) -> None:
    """The innermost active bundle is the one whose modules are imported."""
    one, two = versions(make, init)
    with one.active():
        assert importlib.import_module("plug.helper").value == 1
        with two.active():
            assert importlib.import_module("plug.helper").value == 2
            with one.active():
                assert importlib.import_module("plug.helper").value == 1
            assert importlib.import_module("plug.helper").value == 2
        assert importlib.import_module("plug.helper").value == 1
    assert "plug" not in sys.modules


def test_a_file_that_only_the_outer_bundle_has_is_not_seen(
    make: Make, init: dict[str, str]
) -> None:
    """A plugin does not import a file of another version of itself."""
    outer = make("tasks", init | {"plug/a.py": "x = 1\n", "plug/extra.py": "y = 1\n"})
    inner = make("writers", init | {"plug/a.py": "x = 2\n"})
    with outer.active(), inner.active(), pytest.raises(ModuleNotFoundError):
        importlib.import_module("plug.extra")


def test_modules_are_the_same_when_a_bundle_is_active_again(
    make: Make, init: dict[str, str]
) -> None:
    """A bundle's modules are loaded once, however often it is active."""
    one, two = versions(make, init)
    first = one.function("plug.tasks.task")
    two.function("plug.tasks.task")
    assert one.function("plug.tasks.task") is first


def test_lazy_imports_find_their_own_bundle(make: Make, init: dict[str, str]) -> None:
    """An import inside a function finds the file beside it, also much later."""
    lazy = f"""{REGISTER}
@pyplugs.register
def task():
    from . import late
    from plug.late import value
    return late.value, value
"""
    one = make("tasks", init | {"plug/tasks.py": lazy, "plug/late.py": "value = 1\n"})
    two = make("writers", init | {"plug/tasks.py": lazy, "plug/late.py": "value = 2\n"})
    tasks = [bundle.function("plug.tasks.task") for bundle in (one, two)]
    for bundle, task, value in zip((one, two), tasks, (1, 2), strict=True):
        with bundle.active():
            assert task() == (value, value)


def test_a_task_s_objects_can_be_pickled_by_another_plugin(
    make: Make, init: dict[str, str]
) -> None:
    """An artifact plugin pickles an object of a task plugin while both are active."""
    tasks = make("tasks", init | {"plug/data.py": "class Data:\n    x = 1\n"})
    writers = make("writers", {"plug_files/tasks.py": "import pickle\n"})
    with tasks.active():
        data = importlib.import_module("plug.data").Data()
        with writers.active():
            module = importlib.import_module("plug_files.tasks")
            assert module.pickle.loads(module.pickle.dumps(data)).x == 1


def test_identical_packages_share_their_classes(
    make: Make, init: dict[str, str]
) -> None:
    """A plugin used for tasks and for artifacts has one class, not two."""
    files = init | {
        "plug/data.py": "class Data: pass\n",
        "plug/late.py": "from .data import Data\n",
    }
    tasks = make("tasks", files)
    writers = make("writers", files, tasks)
    with tasks.active():
        data = importlib.import_module("plug.data").Data()
    with writers.active():
        assert isinstance(data, importlib.import_module("plug.data").Data)
        assert isinstance(data, importlib.import_module("plug.late").Data)
        assert type(pickle.loads(pickle.dumps(data))) is type(data)  # noqa: S301


def test_packages_with_one_byte_of_difference_share_nothing(
    make: Make, init: dict[str, str]
) -> None:
    """A plugin in two versions has two classes, though one file is the same."""
    files = init | {"plug/data.py": "class Data: pass\n"}
    tasks = make("tasks", files | {"plug/x.py": "1\n"})
    writers = make("writers", files | {"plug/x.py": "2\n"}, tasks)
    with tasks.active():
        data = importlib.import_module("plug.data").Data()
    with writers.active():
        assert not isinstance(data, importlib.import_module("plug.data").Data)


def test_modules_from_elsewhere_stay(make: Make, tmp_path: Path) -> None:
    """What a plugin imports from elsewhere stays loaded when the bundle leaves."""
    elsewhere = tmp_path / "site"
    elsewhere.mkdir()
    (elsewhere / "some_framework.py").write_text("state = []\n")
    sys.path.append(str(elsewhere))
    try:
        bundle = make("tasks", {"plug/tasks.py": f"import some_framework\n{REGISTER}"})
        with bundle.active():
            importlib.import_module("plug.tasks")
        framework = sys.modules["some_framework"]
        with bundle.active():
            assert sys.modules["some_framework"] is framework
        assert sys.modules["some_framework"] is framework
    finally:
        sys.path.remove(str(elsewhere))
        sys.modules.pop("some_framework", None)


def test_modules_of_before_are_not_looked_at(make: Make) -> None:
    """Thousands are loaded already: to look at each copies what forks share."""

    class Path(list[str]):
        looks = 0

        def __iter__(self) -> Iterator[str]:
            Path.looks += 1
            return super().__iter__()

    earlier = ModuleType("earlier")
    earlier.__path__ = Path(["/elsewhere"])
    sys.modules["earlier"] = earlier
    try:
        bundle = make("tasks", {"plug/tasks.py": TASK, "plug/helper.py": "value = 1"})
        for _ in range(3):
            bundle.function("plug.tasks.task")
    finally:
        del sys.modules["earlier"]
    assert Path.looks == 0


@pytest.mark.parametrize(
    "deed",
    [
        "sys.modules.pop('plug.one')",
        "sys.modules['plug_stand_in'] = sys.modules[__name__]",
        "sys.modules['colorsys'] = sys.modules.pop('colorsys', sys)",
        "[sys.modules.pop(n) for n in list(sys.modules) if 'modules_of' in n]",
    ],
)
def test_whatever_a_plugin_does_to_the_loaded_modules_its_own_leave_with_it(
    make: Make, deed: str
) -> None:
    """They are found wherever they stand, though the plugin has removed others."""
    code = f"import sys\nimport plug.one\n{deed}\nimport plug.two\n"
    bundle = make(
        "tasks", {"plug/tasks.py": code, "plug/one.py": "", "plug/two.py": ""}
    )
    modules = dict(sys.modules)
    try:
        with bundle.active():
            importlib.import_module("plug.two")
            importlib.import_module("plug.tasks")
        assert not sys.modules.keys() & {"plug", "plug.one", "plug.two", "plug.tasks"}
        assert "plug_stand_in" not in sys.modules
    finally:
        sys.modules.clear()
        sys.modules.update(modules)


def test_modules_that_were_loaded_before_their_bundle_are_its_own(make: Make) -> None:
    """A test may have imported what a bundle then calls: it is not loaded twice."""
    files = {"__init__.py": "", "tasks.py": TASK, "helper.py": "value = 1"}
    bundle = make("tasks", {f"plug/{name}": code for name, code in files.items()})
    sys.path.insert(0, str(bundle.directory))
    earlier = importlib.import_module("plug.tasks")
    sys.path.remove(str(bundle.directory))
    with bundle.active():
        assert importlib.import_module("plug.tasks") is earlier
    assert "plug.tasks" not in sys.modules
    with bundle.active():
        assert sys.modules["plug.tasks"] is earlier


def test_a_namespace_from_elsewhere_is_shared_and_left_clean(
    make: Make, tmp_path: Path
) -> None:
    """A plugin may add to a namespace package that is loaded, and leaves no trace."""
    (tmp_path / "site" / "plugspace").mkdir(parents=True)
    (tmp_path / "site" / "plugspace" / "lib.py").write_text("")
    sys.path.append(str(tmp_path / "site"))
    try:
        importlib.import_module("plugspace.lib")
        for name in ("tasks", "writers"):
            bundle = make(name, {"plugspace/tasks.py": f"value = {name!r}\n"})
            with bundle.active():
                importlib.import_module("plugspace.tasks")
                space = sys.modules["plugspace"]
                assert space.tasks.value == name
                assert hasattr(space, "lib")
            assert not hasattr(space, "tasks")
            with bundle.active():
                assert space.tasks.value == name
    finally:
        sys.path.remove(str(tmp_path / "site"))
        for name in ("plugspace.lib", "plugspace"):
            sys.modules.pop(name, None)


def test_a_bare_folder_does_not_hide_the_standard_library(make: Make) -> None:
    """A plugin folder named as a standard module leaves that one importable."""
    bundle = make("tasks", {"colorsys/tasks.py": ""})
    sys.modules.pop("colorsys", None)
    with bundle.active():
        assert hasattr(importlib.import_module("colorsys"), "rgb_to_hsv")


def test_paths_that_a_plugin_adds_leave_with_it(make: Make) -> None:
    """A plugin that puts its own folder on the path disturbs no other bundle."""
    hack = """
    import os, sys
    sys.path.insert(0, os.path.dirname(__file__))
    import sibling_of_plug
    """
    one = make("tasks", {"plug/a.py": hack, "plug/sibling_of_plug.py": "x = 1\n"})
    two = make("writers", {"plug/a.py": hack, "plug/sibling_of_plug.py": "x = 2\n"})
    for bundle, value in ((one, 1), (two, 2), (one, 1)):
        with bundle.active():
            assert importlib.import_module("plug.a").sibling_of_plug.x == value


def test_registrations_do_not_leak(make: Make, init: dict[str, str]) -> None:
    """A function that only one version registers does not exist in the other."""
    both = f"{TASK}@pyplugs.register\ndef more():\n    return 0\n"
    one = make("tasks", init | {"plug/tasks.py": both, "plug/helper.py": "value = 1\n"})
    two = make("writers", init | {"plug/tasks.py": TASK, "plug/helper.py": "value=2\n"})
    assert one.function("plug.tasks.more")() == 0
    with pytest.raises(FunctionNotFound, match="'more'"):
        two.function("plug.tasks.more")
    with two.active():
        assert pyplugs.funcs("plug", "tasks") == ["task"]


def test_nested_folders_and_lone_files(make: Make) -> None:
    """A function is found in a folder of a folder, and in a file on top level."""
    code = f"{REGISTER}@pyplugs.register\ndef task():\n    return __name__\n"
    bundle = make("tasks", {"plug/deep/er/tasks.py": code, "plug_alone.py": code})
    assert bundle.function("plug.deep.er.tasks.task")() == "plug.deep.er.tasks"
    assert bundle.function("plug_alone.task")() == "plug_alone"


def test_resources_of_a_plugin_without_init(make: Make) -> None:
    """A plugin without ``__init__.py`` reads the files beside it as a package's."""
    bundle = make("tasks", {"plug/tasks.py": "", "plug/words.txt": "hello\n"})
    with bundle.active():
        files = importlib.import_module("importlib.resources").files("plug")
        assert (files / "words.txt").read_text() == "hello\n"


def test_plugins_of_a_missing_folder_are_not_found(tmp_path: Path) -> None:
    """A bundle without a folder is empty, and says so when asked for something."""
    bundle = Bundle(tmp_path / "absent", label="the artifact plugins")
    with bundle.active(), pytest.raises(PluginNotFound, match="contains: nothing"):
        bundle.artifact_task("plug", "tasks", "Task")


@pytest.mark.parametrize(
    ("plugin", "error", "says"),
    [
        ("plug.tasks.tsk", FunctionNotFound, "'tsk'; did you mean 'task'?"),
        ("plug.tasks.plain", FunctionNotFound, "'plain' .*not registered: put @pyplug"),
        ("plug.tasks.value", FunctionNotFound, "no function 'value'"),
        ("plug.reexport.task", FunctionNotFound, "write 'plug.tasks.task'"),
        ("plug.task.task", PluginNotFound, "Did you mean 'plug/tasks.py'"),
        ("plog.tasks.task", PluginNotFound, "no plugin file 'plog/tasks.py' in the t"),
        ("task", PluginError, "'task' names no plugin function"),
        ("json.tasks.task", PluginNotFound, "'json' has the name .* rename the plugin"),
        (
            "sys.tasks.task",
            PluginNotFound,
            "'sys' has the name .*part of Python itself",
        ),
        (
            "plug.sibling.task",
            PluginModuleMissing,
            "There is 'plug/helper.py' beside it: write 'from plug import helper'",
        ),
        (
            "plug.typo.task",
            PluginModuleMissing,
            "line 2, imports 'plug.helpr', but .* Did you mean 'plug/helper.py'",
        ),
        (
            "plug.lacks.task",
            PluginModuleMissing,
            "'plug/lacks.py', line 1, imports 'no_such_thing'.* not installed in this",
        ),
        (
            "plug.leads.task",
            PluginModuleMissing,
            "line 1, leads to '.*/site/library_of_plug.py', which imports 'no_such",
        ),
        ("plug.syntax.task", PluginSyntaxError, r"'plug/syntax.py', line 2: .*\n +def"),
        ("plug.raises.task", PluginImportError, "'plug/raises.py' cannot be imported"),
        ("plug.name.task", PluginImportError, "cannot import name 'absent'"),
    ],
)
def test_what_is_wrong_is_said(
    make: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plugin: str,
    error: type[PluginError],
    says: str,
) -> None:
    """A plugin that cannot be loaded fails with its cause and the way out."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "library_of_plug.py").write_text("import no_such_thing\n")
    bundle = make(
        "tasks",
        {
            "plug/tasks.py": f"{TASK}def plain():\n    pass\n",
            "plug/helper.py": "value = 1\n",
            "plug/reexport.py": "from .tasks import task\n",
            "plug/sibling.py": "import helper\n",
            "plug/typo.py": "\nfrom .helpr import value\n",
            "plug/lacks.py": "import no_such_thing\n",
            "plug/leads.py": "import library_of_plug\n",
            "plug/syntax.py": "x = 1\ndef f(:\n",
            "plug/raises.py": "def deep():\n    return {}['key']\ndeep()\n",
            "plug/name.py": "from .helper import absent\n",
            "json/tasks.py": TASK,
            "sys/__init__.py": "",
            "sys/tasks.py": TASK,
        },
    )
    monkeypatch.syspath_prepend(str(site))
    with pytest.raises(error, match=f"(?s){says}") as caught:
        bundle.function(plugin)
    assert type(caught.value) is error
    assert "importlib" not in str(caught.value)


def test_a_missing_package_names_the_contents_of_the_bundle(make: Make) -> None:
    """A package that the environment lacks is told from a file of the bundle."""
    bundle = make(
        "tasks", {"plug/tasks.py": "import no_such_thing.part", "plug/b.py": ""}
    )
    with pytest.raises(PluginModuleMissing) as caught:
        bundle.function("plug.tasks.task")
    error = caught.value
    assert (error.module, error.file, error.line, error.in_bundle) == (
        "no_such_thing",
        "plug/tasks.py",
        1,
        False,
    )
    assert sys.prefix in str(error)
    assert "contains: plug/b.py, plug/tasks.py" in str(error)


def test_an_error_at_import_shows_the_plugin_s_lines(make: Make) -> None:
    """An error while a plugin is imported shows the plugin's line first."""
    bundle = make("tasks", {"plug/a.py": "def deep():\n    return 1 / 0\ndeep()\n"})
    with pytest.raises(PluginImportError) as caught:
        bundle.function("plug.a.task")
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("cannot be imported: ZeroDivisionError: division by zero")
    assert lines[1:3] == [
        "raised at line 2 of plugin file 'plug/a.py', in deep:",
        "    return 1 / 0",
    ]
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_broken_plugin_does_not_break_the_next_one(make: Make) -> None:
    """After an import that failed, the process is as it was and others load."""
    bundle = make("tasks", {"plug/bad.py": "1 / 0\n", "plug/tasks.py": REGISTER})
    with pytest.raises(PluginImportError):
        bundle.function("plug.bad.task")
    with bundle.active():
        importlib.import_module("plug.tasks")


def test_artifact_tasks_are_classes_of_the_file(make: Make) -> None:
    """An artifact task is found by name; others are refused with a near match."""
    code = """
    from dioptra_worker.sdk.artifact import ArtifactTaskInterface

    class TextTask(ArtifactTaskInterface):
        @staticmethod
        def serialize(working_dir, name, contents, **kwargs):
            path = working_dir / name
            path.write_text(contents)
            return path

        @staticmethod
        def deserialize(working_dir, path, **kwargs):
            return (working_dir / path).read_text()

        @staticmethod
        def validation():
            return {"type": {"type": "string"}}

    def helper(): pass
    """
    bundle = make("writers", {"plug/tasks.py": code})
    task = bundle.artifact_task("plug", "tasks", "TextTask")
    assert issubclass(task, ArtifactTaskInterface)
    path = task.serialize(bundle.directory, "note", "text")
    assert task.deserialize(bundle.directory, path.name) == "text"
    with pytest.raises(FunctionNotFound, match=r"did you mean 'TextTask'\?"):
        bundle.artifact_task("plug", "tasks", "TextTsk")
    with pytest.raises(FunctionNotFound, match=r"'helper' .* is no artifact task"):
        bundle.artifact_task("plug", "tasks", "helper")


@pytest.fixture(name="platform_names")
def _platform_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have what plugins import in a runner, without the platform beside it."""
    _forget_platform()
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.syspath_prepend(str(compat.path()))
    explain_missing_names()
    yield
    _forget_platform()


def _forget_platform() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "dioptra"]:
        del sys.modules[name]


@pytest.mark.usefixtures("platform_names")
@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("import dioptra.restapi.db", "'dioptra.restapi'"),
        ("from dioptra.sdk.generics import fit_estimator", "'dioptra.sdk.generics'"),
        ("from dioptra.client import nothing_such", "'nothing_such'"),
    ],
)
def test_names_of_the_platform_that_are_not_there(
    make: Make, line: str, wanted: str
) -> None:
    """What is below `dioptra.` and not there is told with the package that has it."""
    bundle = make("tasks", {"plug/tasks.py": f"{line}\n"})
    with pytest.raises(PluginError) as caught:
        bundle.function("plug.tasks.task")
    words = str(caught.value)
    assert wanted in words
    assert "package dioptra-platform: install it beside the worker" in words
    assert "plug/tasks.py" in words
    assert "missing_names.py" not in words
