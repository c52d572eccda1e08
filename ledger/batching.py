"""Draws of many callers of this process, written together: one transaction for all that wait on a wallet.

Callers (threads of requests) wait in a queue per wallet and actor. A drainer, a thread with a connection of its own,
takes what is there, at most :data:`MOST` draws, and draws for all of them in one transaction (``drawing.draw_many``);
each caller gets its own answer after the COMMIT. An idle queue is drained at once; after a full round the drainer waits
a moment (:data:`LINGER_SECONDS`) for the callers it has just answered to come back. Several processes take turns on the
wallet's lock.

Nobody waits for ever: whatever happens to a drainer or its connection, its callers get an answer, and a caller gives up
after :data:`ANSWER_SECONDS`. An answer that was lost is got by sending the same draw again: its key is remembered.
"""

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import ClassVar, Final

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from billing_ops.kit import clock
from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import BillingError
from ledger import drawing
from ledger.drawn import Drawn
from ledger.rules.draws import Order

logger = logging.getLogger("ledger.batching")

MOST: Final = 1_000
"""Draws in one transaction."""
WAITING: Final = 10_000
"""Draws that may wait in one process; more are refused at once."""
LINGER_SECONDS: Final = 0.002
ANSWER_SECONDS: Final = 30.0
DRAINERS: Final = 4
_IDLE_SECONDS: Final = 30.0

Draw = Callable[[Sequence[Order], datetime, Actor], Sequence[Drawn | BillingError]]


class TooManyDraws(BillingError):
    """More draws wait than this process takes."""

    code = "credit.draws_busy"
    http_status = 429
    remedy = "Send the same draw again after the seconds that Retry-After says, or many in one request."
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class DrawUnanswered(BillingError):
    """Whether the draw was made is not known: the process or the database went away."""

    code = "credit.draw_unanswered"
    http_status = 503
    kept = "It may have been drawn, at most once."
    remedy = "Send the same draw with the same key again: it is drawn once, and answered as it was."
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class _Caller:
    """One draw that waits: its latch opens when ``answer`` is there."""

    __slots__ = ("answer", "latch", "order")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.answer: Drawn | BillingError | None = None
        self.latch = threading.Lock()
        self.latch.acquire()


class _Queue:
    """The callers of one wallet and actor. At most one drainer has it."""

    __slots__ = ("actor", "callers", "enough", "lately", "scheduled", "wanted")

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.callers: deque[_Caller] = deque()
        self.scheduled = False
        self.lately = 0
        """How many were answered last."""
        self.wanted = 0
        """While the drainer lingers: with how many it stops."""
        self.enough = threading.Lock()
        self.enough.acquire()


class Batcher:
    """The queues and drainers of one process. ``draw_many`` writes a batch and answers each order."""

    def __init__(
        self,
        draw_many: Draw,
        *,
        most: int = MOST,
        waiting: int = WAITING,
        linger_seconds: float = LINGER_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        drainers: int = DRAINERS,
    ) -> None:
        self._draw_many = draw_many
        self._most = most
        self._bound = waiting
        self._linger_seconds = linger_seconds
        self._answer_seconds = answer_seconds
        self._drainers = drainers
        self._begin()

    def _begin(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._queues: dict[tuple[str, str, str, str], _Queue] = {}
        self._ready: deque[_Queue] = deque()
        self._waiting = 0
        self._threads = 0
        self._idle = 0
        self._closed = False

    def draw(self, order: Order, *, actor: Actor) -> Drawn:
        """Wait for a draw's answer. Raises as ``drawing.draw``, and :class:`TooManyDraws`, :class:`DrawUnanswered`."""
        caller = _Caller(order)
        self._enter(caller, actor)
        if not caller.latch.acquire(timeout=self._answer_seconds):
            raise DrawUnanswered("The draw was not answered in time.")
        if isinstance(caller.answer, Drawn):
            return caller.answer
        raise caller.answer or DrawUnanswered("The draw was not answered.")

    def close(self, *, seconds: float = 10.0) -> None:
        """Take no more draws, and wait until those that wait are answered."""
        deadline = time.monotonic() + seconds
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            while self._waiting and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)

    def _enter(self, caller: _Caller, actor: Actor) -> None:
        order = caller.order
        name = (order.customer_key, order.unit, actor.type, actor.id)
        with self._changed:
            if self._closed:
                raise DrawUnanswered("This process is shutting down.", kept="Nothing was drawn.")
            if self._waiting >= self._bound:
                raise TooManyDraws(f"{self._waiting} draws wait already.")
            queue = self._queues.get(name)
            if queue is None:
                queue = self._queues[name] = _Queue(actor)
            queue.callers.append(caller)
            self._waiting += 1
            if not queue.scheduled:
                queue.scheduled = True
                self._ready.append(queue)
                if self._idle:
                    self._changed.notify()
                elif self._threads < self._drainers:
                    self._start()
            elif queue.wanted and len(queue.callers) >= queue.wanted:
                queue.wanted = 0
                queue.enough.release()

    def _drain(self) -> None:
        """A drainer's life: queue after queue, until there is nothing to do for a while."""
        try:
            while (queue := self._next()) is not None:
                self._serve(queue)
        finally:
            connection.close()
            with self._changed:
                self._threads -= 1
                if self._ready and not self._idle:  # this one broke: another goes on
                    self._start()

    def _start(self) -> None:
        self._threads += 1
        threading.Thread(target=self._drain, name="draws", daemon=True).start()

    def _next(self) -> _Queue | None:
        with self._changed:
            while not self._ready:
                self._idle += 1
                woken = self._changed.wait(_IDLE_SECONDS)
                self._idle -= 1
                if not self._ready and (self._closed or not woken):
                    return None
            return self._ready.popleft()

    def _linger(self, queue: _Queue) -> None:
        """Let who was just answered come back, for a moment: one flush to disk serves them all."""
        with self._changed:
            wanted = min(queue.lately, self._most)
            if wanted < 2 or len(queue.callers) >= wanted or self._closed:
                return
            queue.wanted = wanted
        if not queue.enough.acquire(timeout=self._linger_seconds):
            with self._changed:
                if not queue.wanted:  # enough came in the meantime
                    queue.enough.acquire()
                queue.wanted = 0

    def _serve(self, queue: _Queue) -> None:
        callers: list[_Caller] = []
        answers: Sequence[Drawn | BillingError] = ()
        try:
            self._linger(queue)
            with self._changed:
                callers = [queue.callers.popleft() for _ in range(min(len(queue.callers), self._most))]
            answers = self._answers([caller.order for caller in callers], queue.actor)
        finally:  # whatever happened, nobody is left waiting
            for position, caller in enumerate(callers):
                caller.answer = answers[position] if position < len(answers) else None
                caller.latch.release()
            self._leave(queue, len(callers))

    def _leave(self, queue: _Queue, answered: int) -> None:
        with self._changed:
            self._waiting -= answered
            queue.lately = answered
            if queue.callers:
                self._ready.append(queue)
                if self._idle:
                    self._changed.notify()
            else:
                queue.scheduled = False
                self._forget(queue)
            if self._closed and not self._waiting:
                self._changed.notify_all()

    def _forget(self, queue: _Queue) -> None:
        """Keep the queues that are in use: of wallets that nobody draws on now, none."""
        if len(self._queues) > self._bound:
            self._queues = {name: kept for name, kept in self._queues.items() if kept.scheduled or kept is queue}

    def _answers(self, orders: Sequence[Order], actor: Actor) -> Sequence[Drawn | BillingError]:
        for last_try in (False, True):
            try:
                return self._draw_many(orders, clock.now(), actor)
            except (OperationalError, InterfaceError) as error:
                # The connection may be an old one that the server has closed: keys make it safe to try again, once.
                connection.close()
                if last_try:
                    logger.warning("%s draws were not answered: %s", len(orders), error)
                    return [DrawUnanswered("The database did not answer.") for _ in orders]
            except (BillingError, DatabaseError) as error:
                if isinstance(error, BillingError):
                    return [error for _ in orders]
                logger.exception("%s draws were not answered", len(orders))
                connection.close()
                return [DrawUnanswered("The database did not answer.") for _ in orders]
        raise AssertionError("not reached")


def _draw_many(orders: Sequence[Order], at: datetime, actor: Actor) -> Sequence[Drawn | BillingError]:
    return drawing.draw_many(orders=orders, at=at, actor=actor)


_batcher = Batcher(_draw_many)
atexit.register(_batcher.close)
os.register_at_fork(after_in_child=_batcher._begin)


def draw(order: Order, *, actor: Actor) -> Drawn:
    """Draw through this process's batcher; inside a transaction of the caller's it is drawn in that one."""
    if connection.in_atomic_block:
        (answer,) = drawing.draw_many(orders=[order], at=clock.now(), actor=actor)
        if isinstance(answer, BillingError):
            raise answer
        return answer
    return _batcher.draw(order, actor=actor)
