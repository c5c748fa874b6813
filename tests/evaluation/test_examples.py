"""Every example of the reference is valid, and finds a guest made for it, on both databases; and nobody else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from examples_world import GUESTS, MOMENTS, NOW, OF_EVERYBODY, WEBHOOK, days_ago
from small_world import TEMPLATES, Cafe, at, rule_of
from sqlalchemy import Engine

from engine.console.reference import in_place
from engine.starter.home import HomeAnswers, create_home
from engine.vocabulary.home import Home, load_home
from engine.vocabulary.reference import sections

EVERY = [(section.name, entry) for section in sections() for entry in section.entries]
PLACED = {(section.name, entry.word): in_place(section, entry) for section in sections() for entry in section.entries}
#: What a rule needs besides the example.
REST = {"trigger": "trigger:\n  birthday:\n", "actions": "actions:\n  - email: hello\n"}


@cache
def starter() -> Home:
    """The home as `init` makes it, whose templates and offers the examples speak of, and one plain template."""
    with TemporaryDirectory() as folder:
        root = create_home(Path(folder) / "home", answers=HomeAnswers(fresh="off"))
        for name, text in TEMPLATES.items():
            (root / "templates" / name).parent.mkdir(exist_ok=True)
            (root / "templates" / name).write_text(text, encoding="utf-8")
        config = root / "config" / "regulars.yaml"
        config.write_text(config.read_text("utf-8").replace("webhooks: {}", WEBHOOK), encoding="utf-8")
        return load_home(root, {})


def whole(section: str, word: str) -> str:
    """A rule file around an example."""
    example = PLACED[section, word]
    if section == "actions":  # a code is drawn before the message that shows it, and nothing ends with a wait
        example = example.replace("actions:\n", "actions:\n  - coupon: twenty-percent\n", 1) + "\n  - email: hello"
    if word == "alert":
        example = f"trigger:\n  low_rating:\n{example}"
    begun = {line.partition(":")[0] for line in example.splitlines() if line[:1].strip()}
    rest = "".join(text for name, text in REST.items() if name not in begun)
    return f"{'' if 'id' in begun else 'id: r'}\n{rest}{example}\n"


@pytest.mark.parametrize(("section", "word"), PLACED, ids=lambda key: key)
def test_an_example_is_a_rule_without_a_problem(section: str, word: str):
    assert rule_of(whole(section, word), starter())


#: Of which a guest of whom nothing is known has enough, or who joined long ago.
_OF_NOTHING = {"none", "at_most", "less_than", "is_not", "none_of", "refunds", "messages", "joined_days"}
FINDING = [key for key in PLACED if key[0] in {"triggers", "conditions", "filters", "numbers", "texts"}]


@pytest.mark.parametrize(("section", "word"), FINDING, ids=lambda key: key)
def test_an_example_finds_the_guest_made_for_it_and_no_stranger(db: Engine, section: str, word: str):
    cafe = Cafe(db, home=starter())
    assert (section, word) in GUESTS, "make a guest for it in examples_world.py"
    guest = GUESTS[section, word](cafe)
    stranger = cafe.guest(joined=at("2019-03-03 10:00"))
    if section == "triggers":
        found = cafe.who(whole(section, word), MOMENTS.get(word, NOW))
        assert found == ({guest, stranger} if word in OF_EVERYBODY else {guest})
    else:
        found = cafe.meets("\n".join(line[2:] for line in PLACED[section, word].splitlines()[1:]), NOW)
        assert guest in found
        assert stranger not in found or word in _OF_NOTHING


@pytest.mark.parametrize("word", [word for section, word in PLACED if section == "actions"])
def test_an_example_of_an_action_puts_its_step_into_the_outbox(db: Engine, word: str):
    cafe = Cafe(db, home=starter())
    guest = cafe.guest(birthday=504, sms="+15005550123", email="ann@example.com")
    cafe.rating(guest, days_ago(1), 1)
    cafe.run(whole("actions", word), now=NOW)
    assert word in {row.channel for row in cafe.dispatches} or word in {"wait", "split"}
