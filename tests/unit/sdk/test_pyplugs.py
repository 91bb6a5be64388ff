"""Tests of registering and finding plugin functions."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.sdk import pyplugs
from dioptra_worker.sdk.exceptions import (
    UnknownPackageError,
    UnknownPluginError,
    UnknownPluginFunctionError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST = '''"""About the file."""
from dioptra_worker.sdk import pyplugs

@pyplugs.register
def add(a, b):
    """Add two numbers.

    They may be floats.
    """
    return a + b

@pyplugs.register(sort_value=1)
def mul(a, b):
    return a * b

@pyplugs.register()
def one():
    return 1

def helper():
    return 0
'''
SECOND = """
from dioptra_worker.sdk import pyplugs

@pyplugs.register(sort_value=-1)
def early():
    return "early"
"""


@pytest.fixture(params=["package", "namespace"])
def package(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A package of plugins, with and without ``__init__.py``."""
    folder = tmp_path / "calc"
    folder.mkdir()
    if request.param == "package":
        (folder / "__init__.py").touch()
    (folder / "first.py").write_text(FIRST)
    (folder / "second.py").write_text(SECOND)
    (folder / "plain.py").write_text("x = 1\n")
    (folder / "broken.py").write_text("import no_such_module_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "calc"
    for name in [name for name in sys.modules if name.split(".")[0] == "calc"]:
        del sys.modules[name]


def test_functions_stay_what_they_are(package: str) -> None:
    """Registering returns the function itself, bare and with arguments."""
    module = importlib.import_module(f"{package}.first")
    assert module.add(1, 2) == 3
    assert module.mul(2, 3) == 6
    assert module.one() == 1


def test_functions_are_listed_in_the_order_of_their_registration(package: str) -> None:
    """A file's functions are those that it registers."""
    assert pyplugs.funcs(package, "first") == ["add", "mul", "one"]


def test_files_are_sorted_and_broken_ones_do_not_hide_others(package: str) -> None:
    """A package's plugins are its files with functions, by sort value."""
    assert pyplugs.names(package) == ["second", "first"]


def test_info_has_the_docstrings_apart(package: str) -> None:
    """The information on a function has its sentence, its text and its file's text."""
    info = pyplugs.info(package, "first", "add")
    assert (info.package_name, info.plugin_name) == (package, "first")
    assert (info.description, info.doc) == (
        "Add two numbers.",
        "They may be floats.",
    )
    assert info.module_doc == "About the file."
    assert pyplugs.info(package, "first", "mul").sort_value == 1


def test_call_and_get_take_the_first_function_by_default(package: str) -> None:
    """Without a function's name, the first of the file is meant."""
    assert pyplugs.call(package, "first", None, 1, b=2) == 3
    assert pyplugs.get(package, "first", "mul")(2, 3) == 6


def test_existence(package: str) -> None:
    """A plugin exists when its file registers functions."""
    assert pyplugs.exists(package, "first")
    assert not pyplugs.exists(package, "plain")
    assert not pyplugs.exists(package, "absent")
    assert not pyplugs.exists("no_such_package_at_all", "first")


def test_what_is_missing_is_named(package: str) -> None:
    """A package, a file, a registration and a function are told apart."""
    with pytest.raises(UnknownPackageError, match="'no_such_package_at_all'"):
        pyplugs.names("no_such_package_at_all")
    with pytest.raises(UnknownPackageError, match="'no_such_package_at_all'"):
        pyplugs.get("no_such_package_at_all", "first")
    with pytest.raises(UnknownPluginError, match=r"'calc.absent'"):
        pyplugs.get(package, "absent")
    with pytest.raises(UnknownPluginError, match="registers no functions"):
        pyplugs.get(package, "plain")
    with pytest.raises(UnknownPluginFunctionError, match=r"'helper'.*'add'"):
        pyplugs.get(package, "first", "helper")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
        pyplugs.get(package, "broken")


def test_factories_fix_the_package(package: str) -> None:
    """A factory gives the same function for one package."""
    assert pyplugs.names_factory(package)() == pyplugs.names(package)
    assert pyplugs.funcs_factory(package)("first") == ["add", "mul", "one"]
    assert pyplugs.info_factory(package)("first", "add").func_name == "add"
    assert pyplugs.exists_factory(package)("first")
    assert pyplugs.get_factory(package)("first")(1, 1) == 2
    assert pyplugs.call_factory(package)("first", "one") == 1


def test_a_file_without_package_has_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file on top level is registered under the empty package."""
    (tmp_path / "lonely_plugin.py").write_text(SECOND)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert pyplugs.call("", "lonely_plugin") == "early"
    assert pyplugs.info("", "lonely_plugin").package_name == ""
    del sys.modules["lonely_plugin"]


def test_registrations_go_with_their_module(package: str) -> None:
    """A module that is imported anew does not see an older one's registrations."""
    first = importlib.import_module(f"{package}.second")
    del sys.modules[f"{package}.second"]
    again = importlib.import_module(f"{package}.second")
    assert pyplugs.get(package, "second") is again.early
    assert again.early is not first.early
