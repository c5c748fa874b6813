"""The homes of the state machine: one café whose rule ``visit`` is edited, switched off, renamed or deleted."""

from __future__ import annotations

import shutil
from pathlib import Path

from dispatch.world import CONFIG, a_home

from engine.vocabulary.home import Home

VISIT = """id: visit
trigger:
  event: visit
actions:
  - coupon:
      offer: cake
      always: true
  - email:
      template: hello
  - wait: {wait} days
  - sms:
      template: hello
{more}"""
THANKS = "id: thanks\npurpose: service\ntrigger:\n  event: visit\nactions:\n  - email:\n      template: hello\n"
#: Of the file of the rule ``visit``: its name (None: it is gone), its wait in days, what else stands in it.
VARIANTS = {
    "plain": ("visit", 3, ""),
    "edited": ("visit", 2, ""),
    "renamed": ("called-otherwise", 3, ""),
    "off": ("visit", 3, "active: false\n"),
    "gone": (None, 3, ""),
}


def all_homes(root: Path) -> dict[str, Home]:
    """Make a home for each state that the rule's file may be in."""
    return {name: _home(root / name, *VARIANTS[name]) for name in VARIANTS}


def _home(root: Path, name: str | None, wait: int, more: str) -> Home:
    """Make a home whose rule ``visit`` stands in that file; all of a test have one key."""
    if not root.exists():
        (root / "rules").mkdir(parents=True)
        (root / "templates" / "hello").mkdir(parents=True)
        for file, text in (("subject.txt", "Hello"), ("email.txt", "Dear {{ customer.name }}."), ("sms.txt", "Hello")):
            (root / "templates" / "hello" / file).write_text(text)
        if name is not None:
            (root / "rules" / f"{name}.yaml").write_text(VISIT.format(wait=wait, more=more))
        (root / "rules" / "thanks.yaml").write_text(THANKS)
        first = root.parent / "plain" / "regulars.key"
        if first.exists():
            shutil.copy(first, root / "regulars.key")
        (root / "config").mkdir()
        (root / "config" / "offers.yaml").write_text(
            "cake:\n  name: A slice of cake\n  item: a slice of cake\n  valid: 14 days\n"
        )
    home = a_home(root, CONFIG + "limits:\n  budget:\n    email: 3 a day\n")
    assert home.problems == (), home.problems
    return home
