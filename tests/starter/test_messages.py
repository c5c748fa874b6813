"""The shipped messages, rendered as a guest gets them: short enough, whole, and in the guest's language."""

import pytest

from engine.dispatch.render import Renderer
from engine.language.offers import load_offers
from engine.language.sms import segments
from engine.starter.home import starter_files

FILES = starter_files()
TEMPLATES = {
    folder.name: {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}
    for folder in sorted((FILES / "templates").iterdir())
}
OFFERS, _ = load_offers(FILES, "USD")
#: Which coupon each message shows.
OFFER_OF = {
    "welcome": "welcome-pastry",
    "second-visit": "free-drink",
    "first-lunch": "lunch-again",
    "tenth-visit": "free-drink",
    "birthday": "birthday-cake",
    "win-back": "twenty-percent",
    "win-back-reminder": "twenty-percent",
    "long-lost": "drink-and-pastry",
}
WITH_EMAIL = [name for name, files in TEMPLATES.items() if "email.mjml" in files]
STORE = {"name": "Harbour Street", "address": "7 Harbour Street, Cleveland, OH 44113", "country": "US"}


def values(template, *, first_name="Michelle", store=STORE, comment="Waited twenty minutes for a flat white."):
    """What a message is rendered with; names, days and amounts of ordinary length."""
    offer = OFFERS.get(OFFER_OF.get(template, ""))
    coupon = offer and {"code": "K7QW-M4ZT-92XH", "name": offer.name, "valid_until": "2026-09-28", "qr": "K7QWM4ZT92XH"}
    customer = {"name": f"{first_name} Anderson".strip(), "first_name": first_name, "phone": "+13125550100"}
    return {
        "customer": customer,
        "order": {"total": 12950, "ordered_at": "2026-09-28T16:00:00+00:00"},
        "rating": {"score": 2.0, "comment": comment},
        "points": 240,
        "coupon": coupon,
        "coupons": [coupon] if coupon else [],
        "store": store,
        "matches": [{"customer": customer, "store": store}] * 2,
        "business": {
            "name": "Corner Café", "address": "12 Mill Lane, Springfield, IL 62701", "country": "US",
            "language": "en", "currency": "USD",
        },
        "links": {"unsubscribe": "https://corner.example/r/u/abc"},
        "zone": "America/Chicago",
    }  # fmt: skip


@pytest.fixture(scope="module")
def renderer():
    return Renderer()


@pytest.mark.parametrize("template", TEMPLATES)
def test_an_english_sms_is_one_segment_of_plain_letters(renderer, template):
    text = renderer.sms(TEMPLATES[template], values(template), ["en"])
    cost = segments(text)
    assert (cost.encoding, cost.count) == ("GSM-7", 1), text


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_chinese_sms_is_one_segment(renderer, template):
    text = renderer.sms(TEMPLATES[template], values(template, first_name="美玲"), ["zh"])
    cost = segments(text)
    assert (cost.encoding, cost.count) == ("UCS-2", 1), text


@pytest.mark.parametrize("template", sorted(set(TEMPLATES) - {"low-rating-alert", "big-spender-alert"}))
def test_an_sms_to_a_guest_says_from_whom_and_how_to_stop(renderer, template):
    english = renderer.sms(TEMPLATES[template], values(template), ["en"])
    chinese = renderer.sms(TEMPLATES[template], values(template), ["zh"])
    assert english.startswith("Corner Café: ")
    assert english.endswith("Reply STOP to opt out")
    assert chinese.startswith("【Corner Café】")
    assert chinese.endswith("回复STOP退订")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("template", WITH_EMAIL)
def test_an_email_has_all_its_parts(renderer, template, language):
    email = renderer.email(TEMPLATES[template], values(template), [language])
    assert 4 <= len(email.subject) <= 60
    assert email.language in {"", language}
    for part in (email.text, email.html):
        assert "12 Mill Lane, Springfield, IL 62701" in part
        assert ("K7QW-M4ZT-92XH" in part) == (template in OFFER_OF)
        assert not {"{{", "{%", "None", "undefined"} & set(part.split())
    assert list(email.images.values()) == [image for image in email.images.values() if image.startswith(b"\x89PNG")]
    assert bool(email.images) == (template in OFFER_OF)
    assert any("一" <= char <= "鿿" for char in email.subject) == (language == "zh")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("template", WITH_EMAIL)
def test_a_guest_of_no_name_and_no_store_gets_a_whole_message_too(renderer, template, language):
    bare = values(template, first_name="", store=None, comment="")
    email = renderer.email(TEMPLATES[template], bare, [language])
    assert "Hello ," not in email.text
    assert "None" not in email.text
    assert renderer.sms(TEMPLATES[template], bare, [language])


def test_a_guest_of_another_language_gets_the_homes(renderer):
    email = renderer.email(TEMPLATES["birthday"], values("birthday"), ["es", None, "en"])
    assert email.subject == "Cake for your birthday"
    assert "Hello Michelle" in email.text


def test_the_alert_of_a_bad_rating_has_what_a_manager_needs_to_call(renderer):
    email = renderer.email(TEMPLATES["low-rating-alert"], values("low-rating-alert"), ["en"])
    assert email.subject == "2 out of 5 from Michelle Anderson"
    for word in ("Harbour Street", "+13125550100", "Waited twenty minutes"):
        assert word in email.text


def test_the_alert_about_quiet_guests_lists_them_all(renderer):
    email = renderer.email(TEMPLATES["big-spender-alert"], values("big-spender-alert"), ["en"])
    assert email.subject == "2 of our best guests have been quiet"
    assert email.text.count("Michelle Anderson") == 2


@pytest.mark.parametrize(("language", "day"), [("en", "September 28, 2026"), ("zh", "2026年9月28日")])
def test_the_last_day_of_a_coupon_is_written_as_the_guest_writes_it(renderer, language, day):
    assert day in renderer.sms(TEMPLATES["win-back-reminder"], values("win-back-reminder"), [language])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_least_bill_is_told_where_the_offer_has_one(renderer, language):
    given = values("win-back")
    assert "5.00" not in renderer.email(TEMPLATES["win-back"], given, (language,)).text
    given["coupon"] |= {"minimum_spend": 500}
    assert "5.00" in renderer.email(TEMPLATES["win-back"], given, (language,)).text


def test_no_message_keeps_a_condition_of_its_offer_from_the_guest():
    """An SMS has no room for the least bill, so the offers of the starter ask for none."""
    assert all(offer.minimum_spend is None and not offer.stores for offer in OFFERS.values())
