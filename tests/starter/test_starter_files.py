"""The shipped rules, offers and templates fit together, in both languages."""

from pathlib import Path

import pytest

from engine.language import yamlfile
from engine.starter.home import starter_files

FILES = starter_files()
RULES = sorted((FILES / "rules").glob("*.yaml"))
TEMPLATES = sorted(path for path in (FILES / "templates").iterdir() if path.is_dir())


def load(path: Path):
    document, problems = yamlfile.load(path, path.name)
    assert not problems
    return document.data


def steps(rule):
    return [next(iter(step.items())) for step in rule["actions"]]


def test_there_are_twelve_rules_each_with_an_id_of_its_own():
    ids = [load(path)["id"] for path in RULES]
    assert len(ids) == len(set(ids)) == 12
    assert [path.stem[3:] for path in RULES] == ids
    assert [path.stem[:2] for path in RULES] == [f"{number:02d}" for number in range(1, 13)]


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_a_rule_is_short_begins_with_its_schema_and_is_in_block_style(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=../config/schema/rule.json\nid: ")
    assert len(text.splitlines()) <= 40
    code = "".join(line.split("#")[0] for line in text.splitlines())
    assert not set("[]{}") & set(code)
    assert load(path)["about"]


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_a_rule_names_templates_and_offers_that_are_there(path):
    offers = load(FILES / "config" / "offers.yaml")
    for word, settings in steps(load(path)):
        if word == "coupon":
            assert settings["offer"] in offers
        elif word in {"email", "alert"}:
            assert (FILES / "templates" / settings["template"] / "email.mjml").exists()
        elif word == "sms":
            assert (FILES / "templates" / settings["template"] / "sms.txt").exists()


def test_every_template_and_every_offer_is_used():
    used = [settings for path in RULES for word, settings in steps(load(path)) if word != "wait"]
    assert {settings["template"] for settings in used if "template" in settings} == {path.name for path in TEMPLATES}
    assert {settings["offer"] for settings in used if "offer" in settings} == set(
        load(FILES / "config" / "offers.yaml")
    )


def test_a_bad_rating_is_answered_without_an_offer():
    rule = load(FILES / "rules" / "07-low-rating.yaml")
    assert rule["purpose"] == "service"
    assert "coupon" not in dict(steps(rule))


def test_a_rule_that_says_that_a_guest_stayed_away_waits_for_fresh_data():
    away = {path.stem[3:] for path in RULES if load(path)["trigger"].keys() & {"lapsed", "at_risk"}}
    assert away == {"second-visit", "reward-waiting", "at-risk", "big-spender-quiet", "win-back", "long-lost"}


def test_the_rules_go_out_in_an_order_of_their_own_where_a_guest_may_get_one_message():
    priorities = {load(path)["id"]: load(path)["priority"] for path in RULES}
    assert priorities["low-rating"] < priorities["birthday"] < priorities["welcome"] < priorities["win-back"]


@pytest.mark.parametrize("folder", TEMPLATES, ids=lambda path: path.name)
def test_every_text_has_its_chinese_twin(folder):
    english = {path.name for path in folder.iterdir() if ".zh." not in path.name}
    chinese = {path.name for path in folder.iterdir() if ".zh." in path.name}
    assert chinese == {name.replace(".", ".zh.", 1) for name in english}
    assert "sms.txt" in english


@pytest.mark.parametrize("folder", TEMPLATES, ids=lambda path: path.name)
def test_every_email_has_a_foot_and_marketing_a_way_out(folder):
    staff_or_service = {"low-rating", "low-rating-alert", "big-spender-alert"}
    for path in folder.glob("email*.mjml"):
        text = path.read_text(encoding="utf-8")
        assert "{{ business.name }}" in text
        assert "{{ business.address }}" in text
        assert ("{{ links.unsubscribe }}" in text) == (folder.name not in staff_or_service)
        assert 'width="480px"' in text


def test_every_offer_has_a_name_in_both_languages_and_a_name_at_the_till():
    for offer in load(FILES / "config" / "offers.yaml").values():
        assert set(offer["name"]) == {"en", "zh"}
        assert offer["till"]
        assert len({"percent", "amount", "item"} & set(offer)) == 1
