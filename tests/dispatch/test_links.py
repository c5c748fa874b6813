from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dispatch.links import (
    bounce_address,
    link_keys,
    mail_token,
    message_id,
    message_key,
    read_mail_token,
    read_token,
    token,
    unsubscribe_token,
    unsubscribe_url,
)
from engine.language.bounces import LONGEST_LOCAL, BouncesConfig
from engine.language.secret import SecretError

KEY = bytes(range(32))
NUMBERS = st.integers(min_value=0, max_value=2**63 - 1)


class Known:
    def __init__(self, secret):
        self.secret = secret

    def reveal(self):
        if self.secret == "gone":
            raise SecretError("not there")
        return self.secret


def config(base_url="https://corner.example/r", secret=None, bounces=None):
    links = SimpleNamespace(base_url=base_url, secret=Known(secret) if secret else None)
    sender = SimpleNamespace(address="hello@corner.example")
    back = BouncesConfig(bounces) if bounces else None
    return SimpleNamespace(links=links, email=SimpleNamespace(sender=sender, bounces=back))


@given(NUMBERS)
def test_a_token_gives_its_number_back_and_needs_no_escaping(number):
    text = token(KEY, "unsubscribe", number)
    assert read_token(KEY, "unsubscribe", text) == number
    assert re.fullmatch(r"[A-Za-z0-9_-]{15,24}", text)


@given(NUMBERS)
def test_a_token_is_good_for_its_purpose_and_key_only(number):
    text = token(KEY, "rating", number)
    assert read_token(KEY, "unsubscribe", text) is None
    assert read_token(bytes(32), "rating", text) is None


@given(NUMBERS, st.data())
def test_a_token_with_one_letter_changed_is_worth_nothing(number, data):
    text = token(KEY, "unsubscribe", number)
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from([c for c in "ABCxyz019_-" if c != text[place]]))
    assert read_token(KEY, "unsubscribe", text[:place] + letter + text[place + 1 :]) is None


@given(st.text(max_size=40))
def test_nonsense_is_no_token(text):
    assert read_token(KEY, "unsubscribe", text) is None


def test_an_unsubscribe_link_is_short_enough_to_stay_in_one_line():
    url = unsubscribe_url(config(), KEY, 100_000_000)
    assert url.startswith("https://corner.example/r/u/")
    assert len(f"<{url}>") < 74
    assert read_token(KEY, "unsubscribe", url.rpartition("/")[2]) == 100_000_000


def test_a_shared_secret_takes_the_place_of_the_homes_key():
    url = unsubscribe_url(config(secret="shared"), KEY, 7)
    assert url != unsubscribe_url(config(), KEY, 7)
    assert url == unsubscribe_url(config(secret="shared"), bytes(32), 7)


def test_a_home_without_a_page_asks_for_a_mail():
    assert unsubscribe_url(config(base_url=None), KEY, 7) == "mailto:hello@corner.example?subject=unsubscribe"


def test_a_message_id_is_the_same_on_every_attempt_and_tells_nothing():
    first = message_id(KEY, 12, "hello@corner.example")
    assert first == message_id(KEY, 12, "hello@corner.example")
    assert re.fullmatch(r"<[a-z2-7]{24}@corner\.example>", first)
    assert first != message_id(KEY, 13, "hello@corner.example")
    assert (
        message_id(KEY, 12, "hi@街角.example").endswith("@xn--4gq1w1y.example>")
        or message_id(KEY, 12, "hi@街角.example").isascii()
    )


def test_a_message_key_is_opaque_and_fit_for_a_file_name():
    assert re.fullmatch(r"[0-9a-f]{24}", message_key(KEY, 12))
    assert len({message_key(KEY, number) for number in range(100)}) == 100


@pytest.mark.parametrize("number", [-1])
def test_there_is_no_token_of_a_negative_number(number):
    with pytest.raises(OverflowError):
        token(KEY, "unsubscribe", number)


@given(NUMBERS)
def test_a_token_of_an_address_survives_letters_of_any_size(number):
    text = mail_token(KEY, "bounce", number)
    assert re.fullmatch(r"[a-z2-7]{18,29}", text)
    for written in (text, text.upper(), text.title()):
        assert read_mail_token(KEY, "bounce", written) == number
    assert read_mail_token(KEY, "unsubscribe", text) is None
    assert read_mail_token(bytes(32), "bounce", text) is None


@given(NUMBERS, st.data())
def test_a_token_of_an_address_with_one_letter_changed_is_worth_nothing(number, data):
    text = mail_token(KEY, "bounce", number)
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from([c for c in "abcxyz234567" if c != text[place]]))
    assert read_mail_token(KEY, "bounce", text[:place] + letter + text[place + 1 :]) is None


@given(st.text(max_size=40))
def test_nonsense_is_no_token_of_an_address(text):
    assert read_mail_token(KEY, "bounce", text) is None
    assert unsubscribe_token([KEY], text) is None


def test_the_envelope_sender_names_the_dispatch_and_has_room_in_every_server():
    assert bounce_address(config(), KEY, 7) is None
    local, _, domain = bounce_address(
        config(bounces="b" * LONGEST_LOCAL + "@corner.example"), KEY, 2**63 - 1
    ).partition("@")
    assert (len(local), domain) == (64, "corner.example")
    assert read_mail_token(KEY, "bounce", local.partition("+")[2]) == 2**63 - 1
    assert bounce_address(config(bounces="bounces@街角.example"), KEY, 7).isascii()


def test_a_home_without_a_page_lets_a_mail_unsubscribe_by_itself():
    url = unsubscribe_url(config(base_url=None, bounces="bounces@corner.example"), KEY, 7)
    assert re.fullmatch(r"mailto:bounces\+[a-z2-7]{18}@corner\.example\?subject=unsubscribe", url)
    assert unsubscribe_token([KEY], url) == 7


def test_an_unsubscribe_token_is_read_out_of_whatever_it_stands_in():
    link = unsubscribe_url(config(), KEY, 7)
    own = mail_token(KEY, "unsubscribe", 7)
    for text in (
        link,
        f"<{link}>",
        f" {link}?x=1",
        f"{link}/",
        link.rpartition("/")[2],
        own,
        own.upper(),
        f"b+{own}@c.example",
    ):
        assert unsubscribe_token([KEY], text) == 7, text
    assert unsubscribe_token([KEY], f"b+{mail_token(KEY, 'bounce', 7)}@c.example") is None
    assert unsubscribe_token([bytes(32)], link) is None


def test_old_links_work_after_a_secret_came_or_went_missing():
    before = unsubscribe_url(config(), KEY, 7)
    shared = unsubscribe_url(config(secret="shared"), KEY, 7)
    assert unsubscribe_token(link_keys(config(secret="shared"), KEY), before) == 7
    assert unsubscribe_token(link_keys(config(secret="shared"), KEY), shared) == 7
    assert unsubscribe_token(link_keys(config(secret="gone"), KEY), before) == 7


def test_a_number_that_no_database_has_is_no_token_of_ours():
    key = bytes(32)
    for number in (2**63, 2**64 + 5):
        assert read_token(key, "unsubscribe", token(key, "unsubscribe", number)) is None
        assert read_mail_token(key, "bounce", mail_token(key, "bounce", number)) is None
    assert read_token(key, "unsubscribe", token(key, "unsubscribe", 2**63 - 1)) == 2**63 - 1
    assert read_mail_token(key, "bounce", mail_token(key, "bounce", 2**63 - 1)) == 2**63 - 1


@pytest.mark.parametrize(
    "pasted",
    [
        "mailto:bounces%2B{}@corner.example?subject=unsubscribe",
        "(https://corner.example/r/u/{}).",
        "https://corner.example/r/u/{}#top",
        "<https://corner.example/r/u/{}/>,",
        '"{}"',
    ],
)
def test_a_link_as_people_paste_it_is_understood(pasted):
    made = mail_token if "@" in pasted else token
    assert unsubscribe_token([KEY], pasted.format(made(KEY, "unsubscribe", 7))) == 7
    percents = "".join(f"%{ord(each):02X}" for each in made(KEY, "unsubscribe", 7))
    assert unsubscribe_token([KEY], pasted.format(percents)) == 7
