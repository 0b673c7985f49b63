"""How fast a run goes."""

import time


class Pace:
    """How fast steps follow each other, apart from what is between them.

    Attributes:
        images: of a step.
        images_per_second: of all steps timed so far; None before the first.
    """

    def __init__(self, images: int):
        self.images = images
        self.images_per_second: float | None = None
        self._last: float | None = None
        self._seconds, self._steps = 0.0, 0

    def pause(self) -> None:
        """Something else comes now: the next step is not timed."""
        self._last = None

    def tick(self) -> None:
        """A step has ended."""
        now = time.monotonic()
        if self._last is not None:
            self._seconds, self._steps = self._seconds + now - self._last, self._steps + 1
            self.images_per_second = self.images * self._steps / self._seconds
        self._last = now
