"""What a planted mistake is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bug:
    """One planted mistake: in ``file`` the text ``old``, which stands there once, becomes ``new``.

    ``tests`` are the files of the suite that are asked whether they notice.
    """

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
