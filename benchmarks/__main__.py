"""``make bench``: every bar of docs/performance.md next to its opponent, the two in turn, medians of five rounds.

Only ratios count: machines are noisy. SIZE is a number of guests, with ten orders each: 20000, 100k, 1m, 10m.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from benchmarks.ground import DATABASES, Ground
from benchmarks.measure import ROUNDS, Measure, Result, measured
from benchmarks.plot import drawn
from benchmarks.results import FOLDER, heading, keep, machine, printed
from benchmarks.subjects import all_measures

_FACTORS: Final = {"k": 1_000, "m": 1_000_000}


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write the results; 1 where two sides did not do the same work, else 0: a bar missed is told."""
    asked = _parser().parse_args(arguments)
    asked.keep.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    results: list[Result] = []
    with (
        FileLock(asked.keep / "lock", timeout=0),  # one at a time: two would measure each other
        tempfile.TemporaryDirectory(dir=asked.keep, prefix="scratch-") as scratch,
        Ground(asked.size, asked.keep, Path(scratch).absolute(), asked.databases) as ground,
    ):
        on = machine(ground.version())
        print(", ".join(f"{name} {value}" for name, value in on.items()))
        print(f"{asked.size:,} guests; medians of {asked.rounds or ROUNDS} rounds, the two in turn\n")
        if ground.missing:
            print(f"Nothing is measured on PostgreSQL: {ground.missing}\n")
        print(heading(), flush=True)
        for measure in all_measures(ground):
            if _wanted(measure, asked.only):
                gc.collect()
                results.append(measured(measure, asked.rounds))
                print(printed(results[-1]), flush=True)
                # After each: a run that is broken off keeps what it has measured.
                whole = len(results) == 1 and not asked.only and asked.databases == DATABASES
                kept = keep(asked.results, asked.size, results[-1:], on, whole=whole)
                (asked.results / "results.svg").write_text(drawn(kept), encoding="utf-8")
    _close(results, time.monotonic() - begun, asked.results)
    return int(any(result.wrong for result in results))


def _close(results: Sequence[Result], took: float, folder: Path) -> None:
    missed = [result.measure.key for result in results if result.verdict == "MISSED"]
    met = sum(result.verdict == "met" for result in results)
    skipped = sum(bool(result.skipped) for result in results)
    print(f"\n{met} met, {len(missed)} missed, {skipped} skipped, in {took / 60:.1f} minutes; {folder / 'results.md'}")
    if missed:
        print("missed:", ", ".join(missed))


def _wanted(measure: Measure, only: Sequence[str]) -> bool:
    return not only or any(name in {measure.id, measure.key} or measure.id.startswith(f"{name}-") for name in only)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size", type=_size, default=20_000, help="guests: 20000, 100k, 1m, 10m")
    parser.add_argument("--only", type=_names, default=(), help="these measures only, by their ids, or how they begin")
    parser.add_argument("--databases", type=_databases, default=DATABASES, help="sqlite, postgresql or both")
    parser.add_argument("--keep", type=Path, default=Path(".bench"), help="the folder of the databases that are kept")
    parser.add_argument("--results", type=Path, default=FOLDER, help="the folder of results.md, .svg and .json")
    parser.add_argument("--rounds", type=int, help=f"instead of {ROUNDS} rounds, or what a measure wants")
    return parser


def _size(text: str) -> int:
    number, factor = (text[:-1], _FACTORS[text[-1].lower()]) if text[-1:].lower() in _FACTORS else (text, 1)
    return int(number) * factor


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _databases(text: str) -> tuple[str, ...]:
    names = _names(text)
    if not set(names) <= set(DATABASES):
        raise argparse.ArgumentTypeError(f"one or both of {', '.join(DATABASES)}")
    return tuple(name for name in DATABASES if name in names)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Timeout:
        sys.exit("Another bench is at work in this folder: two would measure each other. Wait for it, or give --keep.")
