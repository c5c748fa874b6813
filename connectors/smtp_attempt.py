"""One message on one connection: what is said up to the fence, the dot after it, and what the answers mean.

Where the server offers PIPELINING (RFC 2920), MAIL, RCPT and DATA go in one write, and their replies are judged in
their order. A server that refuses one of them and yet says 354 to DATA waits for a message: nothing is said to it any
more, for a dot would give it one. Those of the next message may go along with the dot of the one before.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from connectors.base import Outcome
from connectors.smtp_letter import Letter
from connectors.smtp_replies import FaultError, Phase, Reply, UnfitError, of_fault, of_reply, queue_id
from connectors.smtp_session import Session, Steps

_DOT: Final = b"\r\n.\r\n"
_YES: Final = range(200, 300)  # RFC 5321, 4.3.2: a client goes by the first digit
_CLOSING_DOWN: Final = 421
_OUT_OF_ORDER: Final = 503
_GO_ON: Final = 354
_REFUSALS: Final = 400  #: and above
#: The phases of an envelope, and the replies with which each goes on.
_ENVELOPE: Final[tuple[tuple[Phase, Container[int]], ...]] = (("MAIL", _YES), ("RCPT", _YES), ("DATA", (_GO_ON,)))


class Attempt:
    """A try to hand a letter over. ``kept``: the connection was used before. ``begun``: its envelope has been said."""

    def __init__(self, session: Session, letter: Letter, *, pipelined: bool, kept: bool, begun: bool = False) -> None:
        self.session = session
        self.letter = letter
        self.pipelined = pipelined and "pipelining" in session.esmtp_features
        self.clean = False  #: both ends stand where a next message can begin
        self.gone = False  #: the connection was no good and nothing was said of the letter: try it on another
        self.lost = False  #: the server offers PIPELINING and loses its place in it
        self._kept = kept
        self._begun = begun

    def up_to_the_fence(self) -> Steps[Outcome | None]:
        """Say everything but the dot. None: it stands before the fence."""
        try:
            outcome = yield from self._prepare()
        except FaultError as fault:
            phase = self.session.phase
            self.gone = self._kept and phase == "MAIL" and fault.what == "dropped"
            self.lost = self.pipelined and phase in {"RCPT", "DATA"}
            return of_fault(phase, fault.what)
        except UnfitError as unfit:
            self.clean = not self._begun
            return Outcome("no", unfit.code)
        return outcome

    def still_ready(self) -> Steps[Outcome | None]:
        """Look whether the server has spoken before its time: a refusal, and not the dot's answer."""
        try:
            if not self.session.spoke_out_of_turn():
                return None
            return of_reply("body", (yield from self.session.replied("body")))
        except FaultError as fault:
            return of_fault("body", fault.what)

    def dot(self, following: bytes = b"") -> Steps[Outcome]:
        """End the message: it is the server's from now on. ``following`` is said in the same breath."""
        try:
            self.session.say(_DOT + following)
            reply = yield from self.session.replied("dot")
        except FaultError as fault:
            return of_fault("dot", fault.what)
        outcome = of_reply("dot", reply)
        self.clean = outcome.kind != "unknown" and reply.code != _CLOSING_DOWN
        if outcome.kind != "sent":
            return outcome
        return Outcome("sent", outcome.code, provider_id=queue_id(reply))

    def _prepare(self) -> Steps[Outcome | None]:
        session = self.session
        lines = self.letter.envelope(session.esmtp_features)
        if self.pipelined and not self._begun:
            session.say(b"".join(lines))
        for (phase, wanted), line in zip(_ENVELOPE, lines, strict=True):
            if not self.pipelined:
                session.say(line)
            reply = yield from session.replied(phase)
            if reply.code not in wanted:
                return (yield from self._refused(phase, reply))
        session.say(self.letter.body)
        yield from session.written("body")
        return None

    def _refused(self, phase: Phase, reply: Reply) -> Steps[Outcome]:
        """Bring the connection back to where a message can begin, or leave it unclean."""
        outcome = of_reply(phase, reply)
        if reply.code < _REFUSALS:  # an answer to something else: it is not where we think it is
            self.lost = self.pipelined
            return outcome
        if reply.code == _CLOSING_DOWN:
            self.gone = self._kept and phase == "MAIL"
            return outcome
        if self.pipelined and phase != "MAIL" and reply.code == _OUT_OF_ORDER:
            self.lost = self.gone = True
            return outcome
        try:
            if self.pipelined and not (yield from self._heard_out(phase)):
                return outcome
            self.session.say(b"RSET\r\n")
            self.clean = (yield from self.session.replied(phase)).code in _YES
        except FaultError as fault:
            self.lost = self.pipelined and fault.what != "dropped"
        return outcome

    def _heard_out(self, refused: Phase) -> Steps[bool]:
        """Read what is said to the rest of the envelope; tell whether the server waits for commands again."""
        phases = [phase for phase, _ in _ENVELOPE]
        for phase in phases[phases.index(refused) + 1 :]:
            reply = yield from self.session.replied(phase)
            if reply.code in {_CLOSING_DOWN, _GO_ON}:
                return False
        return True
