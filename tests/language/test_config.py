"""config/regulars.yaml: every setting with its default, and every mistake in it with its cure."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from engine.language.config import CONFIG_SCHEMA, load_config
from engine.language.problems import errors, to_text
from engine.language.times import Duration, Hours, Schedule

BUSINESS = {
    "name": "Blue Door",
    "address": "4 Quay Street, Galway",
    "country": "IE",
    "timezone": "Europe/Dublin",
    "currency": "EUR",
}
LEAST = "business:\n" + "".join(f"  {name}: {value}\n" for name, value in BUSINESS.items())
SMTP = "email:\n  connector: smtp\n  from: Blue Door <hello@bluedoor.ie>\n  smtp:\n    host: mail.bluedoor.ie\n"
TWILIO = "sms:\n  connector: twilio\n  twilio:\n    account_sid: env:SID\n    auth_token: env:TOKEN\n    from: '+353861234567'\n"


@pytest.fixture
def home(tmp_path):
    def write(text):
        file = tmp_path / "config" / "regulars.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return tmp_path

    return write


def codes(home, text, environ=None):
    _, _, problems = load_config(home(text), environ or {})
    return [(p.line, p.code) for p in problems]


def test_the_least_config_has_every_default(home):
    root = home(LEAST)
    config, document, problems = load_config(root, {})
    assert problems == []
    assert document.shown == "config/regulars.yaml"
    assert config.sound
    assert config.root == root
    assert config.business.timezone == ZoneInfo("Europe/Dublin")
    assert (config.business.language, config.business.currency, config.business.minor_units) == ("en", "EUR", 100)
    assert config.contacts == {}
    assert config.database_url == f"sqlite:///{root}/regulars.db"
    assert config.schedule == Schedule.parse("daily at 10:00")
    assert config.day_starts == time(4)
    assert (config.email.connector, config.email.smtp) == ("file", None)
    assert config.email.sender == ("Blue Door", "no-reply@regulars.invalid")
    assert (config.sms.connector, config.sms.twilio) == ("file", None)
    assert config.limits.marketing_per_day == 1
    assert config.limits.marketing_per_week == 2
    assert config.limits.blast_bp == 2000
    assert config.hours["email"] == Hours.parse("08:00-21:00")
    assert config.hours["sms"] == Hours.parse({"weekdays": "10:00-18:00", "sat": "10:00-17:00", "sun": "12:00-17:00"})
    assert (config.links.base_url, config.links.secret) == (None, None)
    assert config.fresh == Duration(2, "days")
    assert config.inbox == root / "inbox"
    assert config.approvals == "first"
    assert config.exclude is None
    assert config.topics == ("news", "offers", "surveys")
    assert config.attributes == {}


def test_every_setting_is_read(home):
    text = f"""\
{LEAST}  language: zh-Hans
contacts:
  manager: {{name: Li, email: li@bluedoor.ie, phone: "+353 86 123 4567"}}
database: sqlite:///data/guests.db
schedule: weekdays at 09:00
day_starts: "05:30"
email:
  connector: smtp
  from: Blue Door <hello@bluedoor.ie>
  smtp: {{host: mail.bluedoor.ie, port: 465, tls: tls, user: me, password: env:SMTP_PASSWORD}}
sms:
  connector: twilio
  twilio: {{account_sid: env:SID, auth_token: file:token.txt, from: "+353861234567", base_url: }}
limits: {{marketing_per_day: 2, marketing_per_week: 3, blast: 7.5%}}
hours: {{email: 09:00-20:00, sms: {{weekend: 12:00-17:00}}}}
links: {{base_url: https://bluedoor.ie/r/, secret: env:LINKS}}
data: {{fresh: off, inbox: /srv/till}}
approvals: two
exclude: {{tag: staff}}
topics: [news]
attributes: {{child_birthday: date, 座位: text}}
"""
    root = home(text)
    (root / "token.txt").write_text("t0ken\n")
    config, _, problems = load_config(root, {"SMTP_PASSWORD": "hunter2"})
    assert problems == [], to_text(problems)
    assert config.business.language == "zh-Hans"
    manager = config.contacts["manager"]
    assert (manager.name, manager.email, manager.phone) == ("Li", "li@bluedoor.ie", "+353861234567")
    assert config.database_url == f"sqlite:///{root}/data/guests.db"
    assert config.day_starts == time(5, 30)
    smtp = config.email.smtp
    assert (smtp.host, smtp.port, smtp.tls, smtp.user) == ("mail.bluedoor.ie", 465, "tls", "me")
    assert smtp.password.reveal() == "hunter2"
    assert config.sms.twilio.auth_token.reveal() == "t0ken"
    assert (config.sms.twilio.sender, config.sms.twilio.base_url) == ("+353861234567", None)
    assert config.limits.blast_bp == 750
    assert config.hours["sms"] == Hours.parse({"weekend": "12:00-17:00"})
    assert config.links.base_url == "https://bluedoor.ie/r"
    assert config.fresh is None
    assert config.inbox == Path("/srv/till")
    assert config.approvals == "two"
    assert config.exclude == {"tag": "staff"}
    assert config.topics == ("news",)
    assert config.attributes == {"child_birthday": "date", "座位": "text"}
    assert "hunter2" not in repr(config)


def test_the_shipped_config_has_no_problem():
    root = Path(__file__).parents[2]
    config, _, problems = load_config(root, {})
    assert problems == [], to_text(problems)
    assert config.sound


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ("limits: {marketing_per_day: 0}\n", "too-small"),
        ("limits: {marketing_per_week: 0}\n", "too-small"),
        ("limits: {blast: 0%}\n", "too-small"),
        ("limits: {blast: 20}\n", "wrong-type"),
        ("schedule: never\n", "bad-schedule"),
        ("day_starts: 4:00\n", "bad-clock"),
        ("day_starts: 25:00\n", "bad-clock"),
        ("approvals: once\n", "not-one-of"),
        ("hours: {email: 8-21}\n", "bad-hours"),
        ("hours: {sms: {sun: closed}}\n", "bad-hours"),
        ("hours: {sms: {sun: 25:00-26:00}}\n", "bad-day-hours"),
        ("hours: {sms: {sunday: 12:00-17:00}}\n", "unknown-key"),
        ("data: {fresh: 2 dayz}\n", "bad-freshness"),
        ("topics: [a, a]\n", "repeated"),
        ("attributes: {kids: int}\n", "not-one-of"),
        ("contacts: {store: {email: a@b.ie}}\n", "reserved-name"),
        ("contacts: {boss: {name: Li}}\n", "missing-key"),
        ("contacts: {Big Boss: {email: a@b.ie}}\n", "bad-name"),
        ("contacts: {boss: {email: ab.ie}}\n", "bad-email-address"),
        ("mail: {}\n", "unknown-key"),
        ("email: {smtp: {password: hunter2, user: me}}\n", "secret-in-clear"),
        ("email: {smtp: {user: me}}\n", "missing-key"),
        ("email: {smtp: {password: env:X}}\n", "missing-key"),
        ("email: {smtp: {port: 0}}\n", "too-small"),
        ("email: {smtp: {host: https://mail.ie}}\n", "bad-host"),
        ("email: {smtp: {ca_file: none.pem}}\n", "bad-ca-file"),
        ("email: {smtp: {ca_file: config/regulars.yaml}}\n", "bad-ca-file"),
        ("email: {per_minute: 0}\n", "too-small"),
        ("sms: {per_minute: many}\n", "wrong-type"),
        ("email: {dkim: []}\n", "empty"),
        ("email: {dkim: {selector: a, key: env:K}}\n", "wrong-type"),
        ("email: {dkim: [{selector: a}]}\n", "missing-key"),
        ("email: {dkim: [{selector: a._domainkey.b.ie, key: env:K}]}\n", "bad-dkim-selector"),
        ("email: {dkim: [{selector: a, key: hunter2}]}\n", "secret-in-clear"),
        ("email: {dkim: [{selector: a, key: env:K, dns: v=spf1 -all}]}\n", "bad-dkim-record"),
        ("email: {dkim: [{selector: a, key: env:K, dns: v=DKIM1; p=}]}\n", "bad-dkim-record"),
        ("email: {dkim: [{selector: a, key: env:K, dns: v=DKIM1; p=MIIBIjANBg...}]}\n", "bad-dkim-record"),
        ("email: {from: a@b.ie, dkim: [{selector: a, key: env:K}, {selector: A, key: env:L}]}\n", "repeated"),
        ("links: {base_url: bluedoor.ie}\n", "bad-url"),
        ("database: mysql://db/x\n", "bad-database"),
        ("database: regulars.db\n", "bad-database"),
        ("database: sqlite://\n", "bad-database"),
        ('database: "sqlite:///:memory:"\n', "bad-database"),
        ("database: postgresql://me:hunter2@db\n", "bad-database"),
        ("database: postgresql://me:hunter2@db:x/guests\n", "bad-database"),
        ("database: env:DATABASE_URL\n", "missing-variable"),
        ("exclude: staff\n", "wrong-type"),
    ],
)
def test_a_mistake_is_told_and_the_config_not_sound(home, extra, code):
    config, document, problems = load_config(home(LEAST + extra), {"OTHER": "x"})
    assert [p.code for p in problems] == [code], to_text(problems)
    assert problems[0].line == LEAST.count("\n") + 1
    assert problems[0].path == "config/regulars.yaml"
    assert "hunter2" not in to_text(problems)
    assert document is not None
    assert not config.sound


@pytest.mark.parametrize(
    ("name", "value", "near"),
    [
        ("country", "Ireland", "IE"),
        ("country", "UK", "GB"),
        ("timezone", "Dublin", "Europe/Dublin"),
        ("currency", "Euro", "EUR"),
    ],
)
def test_countries_zones_and_currencies_are_told_with_the_nearest(home, name, value, near):
    config, _, (problem,) = load_config(home(LEAST.replace(BUSINESS[name], value)), {})
    assert problem.message.endswith(f'did you mean "{near}"?')
    assert not config.sound


@pytest.mark.parametrize("name", ["name", "country", "timezone", "currency"])
def test_what_only_the_owner_knows_must_be_there(home, name):
    text = "\n".join(line for line in LEAST.splitlines() if not line.startswith(f"  {name}:"))
    assert codes(home, text) == [(1, "missing-key")]


def test_without_an_address_advertising_does_not_start(home):
    text = LEAST.replace(f"  address: {BUSINESS['address']}\n", "")
    config, _, (problem,) = load_config(home(text), {})
    assert (problem.code, problem.severity, problem.line) == ("missing-address", "warning", 1)
    assert config.sound
    config, _, (problem,) = load_config(home(text + SMTP), {})
    assert (problem.code, problem.severity) == ("missing-address", "error")
    assert not config.sound


@pytest.mark.parametrize(
    ("text", "sample"),
    [
        (LEAST.replace(BUSINESS["address"], "12 Mill Lane, Springfield, IL 62701") + SMTP, "address"),
        (LEAST + SMTP.replace("hello@bluedoor.ie", "hello@corner.example"), "from"),
        (LEAST + SMTP.replace("mail.bluedoor.ie", "mail.corner.example"), "host"),
        (LEAST + SMTP + "links: {base_url: https://corner.example/r}\n", "base_url"),
        (LEAST + SMTP + "contacts: {boss: {email: boss@corner.example}}\n", "email"),
        (LEAST + TWILIO.replace("+353861234567", "+15005550006"), "from"),
        (LEAST + TWILIO + "links: {base_url: https://example.com}\n", "base_url"),
        (LEAST + TWILIO + "contacts: {boss: {phone: '+1 212 555 0123'}}\n", "phone"),
    ],
)
def test_a_sample_is_refused_where_real_messages_would_go_out(home, text, sample):
    _, _, (problem,) = load_config(home(text), {})
    assert problem.code == "sample-value"
    assert problem.message.startswith(f'"{sample}" is still the sample value')
    assert problem.is_error
    harmless = text.replace("connector: smtp", "connector: file").replace("connector: twilio", "connector: file")
    assert errors(load_config(home(harmless), {})[2]) == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_samples_may_go_to_a_server_on_this_machine(home, host):
    text = LEAST + SMTP.replace("mail.bluedoor.ie", f'"{host}"').replace("hello@bluedoor.ie", "hello@corner.example")
    assert codes(home, text) == []
    text = LEAST + TWILIO.replace("+353861234567", "+15005550006") + "    base_url: http://127.0.0.1:8025\n"
    assert codes(home, text) == []


def test_real_connectors_need_their_settings(home):
    messages = [p.message for p in load_config(home(LEAST + "email:\n  connector: smtp\n"), {})[2]]
    assert messages == [
        'connector smtp needs "from": who the emails come from',
        'connector smtp needs "smtp" with "host": the name of your mail server',
    ]
    assert [p.message for p in load_config(home(LEAST + "sms:\n  connector: twilio\n"), {})[2]] == [
        'connector twilio needs "account_sid": env:TWILIO_ACCOUNT_SID',
        'connector twilio needs "auth_token": env:TWILIO_AUTH_TOKEN',
        'connector twilio needs "from": the number that you rent there',
    ]


def test_a_password_without_tls_is_a_warning(home):
    text = LEAST + SMTP + "    tls: none\n    user: me\n    password: env:X\n"
    config, _, (problem,) = load_config(home(text), {})
    assert (problem.code, problem.severity) == ("open-password", "warning")
    assert config.sound


def test_a_signature_of_another_domain_is_a_warning(home):
    keys = "  dkim:\n    - {selector: a, key: env:K}\n    - {selector: b, key: env:K, domain: mail.bluedoor.ie}\n"
    config, _, problems = load_config(home(LEAST + SMTP + keys), {})
    assert problems == []
    assert [each.place for each in config.email.dkim] == ["a._domainkey.bluedoor.ie", "b._domainkey.mail.bluedoor.ie"]
    foreign = keys.replace("mail.bluedoor.ie", "mailer.ie")
    config, _, problems = load_config(home(LEAST + SMTP + foreign), {})
    assert [(p.code, p.severity, p.line) for p in problems] == [("foreign-domain", "warning", 14)]
    assert config.sound


def test_a_daily_limit_above_the_weekly_is_a_warning(home):
    assert codes(home, LEAST + "limits: {marketing_per_day: 3}\n") == [(7, "useless-limit")]
    assert codes(home, LEAST + "limits: {marketing_per_week: 1}\n") == []


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        ("postgresql://me:hunter2@db:5433/guests", "postgresql+psycopg://me:hunter2@db:5433/guests"),
        ("postgres://db/guests", "postgresql+psycopg://db/guests"),
        ("postgresql+psycopg://db/guests?sslmode=require", "postgresql+psycopg://db/guests?sslmode=require"),
        ("sqlite:////srv/guests.db", "sqlite:////srv/guests.db"),
    ],
)
def test_the_database_comes_from_the_file_or_the_environment(home, setting, url):
    for text, environ in ((f"database: {setting}\n", {}), ("database: env:DATABASE_URL\n", {"DATABASE_URL": setting})):
        config, _, problems = load_config(home(LEAST + text), environ)
        assert problems == []
        assert config.database_url == url
        assert "hunter2" not in repr(config)


def test_a_bad_address_in_the_environment_is_not_repeated(home):
    environ = {"DATABASE_URL": "mysql://me:hunter2@db/x"}
    _, _, (problem,) = load_config(home(LEAST + "database: env:DATABASE_URL\n"), environ)
    assert problem.code == "bad-database"
    assert "hunter2" not in to_text([problem])


def test_a_folder_that_is_no_home_is_told(tmp_path):
    config, document, (problem,) = load_config(tmp_path, {})
    assert (config, document) == (None, None)
    assert problem.code == "missing-file"
    assert "is not a home of Regulars" in problem.message
    assert "regulars init" in problem.hint


def test_a_config_that_is_no_yaml_gives_no_config(home):
    config, document, (problem,) = load_config(home("business:\n\tname: x\n"), {})
    assert (config, document, problem.code) == (None, None, "tab")


def test_all_mistakes_come_at_once(home):
    text = LEAST.replace("IE", "Eire").replace("EUR", "Taler") + "schedule: x\nlimits: {blast: x}\nmoo: 1\n"
    config, _, problems = load_config(home(text), {})
    assert [p.code for p in problems] == ["bad-country", "bad-currency", "bad-schedule", "bad-share", "unknown-key"]
    assert config.business.name == "Blue Door"


@pytest.mark.parametrize("value", ["", "x", "3", "[]", "[1]", "{}", "{x: 1}", "true"])
def test_no_value_anywhere_makes_the_loader_raise(home, value):
    for name in CONFIG_SCHEMA["properties"]:
        load_config(home(f"{LEAST}{name}: {value}\n" if name != "business" else f"business: {value}\n"), {})
        for inner in CONFIG_SCHEMA["properties"][name].get("properties", {}):
            if name != "business":
                load_config(home(f"{LEAST}{name}:\n  {inner}: {value}\n"), {})


def test_every_setting_is_described():
    def walk(schema, path):
        for name, inner in schema.get("properties", {}).items():
            assert inner.get("description"), (*path, name)
            assert not {"oneOf", "anyOf"} & set(inner)
            walk(inner, (*path, name))

    walk(CONFIG_SCHEMA, ())
