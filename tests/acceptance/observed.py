"""An entrypoint whose task tells what it can observe, or does what a case says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit.tools.workbench.folders import write

if TYPE_CHECKING:
    from pathlib import Path

CASES = (
    "active-run",
    "another-run",
    "argparse",
    "children",
    "data-file",
    "dictconfig",
    "exit",
    "fork-and-return",
    "given",
    "log-levels",
    "long-lines",
    "metrics",
    "raise",
    "runs-of-children",
    "shared-memory",
    "stopped-child",
    "threads",
    "umask",
    "warn",
    "wrong-type",
)

VALUES: dict[str, dict[str, Any]] = {
    "given": {
        "size": 7,
        "rate": 2.0,
        "flag": False,
        "names": '["a", 1, null]',
        "table": '{"key": [1.5, true]}',
    }
}
"""Values for parameters beside the case, as the API takes them."""

_CONFIG = """
[[plugins]]
path = "plugins/observed"
description = "Tells what it can observe."

  [[plugins.tasks.functions]]
  filename = "tasks.py"
  name = "observe"
  input_params = [
    { name = "case", type = "string", required = true },
    { name = "given", type = "any", required = true },
  ]
  output_params = [{ name = "seen", type = "any" }]

[[plugins]]
path = "plugins/observed_artifacts"
description = "Keeps what was seen."

  [[plugins.tasks.artifacts]]
  filename = "record.py"
  name = "Record"
  output_params = [{ name = "seen", type = "any" }]

[[entrypoints]]
path = "observed.yml"
name = "observed"
params = [
  { name = "case", type = "string", default_value = "" },
  { name = "size", type = "integer", default_value = "3" },
  { name = "rate", type = "float", default_value = "0.5" },
  { name = "flag", type = "boolean", default_value = "true" },
  { name = "names", type = "list", default_value = "[]" },
  { name = "table", type = "mapping", default_value = "{}" },
]
plugins = ["observed"]
artifact_plugins = ["observed_artifacts"]
"""

_GRAPH = """
graph:
  seen:
    observe: [$case, [$size, $rate, $flag, $names, $table]]
artifact_outputs:
  record:
    contents: $seen
    task: {name: Record}
"""

_TASKS = """
import argparse
import faulthandler
import gc
import locale
import logging
import logging.config
import multiprocessing
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

from dioptra import pyplugs

BUNDLE = Path(__file__).parents[1]


@pyplugs.register
def observe(case, given):
    if case == "given":
        return _typed(given)
    return CASES[case]() if case else {**everything(), "given": _typed(given)}


def _typed(values):
    return [[type(value).__name__, value] for value in values]


def everything():
    mask = os.umask(0o22)
    os.umask(mask)
    root = logging.getLogger()
    seen = {
        "argv": sys.argv,
        "folder": os.getcwd(),
        "its mode": oct(os.stat(".").st_mode),
        "environment": sorted(os.environ),
        "sys.path": sys.path,
        "umask": oct(mask),
        "signals": {number.name: _handler(number) for number in signal.Signals},
        "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "thread": threading.current_thread() is threading.main_thread(),
        "modules": sorted(sys.modules),
        "files": sorted(str(path) for path in Path().rglob("*")),
        "plugins": _files(BUNDLE),
        "module": [__name__, __package__, __file__],
        "logging": [root.level, *(type(one).__name__ for one in root.handlers)],
        "stdin": [type(sys.stdin).__name__, os.fstat(0).st_rdev],
        "stdout": _stream(sys.stdout),
        "stderr": _stream(sys.stderr),
        "tmp": tempfile.gettempdir(),
        "home": str(Path.home()),
        "flags": str(sys.flags),
        "program": [sys.executable, sys.prefix],
        "hooks": [
            hook.__qualname__
            for hook in (sys.excepthook, threading.excepthook, sys.unraisablehook)
        ],
        "recursion": sys.getrecursionlimit(),
        "locale": locale.getlocale(),
        "children": multiprocessing.get_start_method(allow_none=True),
        "limits": {
            name: resource.getrlimit(getattr(resource, name))
            for name in dir(resource)
            if name.startswith("RLIMIT_")
        },
        "faulthandler": faulthandler.is_enabled(),
        "gc": [gc.isenabled(), gc.get_threshold()],
        "group": [os.getpid() == os.getpgrp(), os.getpid() == os.getsid(0)],
        "nice": os.nice(0),
        "user": [os.getuid(), os.getgid()],
    }
    return {**seen, **_mlflow()}


def _mlflow():
    import mlflow

    own = mlflow.active_run()
    started = mlflow.start_run()
    mlflow.log_metric("below", 1.0)
    mlflow.end_run()
    after = mlflow.active_run()
    mlflow.end_run()
    still = mlflow.active_run()
    return {
        "active run": [run is not None for run in (own, after, still)],
        "it is the job's": [
            run.info.run_id == os.environ["MLFLOW_RUN_ID"]
            for run in (own, after, still)
        ],
        "start_run": started.data.tags["mlflow.parentRunId"] == own.info.run_id,
        "its status": mlflow.MlflowClient().get_run(own.info.run_id).info.status,
    }


def _handler(number):
    found = signal.getsignal(number)
    return getattr(found, "__qualname__", str(found))


def _stream(stream):
    return [type(stream).__name__, stream.isatty(), stream.encoding, stream.errors]


def _files(folder):
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    )


def active_run():
    import mlflow

    mlflow.set_tag("told", "by hand")
    mlflow.log_metrics({"loss": 0.5, "gain": 2.0}, step=3)
    run = mlflow.MlflowClient().get_run(mlflow.active_run().info.run_id)
    return [run.data.tags["told"], run.data.metrics]


def another_run():
    import mlflow

    with mlflow.start_run(run_name="inner") as inner:
        mlflow.log_metric("inner", 1.0)
    with mlflow.start_run(run_id=os.environ["MLFLOW_RUN_ID"]) as again:
        mlflow.log_metric("outer", 2.0)
    data = mlflow.MlflowClient().get_run(inner.info.run_id).data
    same = again.info.run_id == mlflow.active_run().info.run_id
    return [data.metrics, same, mlflow.active_run().info.status]


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=3)
    return vars(parser.parse_args())


def children():
    line = "print('from a program'); import sys; print('aside', file=sys.stderr)"
    code = subprocess.run([sys.executable, "-c", line]).returncode
    child = os.fork()
    if not child:
        print("from a fork", flush=True)
        os._exit(3)
    return [code, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]


def data_file():
    return (Path(__file__).parent / "words.txt").read_text()


def dictconfig():
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": True})
    logging.getLogger("mine").warning("after dictConfig")
    raise RuntimeError("after dictConfig")


def leave():
    print("going", flush=True)
    sys.exit(3)


def fork_and_return():
    child = os.fork()
    if not child:
        print("the child has done its part", flush=True)
        return "of the child"
    os.waitpid(child, 0)
    print("the parent goes on", flush=True)
    raise ValueError("the parent found it wrong")


def log_levels():
    for level in (5, 10, 20, 25, 30, 40, 50):
        logging.getLogger("mine").log(level, "a record of level %d", level)
    print("<b>marked</b>\\ttext", end="")
    return None


def long_lines():
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_long, args=[name]) for name in "ab"]
    for child in children:
        child.start()
    for child in children:
        child.join()
    return [child.exitcode for child in children]


def _long(letter):
    for number in range(3):
        print(letter, number, letter * 300_000, "end", flush=True)


def metrics():
    from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client

    client = get_authenticated_worker_client(logging.getLogger("mine"), "json")
    job = int(os.environ["__JOB_ID"])
    client.jobs.append_metric_by_id(job, "score", 1.5, 2)
    client.jobs.append_metric_by_id(job, "score", 2.5, 3)


def fail():
    raise ValueError("so it goes")


def runs_of_children():
    import mlflow

    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        child = context.Process(target=_measure, args=[method])
        child.start()
        child.join()
    run = mlflow.MlflowClient().get_run(mlflow.active_run().info.run_id)
    return [sorted(run.data.metrics.items()), run.info.status]


def _measure(method):
    import mlflow

    print("from a child made by", method, flush=True)
    mlflow.log_metric("of_" + method, 1.0)


def shared_memory():
    from multiprocessing.shared_memory import SharedMemory

    block = SharedMemory(create=True, size=1 << 20)
    block.buf[0] = 1
    print("left behind:", block.size, flush=True)
    return block.size


def stopped_child():
    os.kill(os.getpid(), signal.SIGKILL)


def use_threads():
    import mlflow

    found = []

    def work():
        print("from a thread", flush=True)
        found.append(mlflow.active_run().info.run_id == os.environ["MLFLOW_RUN_ID"])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found


def use_umask():
    Path("made").touch()
    Path("folder").mkdir()
    return [oct(stat.S_IMODE(os.stat(name).st_mode)) for name in ("made", "folder")]


def warn():
    warnings.warn("look out", stacklevel=1)
    logging.captureWarnings(True)
    warnings.warn("look out again", stacklevel=1)


def wrong_type():
    return object()


CASES = {
    "active-run": active_run,
    "another-run": another_run,
    "argparse": parse_arguments,
    "children": children,
    "data-file": data_file,
    "dictconfig": dictconfig,
    "exit": leave,
    "fork-and-return": fork_and_return,
    "log-levels": log_levels,
    "long-lines": long_lines,
    "metrics": metrics,
    "raise": fail,
    "runs-of-children": runs_of_children,
    "shared-memory": shared_memory,
    "stopped-child": stopped_child,
    "threads": use_threads,
    "umask": use_umask,
    "warn": warn,
    "wrong-type": wrong_type,
}
"""

_RECORD = """
import json
from pathlib import Path

from dioptra.sdk.api.artifact import ArtifactTaskInterface


class Record(ArtifactTaskInterface):
    @staticmethod
    def serialize(working_dir, name, contents, **kwargs):
        path = Path(working_dir, name + ".json")
        path.write_text(json.dumps(contents))
        return path

    @staticmethod
    def deserialize(working_dir, path, **kwargs):
        return json.loads(Path(working_dir, path).read_text())

    @staticmethod
    def validation():
        return None
"""


def observed(folder: Path) -> Path:
    """Write the entrypoint, with files that the platform does not keep."""
    return write(
        folder,
        {
            "dioptra.toml": _CONFIG,
            "observed.yml": _GRAPH,
            "plugins/observed/__init__.py": "",
            "plugins/observed/tasks.py": _TASKS,
            "plugins/observed/parts/helper.py": "",
            "plugins/observed/words.txt": "not in the platform",
            "plugins/observed/data/more.json": "{}",
            "plugins/observed/.cache/hidden.py": "",
            "plugins/observed_artifacts/__init__.py": "",
            "plugins/observed_artifacts/record.py": _RECORD,
        },
    )
