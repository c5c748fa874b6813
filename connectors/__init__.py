"""What carries messages out and brings data in; imports nothing of the engine.

One line a connector. What a connector needs to be opened stands in its class; which one a channel uses, in the owner's
config.
"""

from __future__ import annotations

from connectors.base import Connector
from connectors.file import FileConnector
from connectors.sms_twilio import TwilioConnector
from connectors.smtp import SmtpConnector

CONNECTORS: dict[str, type[Connector]] = {
    "file": FileConnector,
    "smtp": SmtpConnector,
    "twilio": TwilioConnector,
}
