"""One message on one connection: what is said up to the fence, the dot after it, and what the answers mean.

Where the server offers PIPELINING (RFC 2920), MAIL, RCPT and DATA go in one write, and their replies are judged in
their order. A server that refuses one of them and yet says 354 to DATA waits for a message: nothing is said to it any
more, for a dot would give it one. Those of the next message may go along with the dot of the one before.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from connectors.base import BEHIND, Outcome
from connectors.smtp_letter import Letter
from connectors.smtp_replies import FaultError, Phase, Reply, UnfitError, of_fault, of_reply
from connectors.smtp_session import LATE, Session, Steps

_DOT: Final = b"\r\n.\r\n"
_YES: Final = range(200, 300)  # RFC 5321, 4.3.2: a client goes by the first digit
_CLOSING_DOWN: Final = 421
_OUT_OF_ORDER: Final = 503
_GO_ON: Final = 354
_REFUSALS: Final = 400  #: and above
#: The phases of an envelope, and the replies with which each goes on.
_ENVELOPE: Final[tuple[tuple[Phase, Container[int]], ...]] = (("MAIL", _YES), ("RCPT", _YES), ("DATA", (_GO_ON,)))


class Attempt:
    """A try to hand a letter over, on the connection ``session`` once it has one.

    ``kept``: the connection was used before. ``begun``: it has been told of the letter already.
    """

    __slots__ = ("ahead", "begun", "clean", "gone", "kept", "letter", "lost", "outcome", "pipelined", "session")

    def __init__(self, letter: Letter | None, outcome: Outcome | None) -> None:
        self.letter = letter  #: None: there is an outcome, and nothing is said
        self.outcome = outcome  #: None: it goes on
        self.session: Session | None = None
        self.pipelined = self.kept = self.begun = False
        self.clean = False  #: both ends stand where a next message can begin
        self.gone = False  #: the connection was no good and nothing was said of the letter: try it on another
        self.lost = False  #: the server offers PIPELINING and loses its place in it
        self.ahead: Letter | None = None  #: the next one's letter, of which it is told with the dot

    def sits_on(self, session: Session, *, pipelined: bool, kept: bool, begun: bool = False) -> None:
        """Give it a connection."""
        self.session, self.kept, self.begun = session, kept, begun
        self.pipelined = begun or (pipelined and "pipelining" in session.esmtp_features)
        self.outcome, self.gone = None, False

    @property
    def place(self) -> tuple[Session, Letter]:
        """The connection that it has, and what goes over it."""
        assert self.session is not None, "it has a connection"
        assert self.letter is not None, "what is unfit gets none"
        return self.session, self.letter

    def up_to_the_fence(self) -> Steps[bool]:
        """Say everything but the dot. True: it stands before the fence; else it has its outcome."""
        session, letter = self.place
        try:
            body = letter.body  # before a word is said: it may be unfit
            lines = None if self.begun else letter.envelope(session.esmtp_features)
            if self.pipelined and lines is not None:
                session.say(b"".join(lines))
            for number, (phase, wanted) in enumerate(() if self.begun and session.took_envelope() else _ENVELOPE):
                if not self.pipelined and lines is not None:
                    session.say(lines[number])
                session.enter(phase)
                while (reply := session.reply()) is None:
                    yield
                if reply.code not in wanted:
                    yield from self._refused(phase, reply)
                    return False
            session.enter("body")
            session.say(body)
            wire = session.wire
            while wire.sending and not wire.arrived:
                yield
        except FaultError as fault:
            self.gone = self.kept and session.phase == "MAIL" and fault.what == "dropped"
            self.lost = self.pipelined and session.phase in {"RCPT", "DATA"} and fault.what != LATE
            self.outcome = BEHIND if fault.what == LATE else of_fault(session.phase, fault.what)
        except UnfitError as unfit:
            self.clean = not self.begun
            self.outcome = Outcome("no", unfit.code)
        else:
            return not (wire.broken or wire.arrived)  # then ``still_ready`` finds out
        return False

    def still_ready(self) -> bool:
        """Tell whether the server has kept silent since; what it says before its time is not the dot's answer."""
        try:
            return not self.place[0].spoke_out_of_turn()
        except FaultError as fault:
            self.outcome = of_fault("body", fault.what)
            return False

    def hear_out(self) -> Steps[bool]:
        """Hear what the server says before its time: a refusal."""
        try:
            self.outcome = of_reply("body", (yield from self.place[0].replied("body")))
        except FaultError as fault:
            self.outcome = of_fault("body", fault.what)
        return False

    def dot(self, following: bytes = b"") -> Steps[bool]:
        """End the message: it is the server's from now on. ``following`` is said in the same breath.

        What it has said while the fence was asked is no answer to the dot: then there is none, and nothing has left.
        """
        session, _ = self.place
        if not self.still_ready():
            if self.outcome is None:
                yield from self.hear_out()
            self.ahead = None
            return False
        session.enter("dot")
        try:
            session.say(_DOT + following)
            if self.ahead is not None:
                self.ahead.prepare()  # while the server is busy with this one
            while (reply := session.reply()) is None:
                yield
        except FaultError as fault:
            self.outcome = of_fault("dot", fault.what)
        else:
            self.outcome = of_reply("dot", reply)
            self.clean = self.outcome.kind != "unknown" and reply.code != _CLOSING_DOWN
        return False

    def _refused(self, phase: Phase, reply: Reply) -> Steps[None]:
        """Bring the connection back to where a message can begin, or leave it unclean."""
        session, _ = self.place
        self.outcome = of_reply(phase, reply)
        if reply.code < _REFUSALS:  # an answer to something else: it is not where we think it is
            self.lost = self.pipelined
        elif reply.code == _CLOSING_DOWN:
            self.gone = self.kept and phase == "MAIL"
        elif self.pipelined and phase != "MAIL" and reply.code == _OUT_OF_ORDER:
            self.lost = self.gone = True
        else:
            try:
                if not self.pipelined or (yield from self._rest_is_refused(phase)):
                    session.say(b"RSET\r\n")
                    self.clean = (yield from session.replied(phase)).code in _YES
            except FaultError as fault:
                self.lost = self.pipelined and fault.what != "dropped"

    def _rest_is_refused(self, refused: Phase) -> Steps[bool]:
        """Read what is said to the rest of the envelope; tell whether the server waits for commands again."""
        session, _ = self.place
        phases = [phase for phase, _ in _ENVELOPE]
        for phase in phases[phases.index(refused) + 1 :]:
            reply = yield from session.replied(phase)
            if reply.code in {_CLOSING_DOWN, _GO_ON}:
                return False
        return True
