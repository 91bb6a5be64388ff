"""What one local stack is made of; kept in its folder as ``stack.json``."""

from __future__ import annotations

import contextlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.files.plain_file import write_whole
from dioptra_worker.common.files.removal import remove
from dioptra_worker.common.files.trusted_folder import check
from dioptra_worker.tools.local.errors import NoStack, StackError
from dioptra_worker.tools.local.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

VALKEY, S3, MLFLOW, API = "valkey", "s3", "mlflow", "api"
SERVICES = (VALKEY, S3, MLFLOW, API)
BUCKET = "dioptra"
REGION = "us-east-1"

REGISTRATION_HEADER = "X-Dioptra-Worker-Registration"
"""Has `StackConfig.registration_key`, in a request for the first user."""

_FILE = "stack.json"
_FORMAT = 1


@dataclass(frozen=True)
class StackConfig:
    """Everything that is fixed when a stack is made, its secrets included.

    Attributes:
        directory: The stack's folder.
        ports: The port of each service on 127.0.0.1.
        peer_python: The interpreter of the REST API's environment.
        proxied_artifacts: Whether MLflow hands out ``mlflow-artifacts:`` roots, so
            that artifacts pass through it, instead of ``s3://`` ones.
        queues: The names of the queues to register.
        username: The worker's user in the REST API.
        password: Its password.
        queue_password: The password of Valkey.
        access_key: The S3 access key.
        secret_key: The S3 secret key.
        session_key: What the REST API signs its sessions with.
        token: A text in the environment of every process of this stack.
    """

    directory: Path
    ports: Mapping[str, int]
    peer_python: Path
    proxied_artifacts: bool = False
    queues: tuple[str, ...] = ("local",)
    username: str = "worker"
    password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    queue_password: str = field(
        default_factory=lambda: secrets.token_hex(16), repr=False
    )
    access_key: str = "local"
    secret_key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    session_key: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    token: str = field(
        default_factory=lambda: f"dioptra-local-stack-{secrets.token_hex(8)}"
    )

    @property
    def registration_key(self) -> str:
        """What lets somebody register a user in the REST API who has none yet."""
        key = self.session_key.encode()
        return hmac.new(key, b"registration", "sha256").hexdigest()

    def url(self, service: str) -> str:
        """Return the address of a service, without a password."""
        scheme = "redis" if service == VALKEY else "http"
        return f"{scheme}://{HOST}:{self.ports[service]}"

    @property
    def queue_url(self) -> str:
        """The address of Valkey, with its password."""
        return f"redis://:{self.queue_password}@{HOST}:{self.ports[VALKEY]}/0"

    def save(self) -> None:
        """Write ``stack.json``, readable for its owner only."""
        content = asdict(self) | {
            "format": _FORMAT,
            "directory": str(self.directory),
            "peer_python": str(self.peer_python),
        }
        text = json.dumps(content, indent=1)
        write_whole(self.directory / _FILE, text.encode())

    def remove(self) -> None:
        """Remove the stack's folder; what says that it is one goes last."""
        with contextlib.suppress(FileNotFoundError):
            for path in sorted(self.directory.iterdir()):
                if path.name != _FILE:
                    remove(path)
        remove(self.directory)

    @staticmethod
    def exists(directory: Path) -> bool:
        """Tell whether there is a stack in that folder, running or not."""
        return (directory / _FILE).exists()

    @classmethod
    def load(cls, directory: Path) -> StackConfig:
        """Read ``stack.json``.

        Raises:
            NoStack: There is none.
            StackError: It is not one that this version wrote.
            UntrustedFolder: Somebody else could have written it.
        """
        path = directory / _FILE
        try:
            check(directory)  # it names programs to be run
            content = json.loads(path.read_text())
        except FileNotFoundError:
            raise NoStack(directory) from None
        except json.JSONDecodeError as error:
            raise _unreadable(path, str(error)) from error
        if content.pop("format", None) != _FORMAT:
            raise _unreadable(path, "another version of dioptra-worker wrote it")
        content |= {
            "directory": directory,
            "peer_python": Path(content["peer_python"]),
            "queues": tuple(content["queues"]),
        }
        return cls(**content)


def _unreadable(path: Path, reason: str) -> StackError:
    return StackError(
        f"Cannot read {str(path)!r}: {reason}. End the stack's processes, remove the "
        f"folder {str(path.parent)!r} and run `dioptra-worker local up` again."
    )
