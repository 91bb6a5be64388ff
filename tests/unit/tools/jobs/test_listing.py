"""Finding jobs, counted in requests."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.unit.tools.jobs.dioptra import NOON, Dioptra

from dioptra_worker.tools.jobs.listing import Filter, Listing
from dioptra_worker.tools.jobs.timeline_cache import TimelineCache
from dioptra_worker.tools.resources import Unknown

if TYPE_CHECKING:
    from pathlib import Path

ANY = Filter()


def _thousand(jobs: int = 1000) -> Dioptra:
    dioptra = Dioptra()
    for job in range(1, jobs + 1):
        queue = "gpu" if job % 100 == 0 else "cpu"
        dioptra.put(job, ("queued", job), ("started", job), ("finished", job + 1))
        dioptra.jobs[job]["queue"]["name"] = queue
    return dioptra


def _cache(folder: Path) -> TimelineCache:
    return TimelineCache.load(folder, url="http://x", username="ada")


def test_a_page_of_a_thousand(tmp_path: Path) -> None:
    """The newest of a thousand jobs take one request, and one for each that is shown.

    The second time nothing is asked again of what has ended.
    """
    with _thousand().running() as (client, server):
        found = Listing(client, cache=_cache(tmp_path)).find(ANY, limit=10)
        assert [listed.job.id for listed in found.jobs] == list(range(1000, 990, -1))
        assert found.more
        assert len(server.requests) == 2 + 10  # tags, jobs, timelines
        Listing(client, cache=_cache(tmp_path)).find(ANY, limit=10)
        assert len(server.requests) == 12 + 2


def test_a_search_through_a_thousand(tmp_path: Path) -> None:
    """What the API cannot search for is looked for in few long pages; once."""
    dioptra = _thousand()
    wanted = Filter(queue="gpu")
    with dioptra.running() as (client, server):
        found = Listing(client, cache=_cache(tmp_path)).find(wanted, limit=20)
        assert [listed.job.id for listed in found.jobs] == list(range(1000, 0, -100))
        assert not found.more
        pages = [request for request in server.requests if request.path == "jobs/"]
        assert len(pages) == 4
        dioptra.put(1001, ("queued", 2000), queue="gpu")
        dioptra.put(100, ("queued", 100), ("started", 2001), queue="gpu")
        server.requests.clear()
        found = Listing(client, cache=_cache(tmp_path)).find(wanted, limit=2)
        assert [listed.job.id for listed in found.jobs] == [1001, 1000]
        assert len(server.requests) == 2  # tags, what has changed
        found = Listing(client, cache=_cache(tmp_path)).find(
            Filter(status="started"), limit=2
        )
        assert [listed.job.id for listed in found.jobs] == [100]


def test_a_search_in_parts(tmp_path: Path) -> None:
    """One that takes long tells what it has so far, and goes on from there."""
    wanted = Filter(queue="gpu")
    with _thousand(400).running() as (client, server):
        listing = Listing(client, cache=_cache(tmp_path))
        everything = Listing(client, cache=TimelineCache(None)).find(wanted, limit=20)
        server.requests.clear()
        unseen: list[int] = []
        while not unseen or unseen[-1]:
            found = listing.find(wanted, limit=20, seconds=0)
            unseen.append(found.unseen)
            assert found.jobs == everything.jobs[: len(found.jobs)]
        assert found == everything
        assert len(unseen) >= 4
        assert unseen == sorted(set(unseen), reverse=True)  # each goes on
        pages = [it for it in server.requests if it.path == "jobs/"]
        assert len(pages) == 2 * len(unseen) - 1  # what has changed, and one more


def test_a_search_of_the_api_is_not_cut(tmp_path: Path) -> None:
    """Of what the API filters nothing is kept to go on from, so it is all of it."""
    with _thousand(400).running() as (client, _):
        listing = Listing(client, cache=_cache(tmp_path))
        wanted = Filter(queue="gpu", status="finished")
        found = listing.find(wanted, limit=20, seconds=0)
    assert (len(found.jobs), found.unseen) == (4, 0)


def test_part_of_a_thousand(tmp_path: Path) -> None:
    """What was listed of many jobs is not asked for again, whatever happens to them."""
    dioptra = Dioptra()
    for job in range(1, 1001):  # what has not begun has no times to ask for
        dioptra.put(job, ("queued", job))
    with dioptra.running() as (client, server):

        def listed(cache: TimelineCache, limit: int) -> list[tuple[int, str]]:
            found = Listing(client, cache=cache).find(ANY, limit=limit)
            return [(each.job.id, each.job.status) for each in found.jobs]

        listed(_cache(tmp_path), 600)
        server.requests.clear()
        assert listed(_cache(tmp_path), 600)[-1] == (401, "queued")
        assert len(server.requests) == 2  # tags, what has changed
        for change in (
            lambda: dioptra.put(1001, ("queued", 2000)),
            lambda: dioptra.put(5, ("queued", 5), ("started", 2001)),
            lambda: dioptra.put(900, ("queued", 900), ("started", 2002)),
            lambda: dioptra.jobs.pop(901),
            lambda: dioptra.put(dioptra.jobs.popitem()[0] + 1, ("queued", 2003)),
            lambda: dioptra.jobs.pop(7),
        ):
            change()
            everything = listed(TimelineCache(None), 2000)
            for limit in (3, 600, 700, 2000):
                assert listed(_cache(tmp_path), limit) == everything[:limit]


def test_a_filter_of_the_api_goes_before_a_part(tmp_path: Path) -> None:
    """A filter that the API has is left to it while most jobs are not known here."""
    dioptra = Dioptra()
    for job in range(1, 1001):
        dioptra.put(job, ("queued", job))
    dioptra.put(3, ("queued", 3), ("started", 4))
    with dioptra.running() as (client, server):
        Listing(client, cache=_cache(tmp_path)).find(ANY, limit=600)
        server.requests.clear()
        wanted = Filter(status="started")
        found = Listing(client, cache=_cache(tmp_path)).find(wanted, limit=20)
        assert [each.job.id for each in found.jobs] == [3]
        assert len(server.requests) == 3  # tags, jobs, its times


def test_times(tmp_path: Path) -> None:
    """Durations are right for jobs that ran once, and for those that ran again."""
    dioptra = Dioptra()
    dioptra.put(1, ("queued", 0), ("started", 2), ("finished", 5))
    twice = ("queued", 0), ("started", 2), ("queued", 3), ("started", 10)
    dioptra.put(2, *twice, ("failed", 14))
    dioptra.put(3, ("queued", 0), ("deferred", 1), ("failed", 2))
    dioptra.put(4, ("queued", 0), ("started", 1))
    with dioptra.running() as (client, _):
        found = Listing(client, cache=_cache(tmp_path)).find(ANY, limit=9)
    times = {
        each.job.id: (each.timeline.waited, each.took(NOON + timedelta(seconds=4)))
        for each in found.jobs
    }
    assert times == {1: (2, 3), 2: (10, 4), 3: (None, None), 4: (1, 3)}


def test_a_deleted_job_is_forgotten(tmp_path: Path) -> None:
    """A job that was deleted is in no list, although nothing else has changed."""
    dioptra = _thousand()
    with dioptra.running() as (client, _):
        Listing(client, cache=_cache(tmp_path)).find(Filter(queue="gpu"), limit=99)
        del dioptra.jobs[500]
        dioptra.put(1001, ("queued", 2000), queue="gpu")
        found = Listing(client, cache=_cache(tmp_path)).find(
            Filter(queue="gpu"), limit=99
        )
        assert 500 not in [listed.job.id for listed in found.jobs]
        assert found.jobs[0].job.id == 1001


def test_pages(tmp_path: Path) -> None:
    """A page further on begins where the last one ended."""
    with _thousand().running() as (client, _):
        listing = Listing(client, cache=_cache(tmp_path))
        found = listing.find(Filter(queue="gpu"), limit=4, skip=8)
        assert [listed.job.id for listed in found.jobs] == [200, 100]
        assert not found.more


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Filter(job_type="training"), [3, 2]),
        (Filter(job_type="processing"), [4]),
        (Filter(job_type="internal"), [1]),
        (Filter(status="failed"), [2]),
        (Filter(queue="gpu"), [4]),
        (Filter(user="bob"), [3]),
        (Filter(experiment="demo"), [4, 3, 2, 1]),
        (Filter(experiment="3"), [4, 3, 2, 1]),
        (Filter(job_type="training", status="failed"), [2]),
        (Filter(user="nobody"), []),
    ],
)
def test_filters(wanted: Filter, ids: list[int], tmp_path: Path) -> None:
    """Each filter keeps the jobs that fit, the newest first."""
    dioptra = Dioptra(tagged={"training": [7], "other": [5]})
    dioptra.put(1, ("queued", 1), entrypoint=7, tags=["internal"])
    dioptra.put(2, ("queued", 2), ("started", 3), ("failed", 4), entrypoint=7)
    dioptra.put(3, ("queued", 3), ("started", 4), user="bob", entrypoint=7)
    dioptra.put(4, ("queued", 4), queue="gpu")
    with dioptra.running() as (client, _):
        for _ in range(2):  # without and with what is known from before
            found = Listing(client, cache=_cache(tmp_path)).find(wanted, limit=9)
            assert [listed.job.id for listed in found.jobs] == ids


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Filter(experiment="dmo"), "no experiment 'dmo': there is 'demo'"),
        (Filter(queue="cqu"), "no queue 'cqu': there is 'cpu'"),
        (Filter(entrypoint="nope"), "no entrypoint 'nope': there is 'train'"),
        (Filter(user="eve"), "no user 'eve': there is 'ada'"),
    ],
)
def test_a_name_that_nothing_has(wanted: Filter, words: str, tmp_path: Path) -> None:
    """A mistyped name is no empty list: it is told, with what there is."""
    with Dioptra().running() as (client, _):
        listing = Listing(client, cache=_cache(tmp_path))

        def look() -> None:
            assert not listing.find(wanted, limit=1).jobs
            listing.refuse_unknown(wanted)

        with pytest.raises(Unknown, match=words):
            look()
        listing.refuse_unknown(Filter(queue="cpu", entrypoint="5", user="ada"))


def test_durations(tmp_path: Path) -> None:
    """Age counts from the submission, and what was taken from the last start."""
    dioptra = Dioptra()
    dioptra.put(1, ("queued", 0), ("started", 1), ("queued", 2), ("started", 5))
    dioptra.put(2, ("queued", 1), ("started", 2), ("failed", 4.5))
    dioptra.put(3, ("queued", 2))
    now = NOON + timedelta(seconds=10)
    with dioptra.running() as (client, _):
        found = Listing(client, cache=_cache(tmp_path)).find(ANY, limit=9)
    told = {listed.job.id: (listed.age(now), listed.took(now)) for listed in found.jobs}
    assert told == {1: (10, 5), 2: (9, 2.5), 3: (8, None)}


def test_a_broken_shelf(tmp_path: Path) -> None:
    """A file that cannot be read is made anew, without a word."""
    dioptra = Dioptra()
    dioptra.put(1, ("queued", 0), ("started", 1), ("failed", 2))
    with dioptra.running() as (client, _):
        cache = _cache(tmp_path)
        assert cache.file is not None
        for text in ("{", "[]", '{"version": 1}', '{"version": 99}'):
            tmp_path.mkdir(exist_ok=True)
            cache.file.write_text(text)
            found = Listing(client, cache=_cache(tmp_path)).find(ANY, limit=9)
            assert [listed.job.id for listed in found.jobs] == [1]
        assert cache.file.stat().st_mode & 0o077 == 0
