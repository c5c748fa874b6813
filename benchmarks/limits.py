"""What is held to a limit of its own: the start of the command line, and the memory of a run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.ground import Ground, World
from benchmarks.measure import Measure, Mismatch, Pair, at_most

ROOT: Final = Path(__file__).parents[1]
_MANY: Final = 100
#: It matches every guest, and writes to all whom advertising may reach.
_EVERYBODY: Final = """id: everybody
trigger:
  on_date: 2026-05-04
actions:
  - email:
      template: reward-waiting
topic: news
"""


def measures(ground: Ground) -> Iterator[Measure]:
    """Give the start, the check of a hundred rules, and the memory of a run that matches everybody."""
    bare = "python -c pass"
    yield Measure("help", "`regulars --help`", at_most(1, plus=0.25), _help, bare)
    yield Measure(
        "validate", f"`regulars validate` of {_MANY} rules", at_most(0, plus=1.0), partial(_validate, ground), bare
    )
    peaks = Peaks(ground)
    for on in ground.databases:
        yield Measure(
            "memory",
            f"peak memory of a run above its imports, {ground.size:,} matches",
            at_most(0, plus=100),
            partial(_memory, peaks, on),
            "the imports",
            on,
            unit="MB",
            rounds=1,
        )
        yield Measure(
            "memory-growth",
            f"that peak against the one of {ground.size // 10:,} matches",
            at_most(1.1) if ground.size >= 1_000_000 else None,
            partial(_memory_growth, peaks, on),
            "a tenth of the matches",
            on,
            unit="MB",
            rounds=1,
        )


def environment() -> dict[str, str]:
    """Give what a program of the project is started with: as installed, its modules are compiled once and kept."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPATH": str(ROOT)}


def program(*words: str) -> Callable[[], str]:
    """Give a way to run Python with these words from the project's folder; ``Mismatch`` where it fails."""

    def run() -> str:
        done = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, check=False, cwd=ROOT, env=environment()
        )
        if done.returncode:
            raise Mismatch(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        return done.stdout

    return run


@contextmanager
def _help() -> Iterator[Pair]:
    yield Pair(ours=program("-m", "cli", "--help"), opponent=program("-c", "pass"))


@contextmanager
def _validate(ground: Ground) -> Iterator[Pair]:
    with ground.home(f"sqlite:///{ground.scratch}/none.db") as root:
        shipped = sorted((root / "rules").glob("*.yaml"))
        for number in range(len(shipped), _MANY):
            text = shipped[number % len(shipped)].read_text(encoding="utf-8")
            line = next(line for line in text.splitlines() if line.startswith("id:"))
            (root / "rules" / f"{number}.yaml").write_text(text.replace(line, f"{line}-{number}"), encoding="utf-8")
        yield Pair(ours=program("-m", "cli", "--home", str(root), "validate"), opponent=program("-c", "pass"))


class Peaks:
    """Peaks of memory, each measured once in a process of its own."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._known: dict[tuple[str, int], tuple[float, float]] = {}

    def of(self, on: str, size: int) -> tuple[float, float]:
        """Give the peak above the imports, and what these take, in megabytes."""
        if (on, size) not in self._known:
            with self._ground.world(on, size).copy() as world:
                self._known[on, size] = _peak(world)
        return self._known[on, size]

    @property
    def size(self) -> int:
        """How many guests, and so matches."""
        return self._ground.size


def _peak(world: World) -> tuple[float, float]:
    shutil.rmtree(world.root / "rules")
    (world.root / "rules").mkdir()
    (world.root / "rules" / "everybody.yaml").write_text(_EVERYBODY, encoding="utf-8")
    told = json.loads(program("-m", "benchmarks.child", str(world.root))())
    if told["matched"] != world.size:
        raise Mismatch(f"the run has matched {told['matched']:,} guests of {world.size:,}")
    return told["peak"] - told["begun"], told["begun"]


@contextmanager
def _memory(peaks: Peaks, on: str) -> Iterator[Pair]:
    above, imports = peaks.of(on, peaks.size)
    note = (
        "Of a run that matches every guest once and writes to all who agreed; in a process of its own, measured once."
    )
    yield Pair(ours=lambda: above, opponent=lambda: imports, note=note)


@contextmanager
def _memory_growth(peaks: Peaks, on: str) -> Iterator[Pair]:
    large, small = peaks.of(on, peaks.size)[0], peaks.of(on, peaks.size // 10)[0]
    yield Pair(ours=lambda: large, opponent=lambda: small)
