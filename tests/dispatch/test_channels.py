"""A home's channels: what each connector is opened with, when secrets are asked for, and what a rehearsal may reach."""

from datetime import UTC, datetime
from typing import get_args, get_type_hints
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import CONNECTORS
from connectors.file import FileConnector
from connectors.sms_twilio import TwilioConnector
from connectors.smtp import SmtpConnector
from engine.dispatch.channels import CannotSendError, Channels
from engine.language.config import EmailConfig, SmsConfig, WebhookConfig, load_config
from engine.language.times import Hours, open_for

from .world import CHICAGO, CONFIG, Clock

SMTP = """
  smtp:
    host: {host}
    user: hello
    password: env:SMTP_PASSWORD
"""
TWILIO = """
sms:
  connector: twilio
  twilio:
    account_sid: env:TWILIO_SID
    auth_token: env:TWILIO_TOKEN
    from: "+15005550006"
    base_url: {base}
"""


@pytest.fixture
def channels(tmp_path):
    def make(config=CONFIG, environ=None, *, rehearsal=False):
        (tmp_path / "config").mkdir(exist_ok=True)
        (tmp_path / "config" / "regulars.yaml").write_text(config, encoding="utf-8")
        read, _, _ = load_config(tmp_path, environ or {})
        return Channels(tmp_path, read, Clock(), rehearsal=rehearsal)

    return make


def with_smtp(host="mail.corner.cafe"):
    return CONFIG.replace("connector: file", "connector: smtp" + SMTP.format(host=host).rstrip())


def test_a_new_home_writes_files(channels):
    made = channels()
    assert isinstance(made.connector("email"), FileConnector)
    assert isinstance(made.connector("sms"), FileConnector)
    assert (made.sender("email"), made.sender("sms")) == ("hello@corner.example", "Corner Café")


def test_a_connector_is_opened_once(channels):
    made = channels()
    assert made.connector("email") is made.connector("email")


def test_smtp_and_twilio_with_their_secrets(channels):
    environ = {"SMTP_PASSWORD": "pw", "TWILIO_SID": "AC1", "TWILIO_TOKEN": "t"}
    made = channels(with_smtp() + TWILIO.format(base="https://api.twilio.com"), environ)
    assert isinstance(made.connector("email"), SmtpConnector)
    assert isinstance(made.connector("sms"), TwilioConnector)
    assert made.sender("sms") == "+15005550006"
    made.close()


def test_a_connector_is_one_line_and_gets_the_owners_settings_with_their_secrets(channels, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setitem(CONNECTORS, "smtp", lambda setup: opened.append(setup) or FileConnector(setup.folder))
    made = channels(with_smtp(), {"SMTP_PASSWORD": "pw"})
    assert isinstance(made.connector("email"), FileConnector)
    (setup,) = opened
    assert setup.settings == {
        "host": "mail.corner.cafe", "port": 587, "tls": "starttls", "user": "hello", "password": "pw", "connections": 4,
        }  # fmt: skip
    assert setup.folder == tmp_path / "outbox"
    assert "pw" not in repr(setup)


def test_every_connector_that_a_config_may_choose_can_be_opened():
    configs = (EmailConfig, SmsConfig, WebhookConfig)
    assert set(CONNECTORS) == {name for each in configs for name in get_args(get_type_hints(each)["connector"])}


def test_a_missing_secret_is_one_plain_sentence_and_only_for_its_channel(channels):
    made = channels(with_smtp())
    with pytest.raises(CannotSendError, match=r"^No email goes out: the environment variable SMTP_PASSWORD is not set"):
        made.connector("email")
    assert isinstance(made.connector("sms"), FileConnector)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_rehearsal_reaches_files_and_this_machine(channels, host):
    assert channels(rehearsal=True).connector("email")
    assert channels(with_smtp(host), {"SMTP_PASSWORD": "pw"}, rehearsal=True).connector("email")


def test_and_nothing_else(channels):
    environ = {"SMTP_PASSWORD": "pw", "TWILIO_SID": "AC1", "TWILIO_TOKEN": "t"}
    made = channels(with_smtp() + TWILIO.format(base="https://api.twilio.com"), environ, rehearsal=True)
    for channel in ("email", "sms"):
        with pytest.raises(CannotSendError, match="a run at another time than the clock's"):
            made.connector(channel)


WEEKDAYS = Hours.parse({"weekdays": "10:00-18:00", "sat": "22:00-02:00"})


@pytest.mark.parametrize(
    ("local", "hours", "expected"),
    [
        (datetime(2026, 5, 4, 17, 30), WEEKDAYS, 1800),  # noqa: DTZ001 (a wall clock)
        (datetime(2026, 5, 4, 9, 0), WEEKDAYS, 0),  # noqa: DTZ001
        (datetime(2026, 5, 10, 1, 0), WEEKDAYS, 3600),  # noqa: DTZ001 (Sunday, of Saturday's evening)
        (datetime(2026, 5, 4, 12, 0), Hours.parse("00:00-24:00"), None),  # noqa: DTZ001
    ],
)
def test_a_provider_may_try_until_the_hours_close(local, hours, expected):
    at = local.replace(tzinfo=CHICAGO).astimezone(UTC)
    assert open_for(at, CHICAGO, hours) == expected


@given(st.integers(1_767_225_600, 1_798_761_600), st.sampled_from(["America/Chicago", "Australia/Lord_Howe"]))
def test_the_hours_are_open_all_that_time_and_closed_at_its_end(seconds, name):
    zone, at = ZoneInfo(name), datetime.fromtimestamp(seconds, UTC)
    left = open_for(at, zone, WEEKDAYS)
    end = datetime.fromtimestamp(seconds + left, UTC).astimezone(zone)
    assert not WEEKDAYS.open_at(end)
    if left:
        assert WEEKDAYS.open_at(datetime.fromtimestamp(seconds + left - 1, UTC).astimezone(zone))
        assert WEEKDAYS.open_at(at.astimezone(zone))
