"""A queue: in order, patiently, in batches, and nobody waits for it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from tests.plugins.until import until
from tests.unit.daemon.outbox.words import Words

from dioptra_worker.common.stop import (
    JOB_DELETED,
    JobStop,
    StopRequest,
    lease_clock,
)
from dioptra_worker.daemon.outbox.buffer import Buffer
from dioptra_worker.daemon.outbox.delivery_queue import Batch, DeliveryQueue
from dioptra_worker.daemon.outbox.item_store import ItemStore
from dioptra_worker.daemon.outbox.sender import LATE_ARRIVAL_WINDOW
from dioptra_worker.errors import NotFound, ServiceRefused, ServiceUnavailable

if TYPE_CHECKING:
    from pathlib import Path

SOON = 10.0
AWAY = ServiceUnavailable("away", service="shop")
SILENT = ServiceUnavailable("no answer", service="shop", silence=1.0)
NO = ServiceRefused("no", service="shop")
NOBODY = NotFound("nobody", service="shop")


BAD = ServiceRefused("bad", service="shop", status=400)


@dataclass
class Shop:
    """A sender that keeps what it is told and fails as it is told."""

    fails: list[Exception | None] = field(default_factory=list)
    lands: bool = False
    hates: str = ""
    poison: bool = False
    delivered: list[list[str]] = field(default_factory=list)
    waits: int = 0
    refused: list[tuple[list[str], str]] = field(default_factory=list)
    late: float = 0.0
    looks: int = 0
    backs: list[float] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.open.set()

    def deliver(self, items: list[str]) -> None:
        """Deliver, unless it is a failure's turn."""
        self.open.wait(SOON)
        failure = self.fails.pop(0) if self.fails else None
        if self.hates and self.hates in items:
            failure = BAD
        if failure is None or self.lands:
            self.delivered.append(items)
        if failure is not None:
            raise failure

    def count_delivered(self, items: list[str]) -> int:
        """How many of them have come."""
        self.looks += 1
        came = [name for batch in self.delivered for name in batch]
        return len([name for name in items if name in came])

    def late_window(self, items: list[str], error: ServiceUnavailable) -> float:
        """As told."""
        del items, error
        return self.late

    def is_item_rejected(self, error: ServiceRefused) -> bool:
        """A refusal without a status is of all."""
        return error.status == 400

    def may_be_poison(self, items: list[str], error: ServiceUnavailable) -> bool:
        """They are never to blame, or at once."""
        del items, error
        return False

    def is_poison(self, items: list[str], error: ServiceUnavailable) -> bool:
        """As told."""
        del items, error
        return self.poison

    def weight(self, item: str) -> int:
        """Its length."""
        return len(item)

    def on_wait(self, error: ServiceUnavailable) -> None:
        """Count."""
        del error
        self.waits += 1

    def on_back(self, seconds: float) -> None:
        """Keep."""
        self.backs.append(seconds)

    def on_loss(self, count: int) -> None:
        """Keep."""
        self.refused.append(([], f"{count} lost"))

    def on_refusal(self, items: list[str], words: str) -> None:
        """Keep."""
        self.refused.append((items, words))


def _queue(shop: Shop, batch: Batch | None = None) -> DeliveryQueue[str]:
    return DeliveryQueue("shop", shop, batch=batch or Batch(), pace=0.01)


def test_order() -> None:
    """What is put is delivered one by one, in order."""
    shop = Shop()
    with _queue(shop) as queue:
        for name in "abc":
            queue.put(name)
        assert queue.drain(SOON)
    assert shop.delivered == [["a"], ["b"], ["c"]]


def test_batches_by_number_and_weight() -> None:
    """What waits goes together up to a number and a weight; the heavy goes alone."""
    shop = Shop()
    with _queue(shop, Batch(enough=100, age=60, most=3, weight=10)) as queue:
        for name in ["a", "b", "c", "d", "e" * 9, "f", "g" * 40, "h"]:
            queue.put(name)
        assert len(queue) == 8
        assert queue.load == 55
        assert queue.drain(SOON)
        assert (len(queue), queue.load) == (0, 0)
    assert shop.delivered == [
        ["a", "b", "c"],
        ["d", "e" * 9],
        ["f"],
        ["g" * 40],
        ["h"],
    ]


def test_company_is_waited_for() -> None:
    """An item waits for company until there is enough of it."""
    shop = Shop()
    with _queue(shop, Batch(enough=2, age=60, most=9, weight=99)) as queue:
        queue.put("a")
        assert shop.delivered == []
        queue.put("b")
        until(lambda: bool(shop.delivered))
    assert shop.delivered == [["a", "b"]]


def test_age() -> None:
    """An item without company goes when it is old enough."""
    shop = Shop()
    with _queue(shop, Batch(enough=2, age=0.05, most=9, weight=99)) as queue:
        queue.put("a")
        until(lambda: shop.delivered == [["a"]])


def test_put_never_waits() -> None:
    """Leaving an item returns at once while a delivery hangs."""
    shop = Shop()
    shop.open.clear()
    with _queue(shop) as queue:
        began = time.monotonic()
        for number in range(10_000):
            queue.put(str(number))
        assert time.monotonic() - began < SOON / 2
        assert not queue.drain(0.05)
        assert len(queue) == 10_000  # the one under way is one of them
        queue.clear()
        shop.open.set()


def test_waiting() -> None:
    """A delivery that fails is tried again as it was; waiting is told once."""
    shop = Shop(fails=[AWAY, AWAY, AWAY])
    with _queue(shop, Batch(enough=2, age=60, most=9, weight=99)) as queue:
        queue.put("a")
        queue.put("b")
        until(lambda: shop.waits == 1)
        queue.put("c")
        assert queue.drain(SOON)
    assert shop.delivered == [["a", "b"], ["c"]]
    assert shop.waits == 1


def test_waiting_is_told_each_time() -> None:
    """After a delivery that worked, the next wait is told again."""
    shop = Shop(fails=[AWAY, None, AWAY])
    with _queue(shop) as queue:
        queue.put("a")
        queue.put("b")
        assert queue.drain(SOON)
    assert shop.waits == 2


def test_lost_answer() -> None:
    """What arrived although the answer was lost is not delivered again."""
    shop = Shop(fails=[AWAY], lands=True)
    with _queue(shop) as queue:
        queue.put("a")
        queue.put("b")
        assert queue.drain(SOON)
    assert shop.delivered == [["a"], ["b"]]


def test_refused() -> None:
    """What is refused is given up with the reason; the next goes on."""
    shop = Shop(fails=[NO])
    with _queue(shop) as queue:
        queue.put("a")
        queue.put("b")
        assert queue.drain(SOON)
    assert shop.refused == [(["a"], "no")]
    assert shop.delivered == [["b"]]


def test_poison() -> None:
    """What the sender calls poison is given up; the next goes on."""
    shop = Shop(fails=[AWAY], poison=True)
    with _queue(shop) as queue:
        queue.put("a")
        queue.put("b")
        assert queue.drain(SOON)
    assert shop.refused == [(["a"], "away")]
    assert shop.delivered == [["b"]]


@pytest.mark.parametrize("bad", range(7))
def test_one_bad_among_many(bad: int) -> None:
    """One item that is refused costs itself only, and the order stays."""
    names = list("abcdefg")
    shop = Shop(hates=names[bad])
    with _queue(shop, Batch(enough=7, age=60, most=7, weight=99)) as queue:
        for name in names:
            queue.put(name)
        assert queue.drain(SOON)
        assert len(queue) == 0
    assert shop.refused == [([names[bad]], "bad")]
    assert [name for batch in shop.delivered for name in batch] == [
        name for name in names if name != names[bad]
    ]


def test_part_of_a_batch_arrived() -> None:
    """Of a batch whose beginning has arrived only the rest is delivered."""
    shop = Shop(fails=[AWAY], delivered=[["a", "b"]])
    with _queue(shop, Batch(enough=3, age=60, most=3, weight=99)) as queue:
        for name in "abc":
            queue.put(name)
        assert queue.drain(SOON)
    assert shop.delivered == [["a", "b"], ["c"]]


def test_left_by_another_that_could_not_note_it(tmp_path: Path) -> None:
    """Of what another process left, what has arrived is not delivered again."""
    store = ItemStore(tmp_path / "words.sqlite", Words())
    buffer = Buffer(Words().weight, store)
    for name in "abcdef":
        buffer.put(name)
    buffer.flush()
    shop = Shop(delivered=[["a", "b"], ["c", "d"]])
    batch = Batch(enough=2, age=60, most=2, weight=99)
    with DeliveryQueue("shop", shop, batch=batch, buffer=buffer, pace=0.01) as queue:
        assert queue.drain(SOON)
    assert shop.delivered == [["a", "b"], ["c", "d"], ["e", "f"]]
    assert list(store.read(0)) == []


def test_late_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that may still be under way is looked for twice before it is sent."""
    shop = Shop(fails=[AWAY], late=LATE_ARRIVAL_WINDOW)
    sleep = DeliveryQueue._sleep

    def arrive(queue: DeliveryQueue[str], seconds: float) -> None:
        if shop.looks:
            shop.delivered.append(["a"])
        sleep(queue, seconds)

    monkeypatch.setattr(DeliveryQueue, "_sleep", arrive)
    with _queue(shop) as queue:
        queue.put("a")
        assert queue.drain(SOON)
    assert shop.looks == 2
    assert shop.delivered == [["a"]]


def test_a_request_that_may_take_long() -> None:
    """What may arrive much later is looked for that long before it is sent again."""
    shop = Shop(fails=[SILENT], late=5 * LATE_ARRIVAL_WINDOW)
    with _queue(shop) as queue:
        queue.put("a")
        assert queue.drain(SOON)
    assert shop.looks == 6
    assert shop.delivered == [["a"]]


def test_back() -> None:
    """The end of waiting is told once, with how long it took."""
    shop = Shop(fails=[AWAY, AWAY, None, None])
    with _queue(shop) as queue:
        queue.put("a")
        queue.put("b")
        assert queue.drain(SOON)
    assert (shop.waits, len(shop.backs)) == (1, 1)
    assert shop.backs[0] > 0


def test_broken_sender() -> None:
    """A sender with a bug loses one item, not the thread."""
    shop = Shop(fails=[ZeroDivisionError("oh")])
    with _queue(shop) as queue:
        queue.put("a")
        queue.put("b")
        assert queue.drain(SOON)
    assert shop.refused == [(["a"], "ZeroDivisionError: oh")]
    assert shop.delivered == [["b"]]


def test_gone() -> None:
    """That nobody is there is told."""
    shop = Shop(fails=[NOBODY])
    stop = JobStop()
    with DeliveryQueue("shop", shop, batch=Batch(), stop=stop, pace=0.01) as queue:
        queue.put("a")
        assert queue.drain(SOON)
    assert stop.gone == JOB_DELETED


def test_clear() -> None:
    """After clearing nothing waits and nothing is taken any more."""
    shop = Shop(fails=[AWAY] * 1000)
    with _queue(shop) as queue:
        queue.put("a")
        queue.put("b")
        until(lambda: shop.waits == 1)
        queue.clear()
        queue.put("c")
        assert queue.drain(SOON)
        assert (len(queue), queue.load) == (0, 0)
    assert shop.delivered == []


def test_let_go() -> None:
    """Who drains a queue that cannot deliver is let go, now and later."""
    shop = Shop(fails=[AWAY] * 1_000_000)
    stop = JobStop(last_words_timeout=0.2)
    with DeliveryQueue("shop", shop, batch=Batch(), stop=stop, pace=0.01) as queue:
        queue.put("a")
        shutdown = StopRequest("shutdown", "the worker was shut down")
        threading.Timer(0.1, stop.request, [shutdown]).start()
        assert not queue.drain()
        assert not queue.drain()


def test_a_queue_of_who_has_lost_the_job() -> None:
    """Not one item goes out of a queue whose job another worker may have."""
    shop = Shop()
    stop = JobStop()
    stop.own_until(lease_clock())
    with DeliveryQueue("shop", shop, batch=Batch(), stop=stop) as queue:
        queue.put("a")
        ended = queue._ended
        assert ended is not None
        until(lambda: ended.done() or shop.delivered)
    assert shop.delivered == []


def test_leaving() -> None:
    """Leaving ends the thread although the service is away."""
    shop = Shop(fails=[AWAY] * 1_000_000)
    with DeliveryQueue("shop", shop, batch=Batch(), pace=1000) as queue:
        queue.put("a")
        until(lambda: shop.waits == 1)
    assert len(queue) == 1
