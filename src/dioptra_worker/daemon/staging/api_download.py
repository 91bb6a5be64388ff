"""Fetches an artifact through the REST API, which first fetches all of it itself."""

from __future__ import annotations

import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING

from dioptra_worker.api.errors import SERVICE
from dioptra_worker.common.text.humanize import duration, size
from dioptra_worker.errors import ArtifactError, ServiceUnavailable
from dioptra_worker.tracking.limits import MIN_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dioptra_worker.api.models import ArtifactParameter
    from dioptra_worker.daemon.staging.transfer import Transfer, TransferContext

ANNOUNCED_WAIT = 32.0
"""Seconds that it may take from which the job's log says that the API is waited for."""
SECONDS_PER_FILE = 0.05
"""Seconds that the API is expected to need for a file beside its bytes, at most."""
MAX_SERVER_ERRORS = 3
"""Answers of 500 after which the API does not have what its store does not have."""
UNKNOWN_SIZE_TIMEOUT = 600.0
"""Seconds that it may take when nobody knows how much it is."""


def fetch(
    artifact: ArtifactParameter,
    target: Path,
    *,
    context: TransferContext,
    transfer: Transfer,
) -> None:
    """Fetch an artifact: the file itself, or a folder as ``tar.gz``.

    Args:
        artifact: What to fetch.
        target: The file to make of it.
        context: What all transfers share.
        transfer: Is told how far it is.

    Raises:
        ArtifactError: If it is too much, or nobody has it.
        ServiceError: If the API did not give it.
    """
    api = context.api
    files, known = 0, transfer.size
    if known is None:
        files, known = api.artifact_extent(artifact.artifact_id)
    silence = _expected_silence(files, known)
    if silence >= ANNOUNCED_WAIT:
        of = "" if known is None else f" ({size(known)})"
        context.log(
            "INFO",
            f"waiting for the REST API, which fetches input artifact {artifact.name!r}"
            f"{of} from its store before it sends anything: that may take up to"
            f" {duration(api.timeout + silence)}",
        )

    size_check = _SizeCheck(artifact.name, known)
    server_errors = _ServerErrorLimit(applies=transfer.missing)

    def on_bytes(count: int) -> None:
        context.check_cancelled()
        transfer.received(count)

    def download() -> None:
        context.deadline.extend(silence)
        target.unlink(missing_ok=True)
        if known is not None:
            transfer.begin(known)
        with (
            transfer.attempt("through the REST API", sized=not artifact.is_dir),
            server_errors.counted(),
        ):
            api.artifact_contents(artifact, target, on_bytes, extra_timeout=silence)
        if not artifact.is_dir:
            size_check.verify(target)

    context.retry(download, extra_timeout=silence)


def _expected_silence(files: int, known: int | None) -> float:
    """Seconds that the API may be silent while it fetches, beyond any answer's."""
    return (
        UNKNOWN_SIZE_TIMEOUT
        if known is None
        else known / MIN_RATE + files * SECONDS_PER_FILE
    )


class _ServerErrorLimit:
    """Gives up on an artifact that its store does not have.

    The API answers 500 for what its store does not have, as for failures that may
    pass. So where the store itself has said so, some answers of 500 are believed.
    """

    def __init__(self, *, applies: bool) -> None:
        self._left = MAX_SERVER_ERRORS if applies else None

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Count an answer of 500.

        Raises:
            ArtifactError: If that were enough of them.
        """
        try:
            yield
        except ServiceUnavailable as error:
            if self._left is None or error.status != HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            self._left -= 1
            if self._left:
                raise
            raise ArtifactError(
                "its store does not have it any more, and the REST API cannot get it"
                " either: submit the job with another one"
            ) from error


class _SizeCheck:
    """Tells a file that broke off from one that was replaced meanwhile.

    An answer may end early without anybody's noticing, and the API knows only how large
    a file was when it was registered. So what has another size is fetched once more: if
    it has the same other size again, that is its size by now.
    """

    def __init__(self, name: str, known: int | None) -> None:
        self._name = name
        self._known = known
        self._previous = known

    def verify(self, file: Path) -> None:
        """Check how much has come.

        Raises:
            ServiceUnavailable: If it is not sure whether that is all.
        """
        found, known = file.stat().st_size, self._known
        if known is None or found in {known, self._previous}:
            return
        self._previous = found
        raise ServiceUnavailable(
            f"input artifact {self._name!r} came through the REST API with {found:,}"
            f" bytes instead of {known:,}: it is fetched again to see whether the"
            " transfer broke off",
            service=SERVICE,
        )
