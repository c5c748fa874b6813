"""``init``, ``demo``, ``validate`` and ``import``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from engine.console import setting_up
from engine.console.demo import MARK, Demo, made_from
from engine.console.exits import MistypedError, Refusal
from engine.console.setting_up import answers
from engine.database.tables import orders
from engine.language.config import load_config

from .conftest import NOW, Regulars, lines, write_files

ROOT = Path(__file__).parents[2]


# -- init ---------------------------------------------------------------------------------------------------------------


def test_a_home_made_without_a_word_has_no_problem(regulars: Regulars, tmp_path: Path):
    made = regulars("init", tmp_path / "h")
    assert made.exit_code == 0
    assert f"regulars --home {tmp_path / 'h'} run --dry-run" in made.stdout
    checked = regulars("--home", tmp_path / "h", "validate")
    assert (checked.exit_code, checked.stdout) == (0, "No problem found.\n")
    assert regulars("--home", tmp_path / "h", "run", "--dry-run").exit_code == 0


def test_a_command_that_is_printed_can_be_copied(regulars: Regulars, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = tmp_path / "my cafe"
    assert f"regulars --home '{root}' run --dry-run" in regulars("init", root).stdout
    assert f"regulars --home '{root}' validate" in regulars("init", root).stderr
    monkeypatch.setattr(setting_up, "make_demo_home", lambda *_: root)
    assert f"regulars --home '{root}' run --dry-run --as-of" in regulars("init", root, "--demo").stdout


def test_a_path_that_cannot_be_printed_is_no_bug(tmp_path: Path):
    code = "import sys, cli; cli.main(['init', sys.argv[1]])"
    words = [sys.executable, "-c", code, str(tmp_path / "sp 中")]
    environ = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    made = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, check=False)
    assert made.returncode == 0, made.stderr
    assert b"is ready" in made.stdout


def test_what_the_owner_gives_stands_in_the_config(regulars: Regulars, tmp_path: Path):
    made = regulars(
        "init", tmp_path / "h", "--name", "Café Grün", "--address", "Hauptstr. 1, 10115 Berlin", "--country", "DE",
        "--language", "de", "--sender", "gruss@cafe-gruen.de", "--manager-email", "chefin@cafe-gruen.de",
        "--manager-phone", "", "--yes",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    config, _, problems = load_config(tmp_path / "h", {})
    assert problems == []
    assert config is not None
    business = config.business
    assert (business.name, business.country, business.currency, business.timezone.key) == (
        "Café Grün",
        "DE",
        "EUR",
        "Europe/Berlin",
    )
    assert (config.contacts["manager"].email, config.contacts["manager"].phone) == ("chefin@cafe-gruen.de", None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--country", "Germany"], '--country: "Germany" is not a country code'),
        (["--timezone", "Chicago"], '--timezone: "Chicago" is not a time zone'),
        (["--currency", "dollars"], "--currency: "),
        (["--manager-phone", "555 0100"], "--manager-phone: "),
        (["--manager-email", "me"], "--manager-email: "),
        (["--name", " "], "--name: this is needed"),
        (["--country", "BR"], "--timezone is needed with --country BR"),
    ],
)
def test_an_answer_that_cannot_be_makes_no_home(regulars: Regulars, tmp_path: Path, words: list[str], said: str):
    result = regulars("init", tmp_path / "h", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "h").exists()


def test_a_folder_that_holds_something_is_left_alone(regulars: Regulars, home: Path):
    result = regulars("init", home)
    assert result.exit_code == 1
    assert "is a home already; nothing was changed" in result.stderr


def test_a_person_is_asked_and_what_follows_from_the_country_is_suggested():
    asked: list[tuple[str, str]] = []
    said = {"Name": "Bean", "Postal": "1 Rd", "Country": "GB", "Email address that alerts": "", "Email": "a@bean.co.uk"}

    def ask(words: str, suggestion: str, check: object) -> str:
        asked.append((words, suggestion))
        given = next((answer for start, answer in said.items() if words.startswith(start)), suggestion)
        return check(given)  # type: ignore[operator]

    made = answers({"manager_phone": "+44 20 7946 0000"}, ask)
    assert (made.timezone, made.currency, made.language) == ("Europe/London", "GBP", "en")
    assert (made.manager_email, made.manager_phone) == ("", "+442079460000")
    assert [words for words, _ in asked if words.startswith("Phone")] == []
    assert dict(asked)["Name of your café"] == ""  # the sample's name is nobody's


def test_alerts_need_somebody_to_go_to():
    said = {"name": "Bean", "address": "1 Rd", "sender": "a@bean.co.uk", "manager_email": "", "country": "GB"}
    with pytest.raises(ValueError, match="alerts need somebody to go to"):
        answers(said, lambda _words, suggestion, check: check(suggestion))


def test_every_question_has_its_option():
    import cli

    options = {each.name for each in cli.main.commands["init"].params}
    assert {question.name for question in setting_up.QUESTIONS} <= options
    with pytest.raises(MistypedError):
        answers({"name": ""}, None)


# -- demo ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_cafe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six guests instead of 5,000, so that the demo takes a second."""
    monkeypatch.setattr(setting_up, "write_cafe", write_files)


def a_demo(folder: Path, cache: Path, said: list[str], regulars: Regulars) -> Demo:
    def command(*words: str) -> int:
        result = regulars(*words)
        said.append(result.stdout)
        return result.exit_code

    return Demo(folder, command, said.append, {}, lambda: NOW, cache)


def test_the_demo_shows_each_step_by_its_command_line_and_again_from_what_it_kept(
    small_cafe: None, regulars: Regulars, tmp_path: Path
):
    for time in (1, 2):
        said: list[str] = []
        assert a_demo(tmp_path / "demo", tmp_path / "cache", said, regulars).show() == 0
        text = "\n".join(said)
        at = [text.index(f"$ regulars {part}") for part in commands_of(tmp_path / "demo")]
        assert at == sorted(at)
        assert "Subject: 20% off your next visit" in text
        assert "is redeemed: 20% off your next visit." in text
        assert ("is as it was imported the last time" in text) == (time == 2)
    assert [each.name for each in (tmp_path / "cache").iterdir()] == [f"demo-{made_from()}"]


def commands_of(folder: Path) -> list[str]:
    home = f"--home {folder}"
    return [
        f"init {folder} --demo",
        f"{home} validate",
        f"{home} run --dry-run --as-of 2026-05-04T10:00",
        f"{home} approve --all",
        f"{home} run --as-of 2026-05-04T10:00",
        f"{home} log --rule win-back",
        f"{home} coupon redeem ",
        f"{home} coupon show ",
    ]


def test_the_demo_stops_at_the_first_step_that_fails(small_cafe: None, regulars: Regulars, tmp_path: Path):
    calls: list[tuple[str, ...]] = []

    def command(*words: str) -> int:
        calls.append(words)
        return regulars(*words).exit_code if "validate" not in words else 1

    assert Demo(tmp_path / "demo", command, lambda _: None, {}, lambda: NOW, tmp_path / "cache").show() == 1
    assert calls[-1][-1] == "validate"


def test_the_demo_empties_only_what_a_demo_made(regulars: Regulars, tmp_path: Path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(Refusal, match="holds something that no demo made"):
        a_demo(folder, tmp_path / "cache", [], regulars).show()
    assert (folder / "thesis.txt").exists()
    (folder / "file").write_text("")
    with pytest.raises(Refusal, match="is a file"):
        a_demo(folder / "file", tmp_path / "cache", [], regulars).show()
    (folder / MARK).write_text("")


def test_the_demo_may_be_made_in_the_home_of_init(small_cafe: None, regulars: Regulars, tmp_path: Path):
    made = regulars("init", tmp_path / "h", "--demo")
    assert made.exit_code == 0
    assert "customers.csv: customers, UTF-8, separated by comma: 6 rows; 6 new" in made.stdout
    assert sorted(file.name for file in (tmp_path / "h" / "inbox" / "done").iterdir()) == [
        "customers.csv", "orders.csv", "ratings.csv",
    ]  # fmt: skip
    config, _, _ = load_config(tmp_path / "h", {})
    assert config is not None
    assert config.fresh is None  # its orders end on a fixed day


# -- validate ------------------------------------------------------------------------------------------------------

TEN_MISTAKES = """\
id: Win Back
abuot: x
schedule: dayly at 10:00
trigger:
  lapsd: 90 days
conditions:
  orders:
    atleast: 3
  spend:
    within: 1 yeer
    at_least: ten
actions:
  - coupon:
      offer: twenty-procent
  - email:
      template: win-bak
  - wait: 5 hours
holdout: 110%
limits:
  max_matches: 0
"""


def test_ten_mistakes_in_one_file_give_ten_placed_problems(at_home: Regulars, home: Path):
    (home / "rules" / "mistakes.yaml").write_text(TEN_MISTAKES, encoding="utf-8")
    result = at_home("validate", "--format", "json")
    assert result.exit_code == 1
    problems = [each for each in lines(result) if each["severity"] == "error"]
    assert all(list(each) == ["path", "line", "column", "severity", "code", "message", "hint"] for each in problems)
    assert {each["path"] for each in problems} == {"rules/mistakes.yaml"}
    assert len({(each["line"], each["column"]) for each in problems}) >= 10
    text = at_home("validate").stdout
    assert (
        'rules/mistakes.yaml:8:5: "atleast" is not known in "orders" - did you mean "at_least"? [unknown-key]' in text
    )
    assert f"\n{len(problems)} problems" in text
    github = at_home("validate", "--format", "github").stdout
    assert "::error file=rules/mistakes.yaml,line=8,col=5," in github


def test_files_are_chosen_from_here_or_from_the_home(at_home: Regulars, home: Path, monkeypatch: pytest.MonkeyPatch):
    (home / "rules" / "mistakes.yaml").write_text(TEN_MISTAKES, encoding="utf-8")
    assert at_home("validate", "rules/06-birthday.yaml").stdout == "No problem found.\n"
    assert at_home("validate", "rules/mistakes.yaml").exit_code == 1
    assert at_home("validate", home / "rules").exit_code == 1
    monkeypatch.chdir(home / "rules")
    assert at_home("validate", "mistakes.yaml").exit_code == 1
    for name in ("nothing.yaml", ROOT / "rules" / "01-welcome.yaml", "inbox"):
        assert at_home("validate", name).exit_code == 2


def test_warnings_do_not_fail(at_home: Regulars, home: Path):
    sms = home / "templates" / "win-back-reminder" / "sms.txt"
    sms.write_text(sms.read_text("utf-8") + " and more" * 30, encoding="utf-8")
    result = at_home("validate")
    assert result.exit_code == 0
    assert "warning: " in result.stdout


# -- import -------------------------------------------------------------------------------------------------------------


def test_files_are_taken_in_whatever_their_order_and_twice_changes_nothing(
    regulars: Regulars, either_home: Path, tmp_path: Path
):
    files = write_files(tmp_path / "more")
    for file in files:
        text = file.read_text("utf-8")
        file.write_text(
            text.replace("G", "H").replace("\nO", "\nP").replace(",O1,", ",P1,").replace("\nR", "\nS"), "utf-8"
        )
    first = regulars("--home", either_home, "import", *reversed(files))
    assert first.exit_code == 0, first.output
    assert [line.split(":")[0] for line in first.stdout.splitlines() if not line.startswith(" ")] == [
        "customers.csv", "orders.csv", "ratings.csv",
    ]  # fmt: skip
    assert "0 new, 0 changed" in regulars("--home", either_home, "import", files[1]).stdout


def test_the_kind_may_be_given(at_home: Regulars, tmp_path: Path):
    (file, *_) = write_files(tmp_path / "more")
    assert at_home("import", "customers", file).exit_code == 0
    result = at_home("import", "custmers", file)
    assert result.exit_code == 2
    assert 'There is no kind of file "custmers" - did you mean "customers"?' in result.stderr


def test_rows_that_cannot_be_are_refused_with_line_and_reason(at_home: Regulars, tmp_path: Path, database: Engine):
    file = tmp_path / "orders.csv"
    file.write_text("order_id,customer_id,ordered_at,total\nN1,G1,2026-05-01 10:00,5\nN2,G1,soon,5\n", encoding="utf-8")
    result = at_home("import", file)
    assert result.exit_code == 1
    assert "  line 3: " in result.stdout
    with database.connect() as conn:
        assert conn.scalar(select(func.count()).where(orders.c.external_id.in_(["N1", "N2"]))) == 1


def test_what_is_no_file_is_mistyped(at_home: Regulars, tmp_path: Path):
    for name, said in ((tmp_path / "no.csv", "is not there"), (tmp_path, "is a folder: name the files in it")):
        result = at_home("import", name)
        assert result.exit_code == 2
        assert said in result.stderr
    assert at_home("import").exit_code == 2


def test_a_mapping_that_is_not_there_is_a_problem(at_home: Regulars, tmp_path: Path):
    (file, *_) = write_files(tmp_path / "more")
    result = at_home("import", file, "--mapping", "mytill")
    assert result.exit_code == 1
    assert "config/mappings/mytill.yaml" in result.stderr


def test_a_file_of_our_own_till_is_read_with_its_mapping(at_home: Regulars, home: Path, tmp_path: Path):
    folder = home / "config" / "mappings"
    folder.mkdir()
    (folder / "mytill.yaml").write_text(
        "kind: orders\nsource: mytill\ncolumns:\n  order_id: Bon\n  ordered_at: Zeit\n  total: Summe\n"
    )
    file = tmp_path / "bons.csv"
    file.write_text("Bon;Zeit;Summe\n1;2026-05-02 10:00;4,50\n", encoding="utf-8")
    result = at_home("import", file, "--mapping", "mytill")
    assert result.exit_code == 0, result.output
    assert "1 row; 1 new" in result.stdout
