"""Tests of tracebacks for plugin authors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import dioptra_worker
from dioptra_worker.runner.plugins.bundle import Bundle
from dioptra_worker.sdk.tracebacks import plugin_frame, plugin_traceback

CODE = """
import json
from dioptra_worker.sdk import pyplugs

@pyplugs.register
def parse(text):
    return inner(text)

def inner(text):
    return json.loads(text)

@pyplugs.register
def chained(text):
    try:
        parse(text)
    except ValueError as error:
        raise RuntimeError("could not parse") from error

@pyplugs.register
def grouped(text):
    try:
        parse(text)
    except ValueError as error:
        raise ExceptionGroup("several", [error, KeyError("k")])
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle with functions that fail in different ways."""
    folder = tmp_path / "bundle" / "failing_plugin"
    folder.mkdir(parents=True)
    (folder / "tasks.py").write_text(CODE)
    return Bundle(folder.parent, label="the task plugins")


def fail(bundle: Bundle, name: str) -> str:
    """Return the traceback of a function that is called through the bundle."""
    with pytest.raises(Exception) as caught, bundle.active():  # noqa: PT011
        bundle.function(f"failing_plugin.tasks.{name}")("{nonsense")
    return plugin_traceback(caught.value, [bundle.directory])


def test_the_plugin_s_line_comes_first(bundle: Bundle) -> None:
    """The error and the deepest line of the plugin come before the traceback."""
    lines = fail(bundle, "parse").splitlines()
    assert lines[0].startswith("json.decoder.JSONDecodeError: Expecting property name")
    assert lines[1:3] == [
        "raised at line 10 of plugin file 'failing_plugin/tasks.py', in inner:",
        "    return json.loads(text)",
    ]


def test_paths_are_relative_to_the_bundle(bundle: Bundle) -> None:
    """Files of the bundle are named without the place where it was unpacked."""
    text = fail(bundle, "parse")
    assert 'File "failing_plugin/tasks.py", line 7, in parse' in text
    assert "    return inner(text)" in text
    assert str(bundle.directory) not in text
    assert json.__file__ in text


def test_causes_are_kept(bundle: Bundle) -> None:
    """A chained error shows its cause, and the head names the outer one."""
    text = fail(bundle, "chained")
    assert text.startswith("RuntimeError: could not parse\nraised at line 17")
    assert "direct cause of the following exception" in text
    assert text.count('File "failing_plugin/tasks.py"') == 4
    assert str(bundle.directory) not in text


def test_groups_are_kept(bundle: Bundle) -> None:
    """The members of an exception group keep their plugin frames, made relative."""
    text = fail(bundle, "grouped")
    assert "KeyError: 'k'" in text
    assert str(bundle.directory) not in text


def test_our_own_frames_are_dropped(bundle: Bundle) -> None:
    """Neither the loader's frames nor the import system's are shown."""
    (bundle.directory / "failing_plugin" / "broken.py").write_text("1 / 0\n")
    try:
        bundle.function("failing_plugin.broken.task")
    except Exception as error:  # noqa: BLE001
        cause = error.__cause__
    assert cause is not None
    text = plugin_traceback(cause, [bundle.directory])
    assert "plugins.py" not in text
    assert "importlib" not in text
    assert plugin_frame(cause, [bundle.directory]) == ("failing_plugin/broken.py", 1)


def test_an_error_without_plugin_frames_keeps_its_traceback(tmp_path: Path) -> None:
    """An error of our own is shown as Python shows it, with its frames."""
    try:
        Bundle(tmp_path, label="the task plugins").function("nothing")
    except Exception as error:  # noqa: BLE001
        text = plugin_traceback(error, [tmp_path])
    assert text.startswith(
        "dioptra_worker.runner.plugins.errors.PluginError: 'nothing'"
    )
    assert "Traceback (most recent call last)" in text
    assert "raised at" not in text


def test_endless_recursion_is_shown_in_short(bundle: Bundle) -> None:
    """Equal frames of a recursion are counted, not repeated."""
    (bundle.directory / "failing_plugin" / "loop.py").write_text(
        "from dioptra_worker.sdk import pyplugs\n"
        "@pyplugs.register\ndef loop(text):\n    return loop(text)\n"
    )
    with pytest.raises(RecursionError) as caught:
        bundle.function("failing_plugin.loop.loop")("x")
    text = plugin_traceback(caught.value, [bundle.directory])
    assert "more times" in text
    assert len(text.splitlines()) < sys.getrecursionlimit() / 10


BEHIND_A_LINK = """
from dioptra_worker.sdk import pyplugs
from dioptra_worker.sdk.tracebacks import plugin_traceback

try:
    pyplugs.call("failing_plugin", "tasks", "parse", text="{nonsense")
except ValueError as error:
    print(pyplugs.__file__)
    print(plugin_traceback(error, []))
"""


@pytest.mark.process
def test_our_frames_are_left_out_where_a_link_leads_to_us(
    bundle: Bundle, tmp_path: Path
) -> None:
    """Also in an environment whose folder, or the package's, is a link."""
    link = tmp_path / "dioptra_worker"
    link.symlink_to(Path(dioptra_worker.__file__).parent)
    said = subprocess.run(
        [sys.executable, "-c", BEHIND_A_LINK],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{tmp_path}:{bundle.directory}",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    ours, _, text = said.partition("\n")
    assert ours.startswith(str(link))
    assert "failing_plugin/tasks.py" in text
    assert "pyplugs.py" not in text
