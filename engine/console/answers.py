"""What an answer that stopped a channel means, and what to do about it: a clause each, for a person who runs a café."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from engine.dispatch.channels import WEBHOOK

_TWO_STEPS: Final = "with two-step sign-in many providers want an app password of its own"
#: By the three digits, or by the whole answer where it is ours.
_MAIL: Final[Mapping[str, str]] = {
    "535": "the mail server refused the user or the password; check `user` and `password` under email: smtp in "
    f"config/regulars.yaml: {_TWO_STEPS}",
    "534": f"the mail server wants another way to sign in; {_TWO_STEPS}: make one there and set it as the password",
    "538": "the mail server takes a password over an encrypted line only; write tls: starttls (or tls: tls, port 465)",
    "530": "the mail server wants a sign-in, or an encrypted line, first; give `user` and `password` under email: "
    "smtp, and tls: starttls",
    "454": "the mail server can check no password, or encrypt nothing, at the moment; try again in an hour, then ask "
    "whoever runs it",
    "no STARTTLS": "the mail server offered no encryption, and nothing goes out in the clear; check `host` and `port` "
    "(587 with tls: starttls, 465 with tls: tls). If it worked before, somebody between you and it may be listening",
    "plaintext after STARTTLS": "somebody between you and the mail server wrote into the line before it was encrypted; "
    "send from another network, and tell whoever runs the server",
    "bad certificate": "the mail server's certificate has expired, is of another name, or of nobody known; `host` must "
    "be the name in it. For a server of your own with its own authority there is `ca_file`",
    "a password but no TLS": "a password is never sent in the clear; write tls: starttls or tls: tls, or no `user`",
    "no way to sign in": "the mail server offers no way to sign in that is known here; check `port`, or leave out "
    "`user` where it wants none",
    "no certificates in ca_file": "the file that `ca_file` names holds no certificate; it must be PEM text",
}
_ACCOUNT: Final = (
    "Twilio refused the account; check account_sid and auth_token under sms: twilio (a token that was renewed there "
    "must be renewed here), and whether the account is paid and not suspended"
)
_SIGNATURE: Final = "the other system refuses the signature; its secret and that in config/regulars.yaml must be equal"
_THREE: Final = "three messages in a row to different guests were refused, so it is not their numbers"
_SMS: Final[Mapping[str, str]] = {
    "http 401": _ACCOUNT,
    "http 403": _ACCOUNT,
    "twilio 20003": _ACCOUNT,
    "refused: twilio 30034": f"{_THREE}: register the number that they come from at Twilio (A2P 10DLC)",
    "refused: twilio 21606": f"{_THREE}: `from` is no number of this account that can send SMS",
    "refused: twilio 21408": f"{_THREE}: allow their country under Geo permissions at Twilio",
    "refused: twilio 21608": f"{_THREE}: a trial account sends to verified numbers only; upgrade it at Twilio",
}
_PLAIN: Final = "put it right"
_REFUSED_US: Final = (
    "the server refuses you, not the guests: it takes you for spam, or the domain's SPF, DKIM or DMARC does not fit; "
    "its operator can say which"
)


def meaning(channel: str, why: str) -> str:
    """Say what the answer ``why`` means that stopped ``channel``, with the cure."""
    if channel.startswith(WEBHOOK):
        return _SIGNATURE if why in {"http 401", "http 403"} else _PLAIN
    if channel == "sms":
        unknown = f"{_THREE}; Twilio's page on the code says why" if why.startswith("refused:") else _PLAIN
        return _SMS.get(why, unknown)
    digits = re.match(r"[2-5]\d\d\b", why)
    if digits is None:
        return _MAIL.get(why, _PLAIN)
    signing_in = "the mail server refused the sign-in, or the encrypted line; ask whoever runs it"
    return _MAIL.get(digits[0], signing_in)


def after(reply: str, reason: str | None) -> str:
    """Say after which answer a channel rests; empty where none is known."""
    if not reply:
        return ""
    return f"the last answer was {reply}" + (f": {_REFUSED_US}" if reason == "sender_refused" else "")
