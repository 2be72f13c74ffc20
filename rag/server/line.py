"""Admission: so many are served at once, the next ones wait in line and know where they stand, the rest are refused."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from index.errors import TooBusy

_SMOOTHING = 0.2  # how much the latest service counts in the running mean of their durations


class Line:
    """A first-come, first-served line of bounded length. For one event loop."""

    def __init__(self, at_once: int, longest: int) -> None:
        """Serve ``at_once`` (1 or more) and let ``longest`` (0 or more) wait."""
        self._at_once = at_once
        self._longest = longest
        self._present: list[object] = []  # in order of arrival; the first `at_once` are being served
        self._moved = asyncio.Event()  # set once someone leaves, and then replaced
        self._seconds = 1.0  # a service takes, about

    @property
    def waiting(self) -> int:
        """How many wait."""
        return max(0, len(self._present) - self._at_once)

    @asynccontextmanager
    async def place(self) -> AsyncIterator["Place"]:
        """Take a place at the end of the line, and leave it on the way out.

        Raises:
            TooBusy: the line is full.
        """
        if self.waiting >= self._longest and len(self._present) >= self._at_once:
            raise TooBusy(self.waiting, self._expected_wait())
        place = Place(self)
        self._present.append(place)
        try:
            yield place
        finally:
            self._present.remove(place)
            if place.served_at is not None:
                self._seconds += _SMOOTHING * (time.monotonic() - place.served_at - self._seconds)
            self._moved.set()  # nothing is awaited here: who is cancelled would leave without it
            self._moved = asyncio.Event()

    def _expected_wait(self) -> int:
        """Give the seconds, 1 and more, until one who comes now would be served."""
        return max(1, math.ceil(self._seconds * (self.waiting + 1) / self._at_once))

    def _position(self, place: "Place") -> int:
        return max(0, self._present.index(place) - self._at_once + 1)


class Place:
    """Someone's place in a line."""

    def __init__(self, line: Line) -> None:
        """Stand in ``line``."""
        self._line = line
        self.served_at: float | None = None

    async def positions(self) -> AsyncIterator[int]:
        """Give the position whenever it changes, 1 for the next to be served, until served."""
        said = 0
        while position := self._line._position(self):
            if position == said:
                await self._line._moved.wait()
            else:
                said = position
                yield position  # meanwhile the line may move: look again before waiting
        self.served_at = time.monotonic()
