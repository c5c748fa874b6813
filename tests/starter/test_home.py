"""Making a home: the owner's answers in a config that keeps its comments, all of it or nothing."""

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.language import shipped, yamlfile
from engine.language.config import load_config
from engine.language.keys import load_key
from engine.language.offers import load_offers
from engine.starter import home as home_module
from engine.starter.home import DEMO_ANSWERS, HomeAnswers, HomeError, create_home, starter_files, with_answers
from engine.vocabulary.home import load_home

SHIPPED = (starter_files() / "config" / "regulars.yaml").read_text(encoding="utf-8")
ANSWERS = HomeAnswers(
    name="Kaffee: gut & günstig #1",
    address="Lange Straße 5, 10115 Berlin",
    country="DE",
    language="de",
    timezone="Europe/Berlin",
    currency="EUR",
    sender="hallo@kaffee.example",
    manager_email="chefin@kaffee.example",
    manager_phone="+4930901820",
    fresh="off",
)


def config_of(root):
    document, problems = yamlfile.load(root / "config" / "regulars.yaml", "config/regulars.yaml")
    assert not problems
    return document.data


def paths(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_a_home_has_all_that_an_owner_works_with(tmp_path):
    root = create_home(tmp_path / "deep" / "cafe", answers=HomeAnswers())
    made = paths(root)
    assert root == tmp_path / "deep" / "cafe"
    for wanted in (
        "config/regulars.yaml", "config/offers.yaml", "config/segments.yaml", "rules/01-welcome.yaml", "inbox",
        "templates/welcome/email.zh.mjml", "regulars.key", ".gitignore", ".vscode/settings.json", ".vscode/extensions.json",
    ):  # fmt: skip
        assert wanted in made
    assert len(list((root / "rules").glob("*.yaml"))) == 12
    assert not [path for path in made if "making" in path or "__pycache__" in path]


def test_the_sample_answers_leave_the_config_as_it_is_shipped(tmp_path):
    root = create_home(tmp_path / "cafe", answers=HomeAnswers())
    assert (root / "config" / "regulars.yaml").read_text(encoding="utf-8") == SHIPPED


def test_the_answers_stand_in_the_config(tmp_path):
    data = config_of(create_home(tmp_path / "cafe", answers=ANSWERS))
    assert data["business"] == {
        "name": ANSWERS.name,
        "address": ANSWERS.address,
        "country": "DE",
        "language": "de",
        "timezone": "Europe/Berlin",
        "currency": "EUR",
    }
    assert data["contacts"]["manager"] == {"email": "chefin@kaffee.example", "phone": "+4930901820"}
    assert data["email"]["from"] == "Kaffee: gut & günstig #1 <hallo@kaffee.example>"
    assert data["data"]["fresh"] == "off"


def test_comments_and_all_other_settings_stay(tmp_path):
    root = create_home(tmp_path / "cafe", answers=ANSWERS)
    text = (root / "config" / "regulars.yaml").read_text(encoding="utf-8")
    assert text.count("#") >= SHIPPED.count("#") - 1  # the note that the address is a sample is gone
    assert "This one is a sample" not in text
    before, after = yamlfile.parse(SHIPPED, "shipped")[0].data, config_of(root)
    for section in before.keys() - {"business", "contacts", "email", "data"}:
        assert after[section] == before[section]
    assert after["email"]["smtp"] == before["email"]["smtp"]


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(name=words, address=words)
def test_whatever_an_owner_answers_comes_back_from_the_config(name, address):
    text = with_answers(SHIPPED, HomeAnswers(name=name, address=address))
    document, problems = yamlfile.parse(text, "config/regulars.yaml")
    assert not problems
    assert document.data["business"]["name"] == name
    assert document.data["business"]["address"] == address
    sender = document.data["email"]["from"]
    assert sender.count("<") == sender.count(">") == 1


def test_a_manager_without_a_phone_has_none_in_the_config(tmp_path):
    data = config_of(create_home(tmp_path / "cafe", answers=HomeAnswers(manager_phone="")))
    assert data["contacts"]["manager"] == {"email": "manager@corner.example"}


def test_somebody_must_be_there_for_alerts(tmp_path):
    with pytest.raises(HomeError, match="give the manager's email address or phone number"):
        create_home(tmp_path / "cafe", answers=HomeAnswers(manager_phone="", manager_email=""))
    assert not list(tmp_path.iterdir())


def test_the_config_of_a_new_home_has_no_problem_and_says_what_was_answered(tmp_path):
    root = create_home(tmp_path / "cafe", answers=ANSWERS)
    config, _, problems = load_config(root, {})
    assert not problems
    assert config.business.name == ANSWERS.name
    assert config.email.sender.address == "hallo@kaffee.example"
    assert config.contacts["manager"].phone == "+4930901820"
    assert config.fresh is None
    assert load_key(root)


@pytest.mark.parametrize("answers", [HomeAnswers(), DEMO_ANSWERS, ANSWERS], ids=["sample", "demo", "own"])
def test_a_new_home_is_valid_as_it_stands(tmp_path, answers):
    home = load_home(create_home(tmp_path / "cafe", answers=answers), {})
    assert not home.problems
    assert len(home.rules) == 12


@pytest.mark.parametrize("currency", ["USD", "EUR", "JPY", "KWD"])
def test_the_shipped_offers_are_sound_in_any_currency(currency):
    offers, problems = load_offers(starter_files(), currency)
    assert not problems
    assert len(offers) == 6


def test_a_shipped_config_without_a_key_is_noticed():
    with pytest.raises(KeyError, match="timezone"):
        with_answers(SHIPPED.replace("  timezone:", "  zone:"), ANSWERS)


def test_a_home_is_not_made_twice(tmp_path):
    root = create_home(tmp_path / "cafe", answers=HomeAnswers())
    key = (root / "regulars.key").read_bytes()
    with pytest.raises(HomeError, match="is a home already; nothing was changed"):
        create_home(root, answers=ANSWERS)
    assert (root / "regulars.key").read_bytes() == key
    assert (root / "config" / "regulars.yaml").read_text(encoding="utf-8") == SHIPPED


def test_two_homes_have_two_keys(tmp_path):
    keys = {(create_home(tmp_path / name, answers=HomeAnswers()) / "regulars.key").read_bytes() for name in "ab"}
    assert len(keys) == 2


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(HomeError, match="is not empty"):
        create_home(tmp_path, answers=HomeAnswers())
    assert paths(tmp_path) == {"letter.txt"}


def test_a_file_is_refused(tmp_path):
    (tmp_path / "cafe").write_text("")
    with pytest.raises(HomeError, match="is a file"):
        create_home(tmp_path / "cafe", answers=HomeAnswers())


def test_an_empty_folder_a_repository_among_them_becomes_a_home(tmp_path):
    (tmp_path / ".git").mkdir()
    root = create_home(tmp_path, answers=HomeAnswers())
    assert {"rules", ".git", "regulars.key"} <= {path.name for path in root.iterdir()}


@pytest.mark.parametrize("existed", [True, False])
def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch, existed):
    def fail(_root):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(home_module, "make_key", fail)
    root = tmp_path / "cafe"
    if existed:
        (root / ".git").mkdir(parents=True)
    with pytest.raises(HomeError, match=r"No space left on device\. Nothing was left behind"):
        create_home(root, answers=HomeAnswers())
    assert paths(tmp_path) == ({"cafe", "cafe/.git"} if existed else set())


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(HomeError, match=r"could not be made: .+\. Nothing was left behind"):
        create_home(tmp_path / "letter.txt" / "cafe", answers=HomeAnswers())
    assert paths(tmp_path) == {"letter.txt"}


def test_the_wheels_own_files_come_before_whatever_lies_beside_it(tmp_path, monkeypatch):
    packed = tmp_path / "site-packages" / "engine" / "starter"
    for folder in ("rules", "templates", "config"):
        shutil.copytree(starter_files() / folder, packed / "files" / folder)
        (tmp_path / "site-packages" / folder).mkdir()  # of another program
    monkeypatch.setattr(shipped, "__file__", str(packed.parent / "language" / "shipped.py"))
    assert starter_files() == packed / "files"
    root = create_home(tmp_path / "cafe", answers=HomeAnswers())
    assert (root / "rules" / "12-long-lost.yaml").exists()


def test_the_editors_settings_are_json_and_name_schemas_of_the_home(tmp_path):
    root = create_home(tmp_path / "cafe", answers=HomeAnswers())
    settings = json.loads((root / ".vscode" / "settings.json").read_text())
    assert json.loads((root / ".vscode" / "extensions.json").read_text())["recommendations"] == ["redhat.vscode-yaml"]
    for schema in settings["yaml.schemas"]:
        assert (root / schema).exists()


def test_the_key_and_the_guests_stay_out_of_a_repository(tmp_path):
    ignored = (create_home(tmp_path / "cafe", answers=HomeAnswers()) / ".gitignore").read_text().split()
    assert {"regulars.key", "*.db", "inbox/", "journal/", "backups/", "outbox/"} <= set(ignored)
