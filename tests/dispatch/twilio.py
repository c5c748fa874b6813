"""Twilio's side of a conversation: what it posts to a home's page, signed by its own validator."""

from urllib.parse import urlencode

from sqlalchemy import select, update
from twilio.request_validator import RequestValidator

from engine.database.tables import customers, endpoints
from engine.dispatch.links import link_key, token
from engine.dispatch.signed import Signed
from engine.language.keys import endpoint_hash

from .world import CONFIG

ACCOUNT, TOKEN = "AC" + "f" * 32, "t0ken"
BASE = "https://corner.example/r"
SID, OTHER_SID = "SM" + "0123456789abcdef" * 2, "SM" + "b" * 32
SMS_CONFIG = """
sms:
  connector: twilio
  twilio:
    account_sid: env:ACCOUNT
    auth_token: env:TOKEN
    from: "+15005550006"
    base_url: http://127.0.0.1:1
"""
ENVIRON = {"ACCOUNT": ACCOUNT, "TOKEN": TOKEN}
TWILIO_CONFIG = CONFIG + SMS_CONFIG


def signed(url, form, *, key=TOKEN, seen=None):
    """Sign a form for a URL; ``seen`` is how the server saw it, where that is another."""
    signature = RequestValidator(key).compute_signature(url, dict(form))
    return Signed(seen or url, signature, urlencode(list(form.items())))


def callback(home, dispatch_id, status="delivered", *, sid=SID, code=None, to=None, base=BASE, **how):
    """A status callback of a dispatch."""
    form = {
        "SmsSid": sid,
        "MessageSid": sid,
        "MessageStatus": status,
        "AccountSid": ACCOUNT,
        "ApiVersion": "2010-04-01",
    }
    if code is not None:
        form["ErrorCode"] = str(code)
    if to is not None:
        form["To"] = to
    own = token(link_key(home.config, home.key), "status", dispatch_id)
    return signed(f"{base}/s/{own}", form | how.pop("form", {}), **how)


def texted(number, text, *, sid=SID, **how):
    """An SMS of a guest."""
    form = {"MessageSid": sid, "AccountSid": ACCOUNT, "From": number, "To": "+15005550006", "Body": text}
    return signed(f"{BASE}/sms", form | how.pop("form", {}), **how)


def number_of(cafe, guest):
    with cafe.db.begin() as conn:
        return conn.scalar(select(endpoints.c.address).where(endpoints.c.id == guest.sms_id))


def a_guest(cafe, home, **values):
    """A guest whose number is known under the home's key, as an import writes it; gives the row and the number."""
    guest = cafe.guest(**values)
    number = number_of(cafe, guest)
    with cafe.db.begin() as conn:
        known = endpoint_hash(home.key, "sms", number)
        conn.execute(update(endpoints).where(endpoints.c.id == guest.sms_id).values(hash=known, country="US"))
        return conn.execute(select(customers).where(customers.c.id == guest.id)).one(), number
