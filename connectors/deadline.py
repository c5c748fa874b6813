"""One moment by which a whole phase must be over.

A socket's timeout bounds one system call, and starts anew with each byte of a server that drips. A deadline does not.
"""

from __future__ import annotations

import time


class Deadline:
    """A moment on the monotonic clock: setting the machine's clock moves nothing."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def left(self) -> float:
        """Give the seconds that are left, more than 0; ``TimeoutError`` when there are none."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left

    def passed(self) -> bool:
        """Tell whether it is over."""
        return time.monotonic() >= self._until

    def rest(self) -> float:
        """Give the seconds that are left, 0 when there are none."""
        return max(0.0, self._until - time.monotonic())
