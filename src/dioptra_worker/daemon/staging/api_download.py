"""Fetches an artifact through the REST API, which first fetches all of it itself."""

from __future__ import annotations

import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from dioptra_worker.api.errors import SERVICE
from dioptra_worker.common.humanize import duration, size
from dioptra_worker.errors import ArtifactError, ServiceUnavailable
from dioptra_worker.tracking.limits import MIN_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dioptra_worker.api.models import ArtifactParameter
    from dioptra_worker.daemon.staging.transfer import Transfer, Way

TOLD = 32.0
"""Seconds that it may take from which the job's log says that the API is waited for."""
PER_FILE = 0.05
"""Seconds that the API is expected to need for a file beside its bytes, at most."""
TRIES = 3
"""Answers of 500 after which the API does not have what its store does not have."""
UNKNOWN = 600.0
"""Seconds that it may take when nobody knows how much it is."""


class Patiently(Protocol):
    """Calls the API until it answers, or for too long."""

    def __call__(self, call: Callable[[], Any], *, more: float = 0.0) -> Any:
        """Call; *more* are seconds beyond those that any call has."""
        ...


def fetch(
    artifact: ArtifactParameter,
    target: Path,
    *,
    way: Way,
    transfer: Transfer,
    patiently: Patiently,
    check_cancelled: Callable[[], object],
) -> None:
    """Fetch an artifact: the file itself, or a folder as ``tar.gz``.

    Args:
        artifact: What to fetch.
        target: The file to make of it.
        way: What with.
        transfer: Is told how far it is.
        patiently: Calls the API.
        check_cancelled: Called now and then; may raise to give up.

    Raises:
        ArtifactError: If it is too much, or nobody has it.
        ServiceError: If the API did not give it.
    """
    api = way.api
    files, known = 0, transfer.size
    if known is None:
        files, known = api.artifact_extent(artifact.artifact_id)
    patience = _patience(files, known)
    if patience >= TOLD:
        of = "" if known is None else f" ({size(known)})"
        way.say(
            "INFO",
            f"waiting for the REST API, which fetches input artifact {artifact.name!r}"
            f"{of} from its store before it sends anything: that may take up to"
            f" {duration(api.timeout + patience)}",
        )

    whole = _Size(artifact.name, known)
    missing = _Missing(surely=transfer.missing)

    def on_bytes(count: int) -> None:
        check_cancelled()
        transfer.received(count)

    def download() -> None:
        way.limit.extend(patience)
        target.unlink(missing_ok=True)
        if known is not None:
            transfer.begin(known)
        with (
            transfer.watched("through the REST API", sized=not artifact.is_dir),
            missing.expect_shape(),
        ):
            api.artifact_contents(artifact, target, on_bytes, extra_timeout=patience)
        if not artifact.is_dir:
            whole.see(target)

    patiently(download, more=patience)


def _patience(files: int, known: int | None) -> float:
    """Seconds that the API may be silent while it fetches, beyond any answer's."""
    return UNKNOWN if known is None else known / MIN_RATE + files * PER_FILE


class _Missing:
    """Sees that nobody has an artifact, of which the API says no more than 500."""

    def __init__(self, *, surely: bool) -> None:
        self._tries = TRIES if surely else None

    @contextlib.contextmanager
    def expect_shape(self) -> Iterator[None]:
        """Give up when the API has answered 500 often enough.

        Raises:
            ArtifactError: If it has, of what its store does not have.
        """
        try:
            yield
        except ServiceUnavailable as error:
            if self._tries is None or error.status != HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            self._tries -= 1
            if self._tries:
                raise
            raise ArtifactError(
                "its store does not have it any more, and the REST API cannot get it"
                " either: submit the job with another one"
            ) from error


class _Size:
    """Sees that a file did not break off; one that was replaced meanwhile did not.

    An answer may end early without anybody's noticing, and the API knows only how large
    a file was when it was registered. What has another size comes a second time: then
    it is its size.
    """

    def __init__(self, name: str, known: int | None) -> None:
        self._name = name
        self._known = known
        self._before = known

    def see(self, file: Path) -> None:
        """See how much has come.

        Raises:
            ServiceUnavailable: If it is not sure whether that is all.
        """
        found, known = file.stat().st_size, self._known
        if known is None or found in {known, self._before}:
            return
        self._before = found
        raise ServiceUnavailable(
            f"input artifact {self._name!r} came through the REST API with {found:,}"
            f" bytes instead of {known:,}: it is fetched again to see whether the"
            " transfer broke off",
            service=SERVICE,
        )
