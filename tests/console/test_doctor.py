"""``doctor`` and ``schedule``: what is missing or wrong, in words, with the cure."""

from __future__ import annotations

import json
import shlex
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from sqlalchemy import Engine, insert, update

from engine.console import schedule
from engine.database.tables import channels, customer_facts, dispatches, runs
from engine.language.times import Schedule
from engine.vocabulary.home import load_home

from .conftest import AT, NOW, Regulars, lines


def found(at_home: Regulars) -> dict[str, list[tuple[str, str]]]:
    told: dict[str, list[tuple[str, str]]] = {}
    for each in lines(at_home("doctor", "--format", "json")):
        told.setdefault(each["about"], []).append((each["verdict"], each["said"]))
    return told


def test_a_new_home_has_nothing_wrong(regulars: Regulars, either_home: Path):
    result = regulars("--home", either_home, "doctor")
    assert result.exit_code == 0
    assert "wrong" not in result.stdout
    kind = (
        "PostgreSQL"
        if "database: env:DATABASE_URL" in (either_home / "config/regulars.yaml").read_text("utf-8")
        else "SQLite"
    )
    assert f"ok    database: {kind}, up to date.\n" in result.stdout
    assert "look  email: messages are only written into the folder outbox/" in result.stdout
    assert "look  runs: there was no run yet: `regulars run --dry-run` shows what one would do.\n" in result.stdout


def test_json_is_one_object_a_line(at_home: Regulars):
    for line in at_home("doctor", "--format", "json").stdout.splitlines():
        assert list(json.loads(line)) == ["verdict", "about", "said"]


def test_what_waits_for_a_person_is_named_with_the_command(at_home: Regulars, database: Engine):
    at_home("run", "--as-of", AT)
    at_home("stop", "--by", "Dana")
    with database.begin() as conn:
        conn.execute(insert(channels).values(channel="email", stopped_at=NOW, stopped_why="535"))
        conn.execute(insert(channels).values(channel="sms", failures=5, open_until=NOW + timedelta(minutes=5)))
        conn.execute(update(dispatches).where(dispatches.c.id == 1).values(state="uncertain"))
    told = found(at_home)
    assert ("wrong", "the red button was pressed on 2026-05-04 10:00: nothing goes out until `regulars start`") in told[
        "stop"
    ]
    said = [said for verdict, said in told["email"] if verdict == "wrong"]
    assert said[0].startswith("stopped since 2026-05-04 10:00 (535): the mail server refused the user or the password;")
    assert said[0].endswith("many providers want an app password of its own; then `regulars start`")
    assert ("wrong", "rests until 2026-05-04 10:05 after 5 failures in a row") in told["sms"]
    held = [said for _, said in told["held"]]
    assert any(
        said.endswith("of win-back wait, the rule was never approved: `regulars approve win-back`, or --reject")
        for said in held
    )
    cure = "`regulars log --state uncertain`, then `regulars dispatch resolve ID` with --sent or --send-again"
    assert told["uncertain"] == [("look", f"1 message may have arrived: {cure}")]
    assert at_home("doctor").exit_code == 1
    run = at_home("run", "--as-of", AT)
    assert "stop: the red button was pressed" in run.stderr
    assert at_home("start").stdout == "Started: everything, email, sms.\n"
    assert at_home("start").stdout == "Nothing was stopped.\n"
    assert at_home("doctor").exit_code == 0


def test_a_channel_that_was_told_too_many_is_named_with_its_rate(at_home: Regulars, database: Engine):
    with database.begin() as conn:
        conn.execute(insert(channels).values(channel="sms", rate=30, rated_at=NOW))
        conn.execute(
            insert(channels).values(channel="email", rate=9, rated_at=NOW, open_until=NOW + timedelta(hours=1))
        )
    told = found(at_home)
    assert ("look", "at most 30 messages a minute, and slowly more: the provider said, too many") in told["sms"]
    assert ("look", "rests until 2026-05-04 11:00 as the provider asked") in told["email"]


def test_stopping_twice_says_so(at_home: Regulars):
    assert at_home("stop").stdout.startswith("Stopped: ")
    assert at_home("stop").stdout == "It was stopped already.\n"


def test_a_secret_that_is_not_there_is_named(at_home: Regulars, home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SMTP_PASSWORD", raising=False)
    config = home / "config" / "regulars.yaml"
    text = config.read_text(encoding="utf-8").replace("connector: file   ", "connector: smtp   ", 1)
    text = text.replace("corner.example", "corner.test-shop.net").replace(
        "12 Mill Lane, Springfield", "9 Elm Road, Dayton"
    )
    config.write_text(text, encoding="utf-8")
    said = [said for verdict, said in found(at_home)["email"] if verdict == "wrong"]
    assert said == ["the environment variable SMTP_PASSWORD is not set; config/regulars.yaml expects a secret in it"]
    calls = at_home("doctor", "--schedule").stdout
    assert "These know nothing of the variables of your terminal: SMTP_PASSWORD must be set there too" in calls
    monkeypatch.setenv("SMTP_PASSWORD", "x")
    assert ("ok", "goes out by smtp") in found(at_home)["email"]


def test_a_sick_config_or_key_hides_only_what_rests_on_it(at_home: Regulars, home: Path):
    (home / "regulars.key").unlink()
    result = at_home("doctor")
    assert result.exit_code == 1
    assert "wrong key: " in result.stdout
    assert "ok    files: " in result.stdout
    assert "ok    database" not in result.stdout
    (home / "rules" / "broken.yaml").write_text("id: x\n", encoding="utf-8")
    assert "wrong files: " in at_home("doctor").stdout


def test_a_key_that_others_can_read_is_told(at_home: Regulars, home: Path):
    (home / "regulars.key").chmod(0o644)
    assert (
        "look  key: regulars.key can be read by others on this machine: chmod 600 regulars.key.\n"
        in at_home("doctor").stdout
    )


def test_old_data_and_a_full_inbox_are_told(regulars: Regulars, home: Path, monkeypatch: pytest.MonkeyPatch):
    import cli

    (home / "inbox" / "orders.csv").write_text("order_id\n", encoding="utf-8")
    monkeypatch.setattr(cli, "clock", lambda: NOW + timedelta(days=10))
    said = regulars("--home", home, "doctor").stdout
    assert "older than 2 days: rules of absence wait for the till's newer files" in said
    assert "look  inbox: 1 file waits for the next run.\n" in said


def test_facts_that_were_wrong_are_counted_anew(at_home: Regulars, database: Engine):
    said = at_home("doctor", "--rebuild-facts").stdout
    assert said == "The figures of 6 guests are counted anew; they were right before, too.\n"
    with database.begin() as conn:
        conn.execute(update(customer_facts).values(visits=99))
    assert "they were not all right" in at_home("doctor", "--rebuild-facts").stdout
    assert "they were right before, too" in at_home("doctor", "--rebuild-facts").stdout


def test_the_lines_for_cron_launchd_and_windows_run_the_home(at_home: Regulars, home: Path):
    said = at_home("doctor", "--schedule").stdout
    (cron,) = (line for line in said.splitlines() if line.startswith("*/15 * * * * "))
    assert shlex.split(cron.removeprefix("*/15 * * * * "))[-3:] == ["--home", str(home), "run"]
    plist = ET.fromstring(said[said.index("<plist") : said.index("</plist>") + len("</plist>")])
    assert [each.text for each in plist.iter("string")][-3:] == ["--home", str(home), "run"]
    assert 'schtasks /Create /TN "Regulars" /SC MINUTE /MO 15 /TR "' in said


def test_a_percent_sign_in_a_path_does_not_end_crons_line():
    ((_, line), *_) = schedule.calls(Path("/shop/100% coffee"))
    assert r"'/shop/100\% coffee'" in line


def habits(home: Path, started: list[datetime], sent_on: set[str] | None = None) -> list[str]:
    return schedule.habits(load_home(home, {}), started, sent_on or set(), NOW)


def days(hour: int, number: int = 10) -> list[datetime]:
    return [datetime(2026, 4, 20, hour, tzinfo=UTC) + timedelta(days=day) for day in range(number)]


def test_runs_that_are_rarer_than_a_schedule_are_told(home: Path):
    (said,) = habits(home, days(15))
    assert said.startswith("runs are started every 24 hours or so, but low-rating should be looked at every 15 minutes")
    often = [NOW - timedelta(minutes=15 * number) for number in range(200, 0, -1)]
    assert habits(home, often) == []


def test_runs_at_night_never_send(home: Path):
    (home / "rules" / "07-low-rating.yaml").unlink()
    (said,) = habits(home, days(8))  # 03:00 in Chicago
    assert said.startswith(
        "no run of the last 14 days was in the hours in which messages of birthday, win-back may go out"
    )
    assert habits(home, days(8), {"email", "sms"}) == []  # it waited, and sent


def test_two_runs_are_no_habit(home: Path):
    assert habits(home, days(8, 2)) == []


def test_only_real_runs_count(database: Engine):
    with database.begin() as conn:
        for started, as_of in ((NOW, NOW), (NOW, NOW - timedelta(days=100))):
            conn.execute(insert(runs).values(started_at=started, as_of=as_of, host="h", pid=1))
        assert schedule.recent_runs(conn, NOW + timedelta(days=1)) == [NOW]


@pytest.mark.parametrize(
    ("text", "gap"), [("every 15 minutes", timedelta(minutes=15)), ("mondays at 09:00", timedelta(days=7))]
)
def test_shortest_gaps(text: str, gap: timedelta, home: Path):
    zone = load_home(home, {}).config.business.timezone
    assert schedule.shortest_gap(Schedule.parse(text), NOW, zone) == gap


def test_the_next_slots_of_each_rule(at_home: Regulars, home: Path):
    file = home / "rules" / "11-win-back.yaml"
    file.write_text(file.read_text("utf-8") + "active: false\n", encoding="utf-8")
    rows = lines(at_home("schedule", "--format", "json"))
    assert [list(row) for row in rows] == [["rule", "schedule", "last", "next"]] * 3
    assert rows[0] == {
        "rule": "low-rating",
        "schedule": "every 15 minutes",
        "last": None,
        "next": ["2026-05-04T15:15:00+00:00", "2026-05-04T15:30:00+00:00", "2026-05-04T15:45:00+00:00"],
    }
    assert rows[-1]["next"] == []
    at_home("run", "--as-of", AT)
    table = at_home("schedule").stdout
    assert "low-rating  every 15 minutes    2026-05-04 10:00  2026-05-04 10:15" in table
    assert "switched off" in table


def test_a_sentence_ends_once(at_home: Regulars, home: Path):
    (home / "regulars.db").write_bytes(b"this is no database at all" * 100)
    said = at_home("doctor").stdout
    assert "then restore it from a backup.\n" in said


def test_the_country_files_that_count_are_named_with_their_age_and_doubts(
    at_home: Regulars, home: Path, database: Engine
):
    ((verdict, said),) = found(at_home)["law"]
    assert verdict == "ok"
    assert said.startswith("files count for US of 2026-11-22; not sure: US hours.sms medium")
    assert said.endswith("this is no legal advice")
    with database.begin() as conn:
        for number, country in enumerate(("FR", "KR", "PT"), start=1):
            conn.execute(update(customer_facts).where(customer_facts.c.customer_id == number).values(country=country))
    (home / "config" / "compliance" / "fr.yaml").write_text("country: FR\nas_of: 2024-11-22\n", encoding="utf-8")
    (home / "config" / "compliance" / "us.yaml").write_text("country: US\nas_of: 2099-01-01\n", encoding="utf-8")
    told = [said for verdict, said in found(at_home)["law"] if verdict == "look"]
    assert told == [
        (
            "there is no file on the law of your guests' country PT: the rules of your own country are kept; write "
            "config/compliance/pt.yaml with your lawyer"
        ),
        "config/compliance/fr.yaml is of 2024-11-22; Regulars comes with one of 2026-11-22: compare the two",
        (
            "no advertising by SMS goes to guests of KR, for want of a free number: add own: refusal_number to "
            "config/compliance/kr.yaml in your home"
        ),
    ]


def signing(at_home: Regulars, home: Path, text: str) -> list[tuple[str, str]]:
    config = home / "config" / "regulars.yaml"
    before = config.read_text("utf-8")
    config.write_text(before.replace("\nemail:\n", f"\nemail:\n{text}"), "utf-8")
    told = found(at_home).get("signing", [])
    if told[0][0] == "ok":
        assert "v=DKIM1; k=rsa; p=" in at_home("dkim").stdout
    config.write_text(before, "utf-8")
    return told


def test_a_key_for_signing_mail_is_made_shown_and_examined(at_home: Regulars, home: Path):
    made = at_home("dkim", "--new", "mail2026")
    file = home / "secrets" / "dkim-mail2026.pem"
    assert file.stat().st_mode & 0o777 == 0o600
    record = next(line for line in made.stdout.splitlines() if line.startswith("v=DKIM1; k=rsa; p="))
    assert at_home("dkim", "--new", "mail2026").exit_code == 1  # another key would break what is under way
    entry = "  dkim:\n    - selector: mail2026\n      key: file:secrets/dkim-mail2026.pem\n"

    assert signing(at_home, home, f'{entry}      dns: "{record}"\n') == [
        ("ok", "mail is signed by mail2026._domainkey.corner.example; its record in the DNS fits")
    ]
    file.chmod(0o644)
    assert signing(at_home, home, entry) == [
        (
            "look",
            "secrets/dkim-mail2026.pem can be read by others on this machine: chmod 600 secrets/dkim-mail2026.pem",
        )
    ]
    file.chmod(0o600)
    at_home("dkim", "--new", "ed", "--ed25519")
    other = next(line for line in at_home("dkim", "--new", "b").stdout.splitlines() if line.startswith("v=DKIM1"))
    ((verdict, said),) = signing(at_home, home, f'{entry}      dns: "{other}"\n')
    assert (verdict, "belongs to another key" in said) == ("wrong", True)
    ((verdict, said),) = signing(at_home, home, f"{entry}      domain: elsewhere.example\n")
    assert (verdict, "says nothing of mail from corner.example" in said) == ("look", True)
    file.unlink()
    ((verdict, said),) = signing(at_home, home, entry)
    assert (verdict, "does not exist" in said) == ("wrong", True)


def test_without_a_key_the_command_says_how_to_get_one(at_home: Regulars):
    assert "regulars dkim --new mail2026" in at_home("dkim").stdout
    assert at_home("dkim", "--new", "a_b").exit_code == 2
    assert at_home("dkim", "--ed25519").exit_code == 2


def test_a_folder_that_is_no_home_misses_no_key(regulars: Regulars, tmp_path: Path):
    result = regulars("--home", tmp_path, "doctor")
    assert result.exit_code == 1
    cure = "`regulars init` makes one; `regulars --home DIR doctor` looks at another one"
    assert result.stdout == f"wrong files: {tmp_path} is not a home of Regulars: {cure}.\n"


def test_a_backup_that_is_old_or_missing_is_told(regulars: Regulars, home: Path, monkeypatch: pytest.MonkeyPatch):
    import cli

    def told() -> str:
        lines = regulars("--home", home, "doctor", "--format", "json").stdout.splitlines()
        return " ".join(each["said"] for each in map(json.loads, lines) if each["about"] == "backup")

    assert told() == ""
    regulars("--home", home, "run")
    monkeypatch.setattr(cli, "clock", lambda: NOW + timedelta(days=8))
    assert told().startswith("there is none yet")
    regulars("--home", home, "backup")
    assert told().startswith("the last one is of 2026-")
    assert "old" not in told()
    monkeypatch.setattr(cli, "clock", lambda: NOW + timedelta(days=20))
    assert "12 days old" in told()


def test_a_copied_database_is_told_and_stays_as_it_is(regulars: Regulars, home: Path, tmp_path: Path):
    regulars("--home", home, "run")
    other = Path(shutil.copytree(home, tmp_path / "other"))
    before = regulars("--home", other, "log", "--format", "csv").stdout
    told = regulars("--home", other, "doctor")
    assert told.exit_code == 1
    assert "is a copy" in told.stdout.replace("\n", " ")
    assert regulars("--home", other, "log", "--format", "csv").stdout == before
