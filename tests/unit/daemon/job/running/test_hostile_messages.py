"""Whatever a runner says, in whatever order: the platform is told of its job only."""

from __future__ import annotations

import contextlib
from typing import Any, cast, get_args

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.daemon.job.running.test_events import (
    PLAN,
    STORED,
    scene_of,
)
from tests.unit.daemon.outbox.simulated_api import GROUP, SimulatedApi

from dioptra_worker.daemon.job.preparation import Prepared
from dioptra_worker.protocol.codec import decode_from_runner, encode
from dioptra_worker.protocol.messages import (
    ArtifactStored,
    Metric,
    RunnerMessage,
    RunStarted,
    StepEnded,
    StepStarted,
)
from dioptra_worker.supervision.channel.message_limits import (
    LimitReached,
    MessageChecks,
    NotBelieved,
)

RUN = RunStarted(run_id="abc", artifact_uri="s3://b/abc")
NAMES = st.sampled_from(["m", "one", "two", "act", "other", "", "loss", "lo ss"])
URIS = st.sampled_from(
    ["s3://b/abc/m", "s3://b/other/m", "s3://b/abc/../m", "s3://b/abc", ""]
)
NEAR = st.one_of(
    st.builds(ArtifactStored, name=NAMES, uri=URIS),
    st.builds(RunStarted, run_id=NAMES, artifact_uri=URIS),
    st.builds(
        StepStarted,
        step=NAMES,
        task=NAMES,
        index=st.integers(0, 3),
        total=st.integers(1, 3),
    ),
    st.builds(StepEnded, step=NAMES),
    st.builds(Metric, name=NAMES),
)
"""What could be this job's, and what is almost."""
MESSAGES = NEAR | st.one_of(*map(st.from_type, get_args(RunnerMessage)))


class _Sessions:
    """An API that gives sessions, and nothing else."""

    url = "http://api"

    def cookies(self, *, renew: bool) -> dict[str, str]:
        """A session."""
        return {"session": str(renew)}


@given(st.lists(MESSAGES, max_size=20))
def test_whatever_is_said(said: list[RunnerMessage]) -> None:
    """One run, its own artifacts, steps of its graph; no other error than a refusal."""
    api = SimulatedApi()
    checks = MessageChecks()
    with scene_of(api, client=cast("Any", _Sessions())) as scene:
        scene.prepared.set_result(Prepared(plan=PLAN, worker_run="", group_id=GROUP))
        for message in (RUN, *said):
            try:
                received = decode_from_runner(encode(message)[:-1])
            except ValueError:
                continue
            with contextlib.suppress(NotBelieved, LimitReached):
                scene.events.message(checks.checked(received))
    assert api.run_id == RUN.run_id
    assert api.artifacts in ([], [STORED.uri])
    own = {record.message for record in api.log if "dioptra" in record.logger}
    assert all("other" not in text for text in own)
