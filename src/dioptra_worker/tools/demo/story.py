"""What happens in a demo, in its order; and all of it ends in reverse."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.api.user_client import Resources
from dioptra_worker.tools.demo.scenes import SCENES
from dioptra_worker.tools.demo.worker import run_worker
from dioptra_worker.tools.local import LocalStack
from dioptra_worker.tools.resources import (
    Submission,
    find_folders,
    import_folder,
    read_result,
    submit,
    wait,
)
from dioptra_worker.tools.resources.account import Account

if TYPE_CHECKING:
    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.tools.demo.scenes import Scene
    from dioptra_worker.tools.demo.show import Show
    from dioptra_worker.tools.demo.worker import Worker
    from dioptra_worker.tools.resources import JobResult

QUEUE = "demo"
EXPERIMENT = "demo"
JOB_SECONDS = 180.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What the jobs run on.

    Attributes:
        stack: The local stack.
        worker: The daemon.
        api: A session with the stack's API.
        resources: The same session, for what people ask of it.
    """

    stack: LocalStack
    worker: Worker
    api: DioptraApi
    resources: Resources


def play(entrypoints: Path, *, keep: bool, show: Show, cache: Path | None) -> bool:
    """Run the demo.

    Args:
        entrypoints: The folder with the examples.
        keep: Leave the stack and the worker running, unless something goes wrong.
        show: Prints.
        cache: The folder of what local stacks share.

    Returns:
        Whether every job ended as intended.

    Raises:
        WorkerError: The demo could not be run to its end.
        StackError: The local stack could not be brought up.
    """
    began = time.monotonic()
    folders = find_folders([entrypoints])
    home = Path(tempfile.mkdtemp(prefix="dioptra-demo-"))
    with ExitStack() as ending:
        ending.callback(shutil.rmtree, home, ignore_errors=True)
        show.chapter("A Dioptra on this machine")
        stack = LocalStack.up(home, queues=[QUEUE], cache=cache, progress=show.step)
        ending.callback(stack.down)
        worker = ending.enter_context(
            run_worker(stack.environment(), QUEUE, stack.directory)
        )
        show.worker(worker)
        api = ending.enter_context(Account.read(stack.environment()).session())
        stage = Stage(stack=stack, worker=worker, api=api, resources=Resources(api))
        show.chapter("Import")
        for folder in folders:
            show.imported(import_folder(stage.resources, folder))
        results = _run_all(stage, show)
        show.summary(results, seconds=time.monotonic() - began)
        if keep:
            worker.kept = True
            api.close()
            ending.pop_all()
            show.how_to_stop(stack, worker)
        else:
            show.ending()
    return all(result.job.status == scene.outcome for scene, result in results)


def _run_all(stage: Stage, show: Show) -> list[tuple[Scene, JobResult]]:
    results: dict[str, JobResult] = {}
    for scene in SCENES:
        result = _run(scene, results, stage, show)
        results[scene.entrypoint] = result
        show.result(scene, result, mlflow=stage.stack.service("mlflow").url)
    return [(scene, results[scene.entrypoint]) for scene in SCENES]


def _run(
    scene: Scene, earlier: dict[str, JobResult], stage: Stage, show: Show
) -> JobResult:
    """Submit a job and wait for its end, with an eye on the worker."""
    job_id = submit(
        stage.resources,
        Submission(
            entrypoint=scene.entrypoint,
            queue=QUEUE,
            experiment=EXPERIMENT,
            values=scene.values,
            artifacts={
                parameter: earlier[entrypoint].artifact(name)
                for parameter, (entrypoint, name) in scene.inputs.items()
            },
            timeout="10m",
            description=scene.about,
        ),
    )
    show.submitted(scene, job_id)

    def pause(seconds: float) -> None:
        stage.worker.check()
        time.sleep(seconds)

    with show.waiting(scene, job_id) as on_status:
        wait(stage.api, job_id, seconds=JOB_SECONDS, on_status=on_status, sleep=pause)
    return read_result(stage.api, stage.resources, job_id)
