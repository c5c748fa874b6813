"""What an import understood and did, for printing and for exit codes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

#: How many refused rows are kept to be shown; all of them are in the file of refused rows.
SHOWN: Final = 20


@dataclass
class ImportReport:
    """The result of one file. ``problem``: nothing of the file went in, and why."""

    file: Path
    kind: str = ""
    till: str = ""
    encoding: str = ""
    delimiter: str = ""
    rows: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    walk_ins: int = 0
    known_guests: int = 0  #: orders of guests who were known
    new_guests: int = 0  #: guests who were met here first
    refunds: int = 0
    voids: int = 0
    unattached: int = 0  #: refunds whose sale is not known
    redeemed: int = 0  #: coupons
    erased: int = 0  #: rows of guests who were erased: left out
    attributes: tuple[str, ...] = ()  #: columns that are none of ours and were kept
    warnings: Counter[str] = field(default_factory=Counter)  #: what was odd, and in how many rows
    refusals: list[tuple[int, str]] = field(default_factory=list)  #: (line, reason) of the first ones
    rejects_path: Path | None = None
    problem: str = ""

    @property
    def failed(self) -> bool:
        """Tell whether the import ends with exit code 1."""
        return bool(self.refused or self.problem)

    def counts(self) -> dict[str, Any]:
        """Give what table ``imports`` keeps."""
        names = (
            "rows", "new", "changed", "unchanged", "refused", "walk_ins", "known_guests", "new_guests", "refunds",
            "voids", "unattached", "redeemed", "erased",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names} | {"warnings": dict(self.warnings)}

    def sentences(self) -> list[str]:
        """Say what was understood, a line for each thing worth knowing."""
        name = self.file.name
        if self.problem:
            return [f"{name}: {self.problem}"]
        of_till = "" if self.till == "csv" else f" of {self.till.capitalize()}"
        lines = [
            f"{name}: {self.kind.replace('_', ' ')}{of_till}, {self.encoding}, separated by {self.delimiter}: "
            f"{_number(self.rows, 'row')}; {self.new:,} new, {self.changed:,} changed, {self.unchanged:,} as before"
            + (f", {self.refused:,} refused" if self.refused else "")
            + "."
        ]
        if self.kind == "orders":
            lines.append(
                f"  {_number(self.known_guests, 'order')} by known guests, {self.walk_ins:,} by walk-ins; "
                f"{_number(self.new_guests, 'guest')} met for the first time; {_number(self.refunds, 'refund')}, "
                f"{_number(self.voids, 'void')}; {_number(self.redeemed, 'coupon')} redeemed."
            )
        elif self.new_guests:
            lines.append(f"  {_number(self.new_guests, 'guest')} met for the first time.")
        if self.attributes:
            lines.append(f"  Columns of your own, kept as attributes: {', '.join(self.attributes)}.")
        if self.unattached:
            lines.append(f"  {_number(self.unattached, 'refund')} whose sale is not known: counted for nobody.")
        if self.erased:
            lines.append(f"  {_number(self.erased, 'row')} of erased guests left out.")
        lines += [f"  {_number(count, 'row')}: {said}" for said, count in sorted(self.warnings.items())]
        lines += [f"  line {line}: {reason}" for line, reason in self.refusals]
        if self.refused > len(self.refusals):
            lines.append(f"  ... and {self.refused - len(self.refusals):,} more.")
        if self.rejects_path:
            lines.append(
                f"  The refused rows are in {self.rejects_path.name}; correct them there and import that file."
            )
        return lines

    def sentence(self) -> str:
        """Give ``sentences`` as one text."""
        return "\n".join(self.sentences())


def _number(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
