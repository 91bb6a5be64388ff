"""The errors of the worker.

.. code-block:: text

    WorkerError
     ├─ SettingsError            the environment or the command line is not usable
     ├─ PayloadError             a queue entry is not a Dioptra job
     ├─ BundleError              a plugin bundle or artifact archive cannot be unpacked
     ├─ ArtifactError            an input artifact cannot be used here, by whatever way
     ├─ RunnerError              a runner could not be started or spoken to
     ├─ WorkerTrouble            this machine lacks something that any job needs
     ├─ NameTaken                another process has this worker's name by now
     └─ ServiceError             a service did not do what it was asked
         ├─ ServiceUnavailable   it may do so later: wait and try again
         │   └─ ForeignAnswer    not by the service: by what stands in front of it
         │       └─ PathUnknown  who answers knows no such path; is it the service?
         └─ ServiceRefused       it will not: the request or our rights are wrong
             ├─ LoginRefused     the user or the password
             ├─ PlatformTooOld   its version lacks what a worker needs
             ├─ NotFound         the thing is not (or no longer) there
             └─ Conflict         the thing is already there, or in another state

The engine has its own tree in `dioptra_worker.engine`, since it imports nothing of
the rest. A message names the thing and the way out; what a program wants to look at
is an attribute.
"""

from __future__ import annotations


class WorkerError(Exception):
    """Root of every error that this package raises on purpose."""


class SettingsError(WorkerError):
    """The environment or the command line is not usable.

    Attributes:
        problems: One sentence per setting that is missing or malformed.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class PayloadError(WorkerError):
    """A queue entry is not a Dioptra job; it is never called or unpickled."""


class BundleError(WorkerError):
    """A plugin bundle or an artifact archive cannot be unpacked safely."""


class ArtifactError(WorkerError):
    """An input artifact cannot be used on this machine, whoever gives it."""


class WorkerTrouble(WorkerError):
    """This machine lacks something that any job needs, such as threads."""


class NameTaken(WorkerError):
    """Another process has this worker's name by now."""


class RunnerError(WorkerError):
    """A runner process could not be started or spoken to."""


class ForkserverLost(RunnerError):
    """The fork server ended while it was asked for a process."""


class ServiceError(WorkerError):
    """A service did not do what it was asked.

    Attributes:
        service: The service's name for people, such as ``"Dioptra API"``.
        status: The HTTP status code, when there was an answer at all.
        detail: The service's own words.
    """

    def __init__(
        self,
        message: str,
        *,
        service: str,
        status: int | None = None,
        detail: object = None,
    ) -> None:
        self.service = service
        self.status = status
        self.detail = detail
        super().__init__(message)


class ServiceUnavailable(ServiceError):
    """The service may answer later: connection, timeout, 429, 5xx.

    Attributes:
        retry_after: Seconds that the service asked us to wait, if it did.
        silence: Seconds that we waited for an answer after which we gave up: it may
            do what it was asked all the same, and much later.
    """

    def __init__(
        self,
        message: str,
        *,
        service: str,
        status: int | None = None,
        detail: object = None,
        retry_after: float | None = None,
        silence: float = 0.0,
    ) -> None:
        self.retry_after = retry_after
        self.silence = silence
        super().__init__(message, service=service, status=status, detail=detail)


class ForeignAnswer(ServiceUnavailable):
    """Something in front of the service has answered in its place, such as a proxy.

    What the service itself would say is yet to be heard.
    """


class PathUnknown(ForeignAnswer):
    """Who answers knows no such path: an older API, or a proxy before one that is away.

    It is no `NotFound`, which only the API itself can say.
    """


class ServiceRefused(ServiceError):
    """The service will not do it, however often it is asked: a 4xx."""


class LoginRefused(ServiceRefused):
    """The API knows no such user, or the password is wrong."""


class PlatformTooOld(ServiceRefused):
    """The platform's version lacks what a worker needs."""


class NotFound(ServiceRefused):
    """The thing is not, or no longer, there: a 404."""


class Conflict(ServiceRefused):
    """The thing is already there: a 409."""
