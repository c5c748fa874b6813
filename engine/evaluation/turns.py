"""When a rule of a run may queue: once all before it are through."""

from __future__ import annotations

from typing import Protocol


class BrokenOff(Exception):  # noqa: N818 (no error of its own: what went wrong is told where it did)
    """A rule before this one has met everybody's trouble, or the run was interrupted: nothing more is queued."""


class Turn(Protocol):
    """A rule's place among those of its run."""

    def come(self) -> None:
        """Wait until all rules before it are through. Raises ``BrokenOff``."""


class Alone:
    """The turn of a rule that is evaluated once all before it are."""

    def come(self) -> None:
        """It has."""
