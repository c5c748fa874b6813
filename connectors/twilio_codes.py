"""What Twilio's codes say of a message and a number, apart from what sends: each run asks for some of them."""

from __future__ import annotations

import re
from typing import Final

#: Under which name its word of a message is written down.
SOURCE: Final = "twilio"
#: Of a message.
SID: Final = re.compile(r"(?:SM|MM)[0-9a-f]{32}")
#: Who has written STOP to us; and what is no number, not reachable by SMS, a landline: the number's fault, not ours.
OPTED_OUT: Final = frozenset({21610})
UNUSABLE: Final = frozenset({21211, 21214, 21217, 21265, 21614, 21635})
#: Held back as spam; a sender that is not registered. Our fault: sending on would make it worse.
FILTERED: Final = frozenset({30007, 30034})
