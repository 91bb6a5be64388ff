"""What happens in a proof, in its order; all that was started ends in reverse."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.api.user_client import UserClient
from dioptra_worker.errors import WorkerError
from dioptra_worker.tools.local import LocalStack
from dioptra_worker.tools.local.environment import FORMATS
from dioptra_worker.tools.resources import find_folders, import_folder
from dioptra_worker.tools.resources.account import Account

from . import checks
from .context import ROOT, pip_conf, stage
from .deployment import COMPOSE, STAND_INS, Deployment, deployment_story
from .errors import ProofError
from .images import IMAGES
from .origins import DEBIAN, PYTHON, provide

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .checks import Bench
    from .images import Image
    from .tools import Container, Tools

_GRACE = "3"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What somebody asked of a proof.

    Attributes:
        images: What to prove.
        base_image: What the base is built on; None is the usual one.
        arguments: More build arguments of every image.
        certificates: Files to be trusted in the images.
        wheels: Files that pip is to find.
        build_only: Run nothing.
        run_only: Run what is built already.
        compose: Bring up the Compose file, too.
        cache: The folder of what local stacks share.
    """

    images: Sequence[Image]
    base_image: str | None
    arguments: Mapping[str, str]
    certificates: Sequence[Path]
    wheels: Sequence[Path]
    build_only: bool
    run_only: bool
    compose: bool
    cache: Path | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one check of one image.

    Attributes:
        image: The image's name.
        check: The check's name.
        good: Whether it holds.
        detail: What was seen.
        seconds: How long it took.
    """

    image: str
    check: str
    good: bool
    detail: str
    seconds: float


def play(
    options: Options, tools: Tools, show: Callable[[Outcome], None]
) -> list[Outcome]:
    """Build and run the images.

    Args:
        options: What was asked for.
        tools: What builds and runs.
        show: Told of each outcome as soon as it is there.
    """
    proof = _Proof(options, tools, show)
    with ExitStack() as ending:
        folder = Path(tempfile.mkdtemp(prefix="dioptra-proof-"))
        ending.callback(shutil.rmtree, folder, ignore_errors=True)
        built = list(options.images) if options.run_only else proof.build(folder)
        if tools.runner and not options.build_only:
            if built:
                proof.run(built, folder, ending)
            if options.compose:
                proof.compose(folder)
    return proof.outcomes


class _Proof:
    def __init__(
        self, options: Options, tools: Tools, show: Callable[[Outcome], None]
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._options = options
        self._tools = tools
        self._show = show

    def build(self, folder: Path) -> list[Image]:
        """Build what was asked for; what could be built."""
        options = self._options
        context = folder / "context"
        context.mkdir()
        stage(context, certificates=options.certificates, wheels=options.wheels)
        conf = pip_conf(folder, os.environ)
        built = []
        for image in options.images:
            build = partial(self._build, image, context, pip_conf=conf)
            if self._check(image.name, "built", build):
                built.append(image)
        if options.compose:
            build = partial(self._build, STAND_INS, context, pip_conf=conf)
            self._check(COMPOSE, "built", build)
        return built

    def _build(self, image: Image, context: Path, *, pip_conf: Path | None) -> str:
        own = context / "containers" / image.name
        log = context.with_name(f"{image.name}.log")
        base = self._base(image, log)
        self._tools.build(
            image.tag,
            own / "Dockerfile",
            context=own if image.alone else context,
            arguments={"BASE_IMAGE": base, **self._options.arguments},
            log=log,
            pip_conf=pip_conf,
        )
        return f"{self._tools.size(image.tag) / 1e6:,.0f} MB"

    def _base(self, image: Image, log: Path) -> str:
        """What an image is built on."""
        options = self._options
        if image.name == "base" and options.base_image:
            return options.base_image
        if image.name == "base" or image.bare:
            origin = PYTHON if image.bare else DEBIAN
            return provide(
                origin, self._tools, certificates=options.certificates, log=log
            )
        return IMAGES["base"].tag

    def run(self, images: Sequence[Image], folder: Path, ending: ExitStack) -> None:
        """Run the images on a local stack."""
        queues = [queue for image in images for queue in image.queues]
        stack = LocalStack.up(
            folder / "stack", queues=queues, cache=self._options.cache
        )
        ending.callback(stack.down)
        variables = stack.environment() | {"DIOPTRA_WORKER_SHUTDOWN_GRACE": _GRACE}
        file = folder / "worker.env"
        file.touch(mode=0o600)
        file.write_text(FORMATS["dotenv"](variables) + "\n", encoding="utf-8")
        api = ending.enter_context(Account.read(stack.environment()).session())
        resources = UserClient(api)
        for image in images:
            for found in find_folders([ROOT / image.folder]):
                import_folder(resources, found)
            self._prove(
                checks.Bench(
                    image=image,
                    tools=self._tools,
                    environment=file,
                    api=api,
                    resources=resources,
                )
            )

    def compose(self, folder: Path) -> None:
        """Bring up the Compose file, and look at what is in it."""
        with ExitStack() as ending:
            project = Deployment.begin(self._tools, folder / "compose", ending)
            for name, check in deployment_story(project, self._tools, ending):
                if not self._check(COMPOSE, name, check):
                    return  # each begins where the one before ended

    def _prove(self, bench: Bench) -> None:
        image = bench.image
        with ExitStack() as ending:

            def start() -> str:
                container = ending.enter_context(bench.container("worker"))
                container.wait_for("listens on", seconds=checks.START_SECONDS)
                running.append(container)
                return "listens"

            running: list[Container] = []
            if not self._check(image.name, "started", start):
                return
            (container,) = running
            for name, check in (
                ("user", partial(checks.identity, container)),
                ("process 1", partial(checks.process_1, container)),
                ("read-only", partial(checks.read_only, container)),
                ("health", partial(checks.health, container, bench)),
                ("doctor", partial(checks.doctor, container, bench)),
                ("job", partial(checks.job, bench)),
                ("second queue", partial(checks.second_queue, bench)),
                ("stop, idle", partial(checks.stop_idle, container)),
            ):
                self._check(image.name, name, check)
        self._check(image.name, "stop, waiting", partial(checks.stop_waiting, bench))
        if image.long:
            self._check(image.name, "stop in a job", partial(checks.stop_in_job, bench))

    def _check(self, image: str, name: str, check: Callable[[], str]) -> bool:
        began = time.monotonic()
        try:
            detail, good = check(), True
        except (ProofError, WorkerError, subprocess.TimeoutExpired) as error:
            detail, good = str(error), False
        outcome = Outcome(
            image=image,
            check=name,
            good=good,
            detail=detail,
            seconds=time.monotonic() - began,
        )
        self.outcomes.append(outcome)
        self._show(outcome)
        return good
