"""Waiting until the disk has what was written."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, Final

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows, whose fsync writes the disk's own cache too
    fcntl = None

#: A disk of another machine may not know the question; then fsync is what there is.
_UNKNOWN: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY, errno.ENODEV})


def sync(handle: int) -> None:
    """Return when the disk has what was written through ``handle``. Raises ``OSError`` where it cannot take it.

    On macOS fsync leaves it in the disk's own cache, which a power cut empties: there the disk is asked to write that.
    """
    whole = getattr(fcntl, "F_FULLFSYNC", None)
    if whole is not None:
        try:
            fcntl.fcntl(handle, whole)
        except OSError as error:
            if error.errno not in _UNKNOWN:
                raise
        else:
            return
    os.fsync(handle)


def sync_folder(folder: Path) -> None:
    """Return when the disk has the names in ``folder``; without it a power cut takes a new file with all in it.

    Does nothing on Windows, which cannot open a folder.
    """
    if os.name != "nt":
        _sync_opened(folder, os.O_RDONLY)


def sync_file(file: Path) -> None:
    """Return when the disk has the file and its name."""
    _sync_opened(file, os.O_RDWR)
    sync_folder(file.parent)


def _sync_opened(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        sync(handle)
    finally:
        os.close(handle)
