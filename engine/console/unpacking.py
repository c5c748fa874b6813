"""A backup read with suspicion: everything is laid out beside the home and checked before any of it is moved in."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Final

from connectors.disk import sync_file, sync_folder
from engine.console.backing_up import CONTENTS, DATABASE, KEPT
from engine.console.exits import MistypedError
from engine.language.keys import KEY_FILE, KeyFileError, load_key

CONFIG: Final = "config/regulars.yaml"
_FILES: Final = frozenset({".gitignore", KEY_FILE, DATABASE, CONTENTS})
_PORTION: Final = 1 << 20
#: What a name is answered with that no file here can have.
_ODD: Final = frozenset({errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})


def unpack(file: Path, into: Path) -> None:
    """Lay out what is in the backup ``file`` in the folder ``into``, and check each file of it against its checksum.

    Raises ``MistypedError`` for what `regulars backup` did not write, or not so.
    """
    sums: dict[str, str] = {}
    try:
        with tarfile.open(file, "r:gz") as archive:
            for member in archive:
                path = _path(file, member)
                if source := archive.extractfile(member):
                    (into / path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    with (into / path).open("xb") as copy:
                        sums[str(path)] = _copy(source, copy)
                else:
                    (into / path).mkdir(mode=0o700, parents=True, exist_ok=True)
                (into / path).chmod(_mode(path, member))
            rest = archive.fileobj
            while rest is not None and rest.read(_PORTION):
                pass  # to its end, where gzip compares what it has read
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise _damaged(file, type(error).__name__) from None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None and error.errno not in _ODD:
            raise
        raise _damaged(file, type(error).__name__) from None
    _check(file, into, sums)


def _path(file: Path, member: tarfile.TarInfo) -> PurePosixPath:
    """Give where a member belongs in a home; refuse what would lie elsewhere, on this system or another."""
    path, there = PurePosixPath(member.name), PureWindowsPath(member.name)
    climbs = ".." in (*path.parts, *there.parts) or path.is_absolute() or bool(there.drive)
    top, lone = path.parts[:1], len(path.parts) == 1
    known = path.name in _FILES if lone and member.isfile() else bool(top) and top[0] in {*KEPT} - _FILES
    if climbs or not known or not (member.isfile() or member.isdir()):
        raise MistypedError(
            f"{file} is no backup that `regulars backup` wrote: {member.name[:60]!r} is in it. Nothing was changed"
        )
    return path


def _mode(path: PurePosixPath, member: tarfile.TarInfo) -> int:
    """Give the rights a file had, without those of strangers, nor anybody's but the owner's on key and database."""
    if member.isdir():
        return member.mode & 0o750 | 0o700
    return 0o600 if path.name in {KEY_FILE, DATABASE} else member.mode & 0o750 | 0o600


def _copy(source: IO[bytes], copy: IO[bytes]) -> str:
    total = hashlib.sha256()
    while portion := source.read(_PORTION):
        total.update(portion)
        copy.write(portion)
    return total.hexdigest()


def _check(file: Path, into: Path, sums: dict[str, str]) -> None:
    sums.pop(CONTENTS, None)
    try:
        wanted = json.loads((into / CONTENTS).read_bytes())
    except FileNotFoundError:
        raise _damaged(file, "its list of contents is missing") from None
    except (OSError, ValueError, RecursionError):
        raise _damaged(file, "its list of contents cannot be read") from None
    if not isinstance(wanted, dict) or set(wanted) != set(sums):
        raise _damaged(file, "it does not hold what its list of contents names")
    for name, total in sums.items():
        if wanted[name] != total:
            raise _damaged(file, f"{name} is not what was put in")
    if CONFIG not in sums or KEY_FILE not in sums:
        raise _damaged(file, f"{CONFIG} or {KEY_FILE} is missing")


def _damaged(file: Path, what: str) -> MistypedError:
    return MistypedError(
        f"{file} is damaged, or no backup of Regulars ({what}). Nothing was changed: take another backup"
    )


def move_in(staged: Path, root: Path) -> int:
    """Give the home at ``root`` the files that it has not; gives how many.

    A home without config gets all of them, and its config last: who is interrupted does the same again.
    """
    chosen = [staged / KEY_FILE] if _lacks_key(root) else []
    if not (root / CONFIG).exists():
        for folder in (each for each in _below(staged) if each.is_dir()):
            there = root / folder.relative_to(staged)
            there.mkdir(mode=0o700, parents=True, exist_ok=True)
            there.chmod(folder.stat().st_mode & 0o777)
        chosen += [
            each for each in _below(staged)
            if each.is_file() and each.name not in {DATABASE, CONTENTS, KEY_FILE} and each != staged / CONFIG
        ]  # fmt: skip
        chosen.append(staged / CONFIG)
    for each in chosen:
        _place(each, root / each.relative_to(staged))
    return len(chosen)


def _lacks_key(root: Path) -> bool:
    """Tell whether there is no key, or what is there is none."""
    try:
        load_key(root)
    except KeyFileError:
        return True
    return False


def _below(staged: Path) -> Iterator[Path]:
    return iter(sorted(staged.rglob("*")))


def _place(source: Path, target: Path) -> None:
    """Copy a file into its place, whole or not at all; the folders may lie on several disks."""
    draft = target.with_name(f".{target.name}.restoring")
    try:
        shutil.copyfile(source, draft)
        draft.chmod(source.stat().st_mode & 0o777)
        sync_file(draft)
        draft.replace(target)
        sync_folder(target.parent)
    finally:
        draft.unlink(missing_ok=True)
