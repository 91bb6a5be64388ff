"""A process that fetches an artifact is heard out, given up on, and never left."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.daemon.staging import store_download
from dioptra_worker.errors import ArtifactError, ServiceUnavailable
from dioptra_worker.supervision.forkserver.runner_process import (
    ProcessExit,
    ProcessHandle,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

URI = "s3://bucket/artifacts/a"


class Launcher:
    """Makes a process that has said what it says; its pipe may stay open."""

    def __init__(self, *said: object, ends: bool = True) -> None:
        self.signals: list[int] = []
        self.reports, self._there = os.pipe()
        self.process = ProcessHandle(4711)
        for words in said:
            self.say(words)
        if ends:
            self.close()

    def say(self, words: object) -> None:
        """The process says something, if anybody listens."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._there, json.dumps(words).encode() + b"\n")

    def close(self) -> None:
        """The process's end of the pipe is closed."""
        os.close(self._there)

    def start_download(
        self, uri: str, target: Path, *, is_dir: bool
    ) -> tuple[ProcessHandle, int]:
        """Begin."""
        assert (uri, is_dir) == (URI, False)
        self.target = target
        return self.process, self.reports

    def signal(self, process: ProcessHandle, signum: int) -> None:
        """Signal it."""
        self.signals.append(signum)
        process.set_exit(ProcessExit(code=-signum, peak=None))

    @property
    def is_gone(self) -> bool:
        """Whether neither process nor pipe is left."""
        try:
            os.fstat(self.reports)
        except OSError:
            return self.process.ended.is_set()
        return False


class Listener:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    def begin(self, size: int) -> None:
        """So many bytes will come."""
        self.heard.append(("size", size))

    def received(self, count: int) -> None:
        """So many more bytes are there."""
        self.heard.append(("came", count))


def test_digests_that_were_computed_on_the_way(tmp_path: Path) -> None:
    """What it says of files is handed on."""
    launcher = Launcher({"size": 9}, {"file": "a/b", "sha256": "cd"}, {"done": True})
    listener = Listener()
    found = store_download.fetch(
        launcher,
        URI,
        tmp_path / "target",
        is_dir=False,
        listener=listener,
        check_cancelled=lambda: None,
    )
    assert (found, listener.heard) == ({"a/b": "cd"}, [("size", 9)])


def _fetch(
    launcher: Launcher,
    tmp_path: Path,
    *,
    on_look: Callable[[], object] = lambda: None,
    min_rate: float | None = None,
    stall_timeout: float = 0.5,
) -> Listener:
    listener = Listener()
    store_download.fetch(
        launcher,
        URI,
        tmp_path / "target",
        is_dir=False,
        listener=listener,
        check_cancelled=on_look,
        min_rate=min_rate,
        stall_timeout=stall_timeout,
        exit_timeout=0.1,
    )
    return listener


def test_it_is_heard_out(tmp_path: Path) -> None:
    """Its reports are passed on until it is done, and nothing of it stays."""
    launcher = Launcher({"size": 9}, {"came": 4}, {"came": 5}, {"done": True})
    assert _fetch(launcher, tmp_path).heard == [("size", 9), ("came", 4), ("came", 5)]
    assert launcher.is_gone


def test_it_says_why_it_failed(tmp_path: Path) -> None:
    """Its own words are the error's."""
    launcher = Launcher({"size": 9}, {"error": "S3 did not give it: 403"})
    with pytest.raises(ServiceUnavailable, match="S3 did not give it: 403"):
        _fetch(launcher, tmp_path)
    assert launcher.is_gone


def test_it_ends_without_a_word(tmp_path: Path) -> None:
    """A process that was killed has not fetched anything."""
    launcher = Launcher({"size": 9}, {"came": 9})
    with pytest.raises(ServiceUnavailable, match="ended without a word"):
        _fetch(launcher, tmp_path)
    assert launcher.is_gone


def test_it_hangs(tmp_path: Path) -> None:
    """A process to which nothing comes is given up on, and ended."""
    launcher = Launcher({"size": 9}, ends=False)
    with pytest.raises(ServiceUnavailable, match="nothing came"):
        _fetch(launcher, tmp_path)
    assert launcher.is_gone
    assert launcher.signals == [signal.SIGKILL]
    launcher.close()


def test_a_store_that_is_silent_at_first(tmp_path: Path) -> None:
    """The more a server has to fetch itself, the longer it may be silent."""
    launcher = Launcher({"size": 1000}, ends=False)
    looks = itertools.count(1)

    def speak_late() -> None:
        if next(looks) == 4:
            launcher.say({"done": True})

    listener = _fetch(
        launcher, tmp_path, on_look=speak_late, min_rate=10.0, stall_timeout=0.0
    )
    assert listener.heard == [("size", 1000)]
    launcher.close()


def test_it_ended_and_its_pipe_did_not(tmp_path: Path) -> None:
    """A process that is gone is not waited for, whoever else holds its pipe."""
    launcher = Launcher({"size": 9}, ends=False)
    launcher.process.set_exit(ProcessExit(code=-signal.SIGKILL, peak=None))
    with pytest.raises(ServiceUnavailable, match="was killed by SIGKILL"):
        _fetch(launcher, tmp_path, stall_timeout=1000.0)
    launcher.close()


def test_what_cannot_be_used_here(tmp_path: Path) -> None:
    """What the process found unfit is no failure of the store."""
    launcher = Launcher({"unfit": "it has more than 64 GiB"})
    with pytest.raises(ArtifactError, match="it has more than 64 GiB"):
        _fetch(launcher, tmp_path)
    assert launcher.is_gone


def test_a_job_that_is_stopped(tmp_path: Path) -> None:
    """Who waits for it can give up at any moment, and it ends."""
    launcher = Launcher({"size": 9}, ends=False)

    def stop() -> None:
        raise KeyError("stopped")

    with pytest.raises(KeyError):
        _fetch(launcher, tmp_path, on_look=stop)
    assert launcher.is_gone
    launcher.close()


def test_a_store_that_drips(tmp_path: Path) -> None:
    """A byte now and then is not enough, however long each of them is waited for."""
    launcher = Launcher({"size": 1 << 30}, ends=False)
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.02):
            launcher.say({"came": 1})

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        with pytest.raises(ServiceUnavailable, match="it came at less than 16"):
            _fetch(launcher, tmp_path, stall_timeout=0.3)
    finally:
        over.set()
        dripping.join()
    assert launcher.is_gone
    launcher.close()


def test_a_slow_store_is_waited_for(tmp_path: Path) -> None:
    """What comes at the rate that is asked for may take longer than any silence."""
    said = iter([{"came": 30_000}] * 12 + [{"done": True}])
    launcher = Launcher({"size": 1 << 20}, ends=False)

    def on_look() -> None:
        time.sleep(0.05)
        launcher.say(next(said))

    found = _fetch(launcher, tmp_path, on_look=on_look, stall_timeout=0.2)
    assert len(found.heard) == 13
    launcher.close()


def test_a_store_that_sends_more_than_it_said(tmp_path: Path) -> None:
    """A store that does not end what it said to be small is left."""
    launcher = Launcher({"size": 10}, *[{"came": 1 << 19}] * 3, ends=False)
    with pytest.raises(ServiceUnavailable, match="came, and it had said 10 B"):
        _fetch(launcher, tmp_path)
    launcher.close()
