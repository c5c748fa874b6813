"""What carries messages out and brings data in; imports nothing of the engine.

One line a connector: the word that chooses it in ``config/regulars.yaml``, and how it is opened. The owner's settings
for it stand in the config under the same word. Each is loaded when it is opened: most homes use one or two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connectors.base import Connector, Setup


def _file(setup: Setup) -> Connector:
    from connectors.file import FileConnector

    return FileConnector(setup.folder)


def _smtp(setup: Setup) -> Connector:
    from connectors.smtp import SmtpConnector

    return SmtpConnector(**setup.settings)


def _twilio(setup: Setup) -> Connector:
    from connectors.sms_twilio import TwilioConnector

    return TwilioConnector(**setup.settings, clock=setup.clock, validity=setup.validity)


def _http(setup: Setup) -> Connector:
    from connectors.webhook import WebhookConnector

    return WebhookConnector(**setup.settings, clock=setup.clock)


CONNECTORS: dict[str, Callable[[Setup], Connector]] = {
    "file": _file,
    "smtp": _smtp,
    "twilio": _twilio,
    "http": _http,
}
