"""Where the files lie that come with Regulars."""

from __future__ import annotations

from pathlib import Path


def shipped_files() -> Path:
    """The folder with the shipped ``rules``, ``templates`` and ``config``: in the wheel, else the checkout's."""
    package = Path(__file__).parents[1]
    packed = package / "starter" / "files"
    return packed if packed.is_dir() else package.parent
