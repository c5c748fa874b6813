"""What carries messages out and brings data in; imports nothing of the engine.

One line a connector: the word that chooses it in ``config/regulars.yaml``, and how it is opened. The owner's settings
for it stand in the config under the same word.
"""

from __future__ import annotations

from collections.abc import Callable

from connectors.base import Connector, Setup
from connectors.file import FileConnector
from connectors.sms_twilio import TwilioConnector
from connectors.smtp import SmtpConnector
from connectors.webhook import WebhookConnector

CONNECTORS: dict[str, Callable[[Setup], Connector]] = {
    "file": lambda setup: FileConnector(setup.folder),
    "smtp": lambda setup: SmtpConnector(**setup.settings),
    "twilio": lambda setup: TwilioConnector(**setup.settings, clock=setup.clock, validity=setup.validity),
    "http": lambda setup: WebhookConnector(**setup.settings, clock=setup.clock),
}
