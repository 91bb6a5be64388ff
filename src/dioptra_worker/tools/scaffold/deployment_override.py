"""The Compose file that puts our images into a deployment of the platform's template.

It lies over the deployment's own file and says only what changes: image, health check,
and the time to stop. So a deployment that is made anew from its template keeps it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dioptra_worker.common.text import plain_yaml
from dioptra_worker.tools.scaffold import ScaffoldError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

COMPOSE_FILES = (
    "docker-compose.yml",
    "docker-compose.yaml",
    "compose.yaml",
    "compose.yml",
)
"""What a deployment's own file is called, in the order in which it is looked for."""

OUTPUT = "docker-compose.override.yml"
"""The file that Docker Compose lays over the deployment's own by itself."""

IMAGES = {
    "tensorflow2-cpu": "dioptra-worker-tensorflow-cpu",
    "tensorflow-cpu": "dioptra-worker-tensorflow-cpu",
    "tensorflow2-gpu": "dioptra-worker-tensorflow-gpu",
    "tensorflow-gpu": "dioptra-worker-tensorflow-gpu",
    "pytorch-cpu": "dioptra-worker-pytorch-cpu",
    "pytorch-gpu": "dioptra-worker-pytorch-gpu",
}
"""The image of ours for each of the platform's, by the last part of its name."""

_STOP_GRACE_PERIOD = "30s"
_WORKERS_FILE = re.compile(r"-worker(-cpu)?\.env$")
_HEALTH_CHECK = """\
    healthcheck:
      test: ["CMD", "dioptra-worker", "health"]
      interval: 15s
      timeout: 5s
      retries: 3
      start_period: 30s
"""


@dataclass(frozen=True)
class Override:
    """What is written, and what is left as it is."""

    text: str
    replaced: Mapping[str, str]
    """The image of ours, by the service that gets it."""
    left: tuple[str, ...]
    """Services that look like workers, for whose images there is none of ours."""


def override(
    deployment: Path, *, prefix: str = "", tag: str = "", images: Mapping[str, str]
) -> Override:
    """Say what a deployment's worker services become.

    Args:
        deployment: The folder with the deployment's Compose file, or that file.
        prefix: What stands before our images' names: a registry, a folder in it.
        tag: Their tag.
        images: The whole name of the image for services of one's own choice.

    Returns:
        The text of the override.

    Raises:
        ScaffoldError: There is no such file, it cannot be read, it has no worker, or
            a service that is named is not in it.
    """
    file = _compose_file(deployment)
    services = _services(file)
    unknown = sorted(images.keys() - services.keys())
    if unknown:
        raise ScaffoldError(
            f"{str(file)!r} has no service {unknown[0]!r}; it has"
            f" {', '.join(sorted(services))}."
        )
    replaced: dict[str, str] = {}
    left = []
    for name, service in services.items():
        ours = IMAGES.get(_last_part(service.get("image")))
        if name in images:
            replaced[name] = images[name]
        elif ours is not None:
            replaced[name] = f"{prefix}{ours}{f':{tag}' if tag else ''}"
        elif _has_workers_environment(service):
            left.append(name)
    if not replaced:
        hint = f" Name the images of {', '.join(left)} with --image." if left else ""
        raise ScaffoldError(
            f"No service of {str(file)!r} has an image of one of the platform's"
            f" workers, such as pytorch-cpu.{hint}"
        )
    return Override(_text(file, replaced), replaced, tuple(left))


def _compose_file(deployment: Path) -> Path:
    if deployment.is_file():
        return deployment
    for name in COMPOSE_FILES:
        if (deployment / name).is_file():
            return deployment / name
    raise ScaffoldError(
        f"{str(deployment)!r} has no {COMPOSE_FILES[0]}: name the folder of a"
        " deployment that was made from the platform's template."
    )


def _services(file: Path) -> dict[str, dict[str, Any]]:
    try:
        document = plain_yaml.load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).replace("\n", " ")
        raise ScaffoldError(f"{str(file)!r} cannot be read: {reason}.") from error
    services = document.get("services") if isinstance(document, dict) else None
    if not isinstance(services, dict):
        raise ScaffoldError(f"{str(file)!r} is no Compose file: it has no 'services'.")
    return {str(k): v for k, v in services.items() if isinstance(v, dict)}


def _last_part(image: object) -> str:
    """An image's name without registry, folder, tag and digest."""
    return str(image or "").rpartition("/")[2].partition("@")[0].partition(":")[0]


def _has_workers_environment(service: Mapping[str, Any]) -> bool:
    files = service.get("env_file") or ()
    found = [files] if isinstance(files, str) else files
    return any(_WORKERS_FILE.search(str(file)) for file in found)


def _text(file: Path, replaced: Mapping[str, str]) -> str:
    services = "\n".join(
        f"  {name}:\n    image: {_quoted(image)}\n"
        f"    stop_grace_period: {_STOP_GRACE_PERIOD}\n{_HEALTH_CHECK}"
        for name, image in replaced.items()
    )
    return f"""\
# Puts dioptra-worker in the place of the platform's workers; lies beside {file.name}.
#
#   docker compose up --detach
#
# All else stays as the deployment has it: arguments, environment, volumes, networks.
# `docker compose config` shows the whole. The time to stop is longer than
# DIOPTRA_WORKER_SHUTDOWN_GRACE and DIOPTRA_WORKER_KILL_GRACE together. Where plugins
# are not trusted, disable the health checks: each is a process whose environment a
# plugin could read.

services:
{services}"""


def _quoted(text: str) -> str:
    """A string as YAML has it; an image's name mostly needs no quotes."""
    return text if re.fullmatch(r"[\w./:@-]+", text) else json.dumps(text)
