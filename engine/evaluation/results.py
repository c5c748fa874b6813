"""What a run did, rule by rule, and the object that ``run --format json`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class RuleResult:
    """What one rule did in one run. ``matched`` = ``act`` + ``control`` + all of ``refused``."""

    rule: str
    path: str
    due: bool
    matched: int = 0
    act: int = 0
    control: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    queued: Mapping[str, int] = field(default_factory=dict)
    held: str | None = None  #: why a person must approve
    problems: tuple[str, ...] = ()
    balanced: bool = True
    bug: Exception | None = field(default=None, compare=False)  #: why the rule could not be evaluated at all

    def to_json(self) -> dict[str, Any]:
        """Give the stable keys of ``run --format json``."""
        return {
            "rule": self.rule,
            "due": self.due,
            "matched": self.matched,
            "act": self.act,
            "control": self.control,
            "refused": dict(sorted(self.refused.items())),
            "held": self.held,
            "problems": list(self.problems),
        }


@dataclass(frozen=True)
class RunResult:
    """What a whole evaluation did."""

    run: int | None  #: None in a dry run
    as_of: datetime
    dry_run: bool
    rules: tuple[RuleResult, ...]
    newest_order: datetime | None
    notice: str | None = None  #: why nothing was evaluated

    @property
    def queued(self) -> dict[str, int]:
        """Count the new dispatches by state."""
        total: dict[str, int] = {}
        for rule in self.rules:
            for state, count in rule.queued.items():
                total[state] = total.get(state, 0) + count
        return dict(sorted(total.items()))

    @property
    def balanced(self) -> bool:
        """Tell whether every matched guest has one recorded outcome; if not, the run is red."""
        return all(rule.balanced and rule.bug is None for rule in self.rules)

    def to_json(self, sent: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Give the object that ``run --format json`` prints; ``sent`` is absent in a dry run."""
        shown = {
            "run": self.run,
            "as_of": self.as_of.isoformat(),
            "dry_run": self.dry_run,
            "rules": [rule.to_json() for rule in self.rules],
            "queued": self.queued,
        }
        if not self.dry_run:
            shown["sent"] = dict(sorted((sent or {}).items()))
        return {**shown, "balanced": self.balanced}
