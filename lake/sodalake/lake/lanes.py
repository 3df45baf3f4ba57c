"""Lanes: readers kept open on Dask workers, and calls that survive the workers' deaths.

A submitted task costs about 10 ms, a call to an actor about 1 ms, so real-time requests go to actors (`laneactor`): one
`Reader` a worker, with its connections and its open files. What Dask does not do for actors is done here:

- a dead worker's actor raises `OSError` at first and `RuntimeError` for good; a new one is made on a worker that
  lives (never pinned to the dead address, where it would wait for ever), and the request is sent again;
- every call has a deadline, on both sides: a reader does not start what nobody waits for any more.

A lane is the workers that offer a Dask resource. Those of the fast lane offer `LANE`; batch work never runs there (a
busy worker made a call 8 ms). Other lanes' readers are on workers of other resources and may stand back (`niceness`).

An answer that is made bit by bit is a *stream*: `Lane.open` begins it on a worker and returns its first bytes, mostly
all of them; the rest is made there one piece ahead of who fetches it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from distributed import Client
from distributed.core import Status
from distributed.protocol.pickle import dumps

from .alerts import Question
from .errors import LakeError, Unavailable
from .laneactor import Failed, Finish, ReaderActor, Warm, late
from .streams import Begin, Piece

__all__ = ["LANE", "Finish", "Lane", "LaneStream"]

LANE = "sodalake-fast"
"""Name of the Dask resource that the fast lane's workers offer."""

_LOOK = 0.25  # seconds a call may take before its worker is looked after
_MAKE = 20.0  # seconds to make an actor, imports on a busy machine included, before it is begun anew
_SPREAD = 2.0  # seconds between looks at how evenly the actors lie
_LOSSES = (
    2  # times that a stream is begun anew where its worker is lost: it may be the stream that they die of
)
_LONGEST = 600.0  # seconds between two pieces of a stream
_GRACE = 0.25  # seconds the server waits beyond the deadline that it gave the worker


def _broken() -> Unavailable:
    return Unavailable("The worker that made the answer was lost.", "Ask again.")


@dataclass(slots=True)
class _Slot:
    """One place in the lane: an actor, or the making of one."""

    number: int
    actor: Any = None
    address: str = ""
    busy: int = 0
    used: int = 0
    making: asyncio.Lock = field(default_factory=asyncio.Lock)


def _readiness(slot: _Slot) -> tuple[bool, int, int]:
    # Of those that are idle the one that worked last: what it needs is in the processor's caches still (a cone of 10″,
    # asked by one client, takes 6.4 ms; turn by turn 6.9).
    return slot.actor is None, slot.busy, -slot.used


class LaneStream:
    """A stream that was begun on a worker. Read once, by ``async for``; closed, also where it is not read to its end.

    Attributes
    ----------
    head
        What was known before its first bytes.
    """

    def __init__(self, lane: Lane, slot: _Slot, actor: Any, first: Piece) -> None:
        self.head = first.head
        self._lane, self._slot, self._actor = lane, slot, actor
        self._piece = first

    @property
    def is_whole(self) -> bool:
        """Whether the first piece is all there is."""
        return self._piece.number is None

    @property
    def body(self) -> bytes:
        """The piece that is there."""
        return self._piece.body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces.

        Raises
        ------
        LakeError
            As the stream does.
        Unavailable
            Its worker is lost.
        """
        while True:
            if self._piece.body:
                yield self._piece.body
            if self._piece.number is None:
                return
            self._piece = await self._lane._more(self._slot, self._actor, self._piece.number)

    async def close(self) -> None:
        """Let the worker end what is not read."""
        number = self._piece.number
        self._piece = Piece(b"", None)
        if number is not None and self._slot.actor is self._actor:
            with contextlib.suppress(OSError, RuntimeError, TimeoutError):
                await asyncio.wait_for(self._actor.drop(number), _GRACE)


class Lane:
    """The actors of a server: spreads calls over them, and makes anew those that are lost.

    Made by `start`. Used from one event loop.
    """

    def __init__(
        self,
        client: Client,
        lake_url: str,
        slots: int,
        threads: int,
        deadline: float,
        warm: Sequence[Warm] = (),
        resource: str = LANE,
        niceness: int = 0,
    ) -> None:
        self._resource = resource
        self._niceness = niceness
        self._client = client
        self._lake_url = lake_url
        self._threads = threads
        self._warm = warm
        self._deadline = deadline
        self._slots = [_Slot(number) for number in range(slots)]
        self._tasks: set[asyncio.Task[Any]] = set()
        self._turn = itertools.count()
        self.remade = 0

    @classmethod
    async def start(
        cls,
        client: Client,
        lake_url: str,
        *,
        slots: int = 2,
        threads: int = 4,
        deadline: float = 10.0,
        warm: Sequence[Warm] = (),
        resource: str = LANE,
        niceness: int = 0,
        wait: bool = True,
    ) -> Lane:
        """Make the actors on the lane's workers and return when they answer.

        Parameters
        ----------
        client
            An asynchronous Dask client, of this event loop.
        lake_url
            The lake that readers open.
        slots
            Actors; the workers that offer `LANE` take them in turn.
        threads
            Requests an actor works on at the same time.
        deadline
            Seconds a call may take when it does not say.
        warm
            Called once on each new actor, beside its first requests.
        resource
            What the lane's workers offer.
        niceness
            How far its threads stand back behind others on the same cores, 0 to 19.
        wait
            Whether to wait for the actors; else the first calls do.
        """
        lane = cls(client, lake_url, slots, threads, deadline, warm, resource, niceness)
        making = asyncio.create_task(lane._make_all(time.monotonic() + max(deadline, 30.0)))
        if wait:
            await making
        else:
            lane._tasks.add(making)
        lane._tasks.add(asyncio.create_task(lane._spread()))
        return lane

    async def _make_all(self, until: float) -> None:
        for slot in self._slots:  # one after the other, so that each takes the emptiest worker
            if slot.actor is None:
                await self._ensure(slot, until)

    def use(self, client: Client) -> None:
        """Go on with another Dask client: the scheduler was lost, and its actors with it."""
        self._client = client
        for slot in self._slots:
            if slot.actor is not None:
                self._lose(slot, slot.actor)

    async def call(
        self, question: Question, finish: Finish | None = None, *, deadline: float | None = None
    ) -> Any:
        """Answer a question on some worker, within `deadline` seconds.

        Parameters
        ----------
        finish
            A picklable callable that makes the answer of the alerts on the worker; None returns the alerts.
            For `EpochsOf` the result is then a page with `made` and `next`.

        Raises
        ------
        DeadlineExceeded
            Time is up.
        Unavailable
            No worker could be found in time.
        LakeError
            As the reader and `finish` raise.
        """
        answer, _, _ = await self._asked(lambda actor: actor.call, (question, finish), deadline, None)
        return answer

    async def open(self, begin: Begin, argument: Any, *, deadline: float | None = None) -> LaneStream:
        """Begin a stream on some worker and return it with its first piece.

        Parameters
        ----------
        begin
            See `streams.Begin`.
        deadline
            Seconds until the first piece, and that the stream may take in all.

        Raises
        ------
        DeadlineExceeded, Unavailable, LakeError
            As `call`; later, as `LaneStream` is read.
        """
        piece, slot, actor = await self._asked(
            lambda actor: actor.begin, (begin, argument), deadline, _LOSSES
        )
        return LaneStream(self, slot, actor, piece)

    async def _asked(
        self,
        method: Callable[[Any], Callable[[bytes], Any]],
        content: tuple[Any, Any],
        deadline: float | None,
        losses: int | None,
    ) -> tuple[Any, _Slot, Any]:
        """Send a request to some actor, and to another one where a worker is lost with it, `losses` times at most."""
        seconds = self._deadline if deadline is None else deadline
        until = time.monotonic() + seconds
        while True:
            slot = min(self._slots, key=_readiness)
            slot.used = next(self._turn)
            left = until - time.monotonic()
            if left <= 0:
                raise late(seconds)
            actor = slot.actor or await self._ensure(slot, until)
            request: bytes = dumps((*content, left))  # type: ignore[no-untyped-call]
            slot.busy += 1
            try:
                answer = await self._watched(slot, method(actor)(request), until + _GRACE)
            except TimeoutError:
                raise late(seconds) from None
            except (OSError, RuntimeError):
                self._lose(slot, actor)
                if losses == 0:
                    raise Unavailable(
                        "The workers that were given this request were lost, one after another.",
                        "Try again in a moment; if it stays so, tell the operator.",
                    ) from None
                losses = None if losses is None else losses - 1
                continue
            finally:
                slot.busy -= 1
            if isinstance(answer, Failed):
                raise answer.error
            return answer, slot, actor

    async def _watched(self, slot: _Slot, call: Awaitable[Any], until: float) -> Any:
        """Wait for a call, and look now and then whether its worker still lives.

        Dask notices most deaths, but a call made while it does may wait for an actor that nobody will make.
        """
        address = slot.address
        waiting = asyncio.ensure_future(call)
        try:
            while True:
                left = max(0.0, until - time.monotonic())
                done, _ = await asyncio.wait({waiting}, timeout=min(left, _LOOK))
                if done:
                    return waiting.result()
                if left <= _LOOK:
                    raise TimeoutError
                # The scheduler may be late itself, on a busy machine: a deadline holds all the same.
                living = await asyncio.wait_for(self._workers(), max(0.0, until - time.monotonic()))
                if address not in living:
                    raise OSError(f"the worker {address} is gone")
        finally:
            waiting.cancel()

    def _lose(self, slot: _Slot, actor: Any) -> None:
        """Forget the actors of a lost worker and begin to make others, while the other slots work on."""
        if slot.actor is not actor:
            return
        for lost in [one for one in self._slots if one.actor is not None and one.address == slot.address]:
            lost.actor = None
            self.remade += 1
            task = asyncio.create_task(self._remake(lost))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _spread(self) -> None:
        """Keep the lane even: a worker that comes back, or joins, takes an actor from one that has two."""
        while True:
            await asyncio.sleep(_SPREAD)
            with contextlib.suppress(LakeError, OSError, RuntimeError, TimeoutError):
                workers = await self._workers()
                held = Counter(slot.address for slot in self._slots if slot.actor is not None)
                double = next((slot for slot in self._slots if held[slot.address] > 1), None)
                if double is not None and any(not held[address] for address in workers):
                    async with double.making:
                        double.actor, double.address = await asyncio.wait_for(self._make(double), _MAKE)

    async def _remake(self, slot: _Slot) -> None:
        with contextlib.suppress(
            LakeError
        ):  # the next call that finds no other slot tries again, and says why
            await self._ensure(slot, time.monotonic() + 60.0)

    async def _ensure(self, slot: _Slot, until: float) -> Any:
        """Return the slot's actor, making it where it is lost."""
        async with slot.making:
            failure: Exception | None = None
            while slot.actor is None:
                left = until - time.monotonic()
                if left <= 0:
                    raise Unavailable(
                        f"No reader could be started: {failure or 'no worker of the fast lane is there'}.",
                        "Try again in some seconds.",
                    )
                try:
                    slot.actor, slot.address = await asyncio.wait_for(self._make(slot), min(left, _MAKE))
                except LakeError:
                    raise
                except TimeoutError:
                    failure = TimeoutError("a reader was not ready in time")
                except (OSError, RuntimeError) as error:
                    failure = error
                    await asyncio.sleep(0.05)  # a worker that died is still listed for a moment
            return slot.actor

    async def _make(self, slot: _Slot) -> tuple[Any, str]:
        workers = await self._workers()
        if not workers:
            raise RuntimeError("no worker of the fast lane is there")
        held = Counter(
            other.address for other in self._slots if other is not slot and other.actor is not None
        )
        emptiest = min(workers, key=lambda address: held[address])
        # Not pinned to it for good: if it dies just now, another takes the actor.
        future = self._client.submit(
            ReaderActor,
            self._lake_url,
            self._threads,
            self._warm,
            self._niceness,
            actor=True,
            pure=False,
            workers=[emptiest],
            allow_other_workers=True,
        )
        try:
            actor = await future
            return actor, await actor.address()
        except asyncio.CancelledError:
            await future.cancel()  # type: ignore[no-untyped-call]
            raise

    async def _workers(self) -> list[str]:
        scheduler = self._client.scheduler
        if scheduler is None:
            raise RuntimeError("the Dask client is closed")
        identity = await scheduler.identity(n_workers=-1)
        return sorted(
            address
            for address, worker in identity["workers"].items()
            if self._resource in worker.get("resources", {}) and worker.get("status") == Status.running.name
        )

    async def _more(self, slot: _Slot, actor: Any, number: int) -> Piece:
        """Fetch the next piece of a stream."""
        if slot.actor is not actor:
            raise _broken()
        slot.busy += 1
        try:
            # A stream has its own deadline, on the worker, which raises when it passes.
            answer = await self._watched(slot, actor.more(number), time.monotonic() + _LONGEST)
        except TimeoutError:
            raise late(_LONGEST) from None
        except (OSError, RuntimeError):
            self._lose(slot, actor)
            raise _broken() from None
        finally:
            slot.busy -= 1
        if isinstance(answer, Failed):
            raise answer.error
        piece: Piece = answer
        return piece

    async def health(self, seconds: float = 5.0) -> dict[str, str]:
        """Ask one reader for its back ends; return what is wrong by name: ``workers``, ``rows``, ``files``."""
        until = time.monotonic() + seconds
        slot = min(self._slots, key=_readiness)
        for _ in range(2):
            try:
                actor = await self._ensure(slot, until)
                left = max(0.01, until - time.monotonic())
                wrong: dict[str, str] = await asyncio.wait_for(actor.health(), left)
            except (TimeoutError, LakeError) as error:
                return {"workers": str(error) or "no answer in time"}
            except (OSError, RuntimeError):
                self._lose(slot, actor)
            else:
                return wrong
        return {"workers": "the readers are lost, new ones are being made"}

    async def counters(self) -> dict[str, int]:
        """Return the sums of the readers' counters."""
        total: dict[str, int] = {"remade": self.remade}
        for slot in self._slots:
            if slot.actor is not None:
                with contextlib.suppress(OSError, RuntimeError):
                    for name, value in (await slot.actor.counters()).items():
                        total[name] = total.get(name, 0) + value
        return total

    def addresses(self) -> set[str]:
        """Return the addresses of the workers that hold a reader now."""
        return {slot.address for slot in self._slots if slot.actor is not None}

    async def close(self) -> None:
        """Let go of the actors."""
        for task in self._tasks:
            task.cancel()
        for slot in self._slots:
            slot.actor = None
