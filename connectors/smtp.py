"""Email over SMTP: one message, one recipient, and the fence just before the final dot.

Everything up to the dot can be given up without a trace on the other side. So the connector writes the whole body but
its last line break, asks the fence, and only then writes CR LF, dot, CR LF. Several messages may stand there at once,
each on a connection of its own, and be let go together.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors.base import Handoff, Handoffs, Message, Outcome, nothing
from connectors.deadline import Deadline
from connectors.smtp_attempt import Attempt
from connectors.smtp_letter import Letter
from connectors.smtp_replies import FaultError, Phase, RefusedError, UnfitError, UnsafeError, of_fault, of_reply
from connectors.smtp_session import Session, Steps, Tls, drive

#: So many messages go over one connection, and it is not used again after so many seconds without one.
PER_CONNECTION = 100
IDLE = 30.0
#: So many seconds do those that stand before the fence wait for a slower one of their group: servers wait no longer.
PATIENCE = 15.0

#: After the server did not let us have another connection, none more is asked for so many seconds.
_REST = 600.0
_FENCED = Outcome("not_now", "fence", counts_attempt=False)


@dataclass
class _Lane:
    """A kept connection. ``ahead`` is what it has been told of already, with the dot of the message before."""

    session: Session
    stale: Deadline
    ahead: Letter | None = None


class SmtpConnector:
    """Sends through one mail server and keeps its connections between messages.

    ``tls`` is ``starttls`` (never falls back to plaintext), ``tls`` (from the first byte) or ``none``. ``context`` is
    by default one that verifies: against the system's certificates, or those of ``ca_file`` instead. ``deadlines`` are
    seconds by phase, for those that shall differ. ``local_hostname`` is what EHLO says: by default the address of this
    end, which needs no look-up. A connection is used for ``per_connection`` messages, and not after ``idle`` seconds of
    silence: many servers set such limits of their own, and a refusal would cost more than a new connection.
    ``connections`` is how many there may be at once; fewer where the server lets us have fewer.
    """

    def __init__(
        self,
        host: str,
        port: int = 587,
        tls: Tls = "starttls",
        user: str = "",
        password: str = "",
        *,
        ca_file: Path | None = None,
        local_hostname: str | None = None,
        context: ssl.SSLContext | None = None,
        deadlines: Mapping[Phase, float] | None = None,
        per_connection: int = PER_CONNECTION,
        idle: float = IDLE,
        connections: int = 1,
        patience: float = PATIENCE,
    ) -> None:
        self._host = host
        self._port = port
        self._tls: Tls = tls
        self._user = user
        self._password = password
        self._local_hostname = local_hostname
        self._ca_file = ca_file
        self._context = context
        self._deadlines = deadlines or {}
        self._per_connection = per_connection
        self._idle = idle
        self._patience = patience
        self._connections = connections
        self._filled = False  #: whether the group before this one took all connections, and went well
        self._pipelining = True  #: until a server that offers it has lost its place
        self._lanes: list[_Lane] = []
        self._written: dict[int, tuple[Message, Letter | UnfitError]] = {}  #: what is told of ahead is written once
        self._enough = Deadline(0)  #: until then no more connections are asked for
        self.most = 1  #: so many messages may go in one group now: it grows with what goes well

    def send(self, message: Message, handoff: Handoff) -> Outcome:
        """Send one message. The outcome follows the table in ``smtp_replies``; nothing that a server does raises."""
        return self.send_group([message], lambda places: places if handoff() else ())[0]

    def send_group(
        self,
        messages: Sequence[Message],
        handoff: Handoffs,
        upcoming: Sequence[Message] = (),
        meanwhile: Callable[[], None] = nothing,
    ) -> list[Outcome]:
        """Send up to ``most`` messages, each on a connection of its own; all stand before the fence when it is asked.

        ``handoff`` is given the places of those that do, and gives those that may leave; it is not asked when there are
        none. ``upcoming`` are the next group's messages, as the same objects: where the server offers PIPELINING it is
        told of them already. ``meanwhile`` is done once the dots are on their way. One that fails harms no other.
        """
        if self._filled:  # now, when nothing is at stake: opening connections may take minutes
            self._grow()
        tries = self._write(messages)
        self._sit_down(tries)
        try:
            self._prepare(tries)
            ready = [place for place, each in enumerate(tries) if each.outcome is None]
            if ready:
                talks = self._passed(tries, ready, handoff, upcoming)
                drive(talks, meanwhile=meanwhile)
        finally:
            for each in tries:
                self._keep(each)
        outcomes = [each.outcome or _FENCED for each in tries]
        self._filled = len(tries) >= self.most < self._connections and all(each.kind == "sent" for each in outcomes)
        return outcomes

    def close(self) -> None:
        """Say QUIT on the kept connections and close them; what the server makes of it is of no interest."""
        for lane in self._lanes:
            lane.session.hang_up(politely=lane.ahead is None)
        self._lanes.clear()

    # -- the group ----------------------------------------------------------------------------------------------------

    def _write(self, messages: Sequence[Message]) -> list[Attempt]:
        """Make the letters of a group, but for those that were made ahead."""
        made, self._written = self._written, {}
        tries = []
        for message in messages:
            letter = made[id(message)][1] if id(message) in made else _letter(message, whole=True)
            if isinstance(letter, Letter):
                tries.append(Attempt(letter, None))
            else:
                tries.append(Attempt(None, Outcome("no", letter.code)))
        return tries

    def _write_ahead(self, upcoming: Sequence[Message]) -> Iterator[Letter]:
        """Make the letters of the next group, without their bodies, and give those that may be told of."""
        self._written = {id(message): (message, _letter(message, whole=False)) for message in upcoming}
        return iter([letter for _, letter in self._written.values() if isinstance(letter, Letter)])

    def _sit_down(self, tries: Sequence[Attempt]) -> None:
        """Give each message that a server was told of its own connection; the others get what is left, or a new one."""
        if len(tries) == len(self._lanes) == 1 and tries[0].letter is self._lanes[0].ahead is not None:
            lane = self._lanes[0]
            if not lane.stale.passed():
                self._lanes.clear()
                tries[0].sits_on(lane.session, pipelined=True, kept=True, begun=True)
                return
        waiting = {id(each.letter): each for each in tries if each.letter is not None}
        for lane in [lane for lane in self._lanes if lane.ahead is not None]:
            self._lanes.remove(lane)
            told = waiting.pop(id(lane.ahead), None) if not lane.stale.passed() else None
            if told is None:  # the server waits for a message that does not come, or comes too late
                lane.session.hang_up()
            else:
                told.sits_on(lane.session, pipelined=True, kept=True, begun=True)
        for place, each in [*waiting.items()]:
            if self._lanes and (session := self._usable()) is not None:
                each.sits_on(session, pipelined=self._pipelining, kept=True)
                del waiting[place]
        self._connect([*waiting.values()])

    def _connect(self, tries: Sequence[Attempt]) -> None:
        """Open a connection for each. Where one cannot be opened, those after it share its outcome."""
        for number, each in enumerate(tries):
            session, failed = self._opened()
            if failed is not None:
                self._have_fewer(len(tries) - number)
                for other in tries[number:]:
                    other.outcome = failed
                return
            each.sits_on(session, pipelined=self._pipelining, kept=False)

    def _prepare(self, tries: Sequence[Attempt]) -> None:
        """Bring all to just before the dot; a kept connection that turns out to be gone is replaced, once."""
        self._say(tries)
        again = [each for each in tries if each.gone]
        if again:
            for each in again:
                each.place[0].hang_up()
                each.session = None
            self._connect(again)
            self._say(again)
        early = [each for each in tries if each.outcome is None and not each.still_ready() and each.outcome is None]
        if early:
            drive([(each.place[0], each.hear_out()) for each in early])

    def _say(self, tries: Sequence[Attempt]) -> None:
        going = [each for each in tries if each.session is not None]
        drive([(each.place[0], each.up_to_the_fence()) for each in going], self._patience)
        self._pipelining = self._pipelining and not any(each.lost for each in going)

    def _passed(
        self, tries: Sequence[Attempt], ready: Sequence[int], handoff: Handoffs, upcoming: Sequence[Message]
    ) -> list[tuple[Session, Steps[bool]]]:
        """Ask the fence; give how those messages end that may leave: all dots first, then the replies as they come."""
        following = self._write_ahead(upcoming)  # while the servers read what they have
        allowed = handoff(ready)
        going = [tries[place] for place in ready if place in allowed]
        return [(each.place[0], each.dot(self._ahead(each, following))) for each in going]

    def _ahead(self, each: Attempt, following: Iterator[Letter]) -> bytes:
        """Give what the server is told of the next message in the same breath; nothing where it must come later."""
        session, _ = each.place
        if not (self._pipelining and each.pipelined) or session.served + 1 >= self._per_connection:
            return b""
        letter = next(following, None)
        try:
            said = b"" if letter is None else b"".join(letter.envelope(session.esmtp_features))
        except UnfitError:
            return b""
        each.ahead = letter
        return said

    # -- the connections ----------------------------------------------------------------------------------------------

    def _opened(self) -> tuple[Session, Outcome | None]:
        """Open a connection; where it cannot be, say what that is for a message."""
        session = Session(self._host, self._port, self._local_hostname, self._deadlines)
        try:
            session.open(self._tls, self._verifying(), self._user, self._password)
        except RefusedError as refused:
            outcome = of_reply(session.phase, refused.reply)
        except FaultError as fault:
            outcome = of_fault(session.phase, fault.what)
        except UnsafeError as unsafe:
            outcome = Outcome("not_now", unsafe.what, channel="stop", counts_attempt=False)
        except OSError:  # no more sockets, or one that was gone as soon as it was there
            outcome = of_fault(session.phase, "refused")
        else:
            return session, None
        session.hang_up()
        return session, outcome

    def _keep(self, each: Attempt) -> None:
        """Keep the connection for the next message where both ends stand at the beginning of one."""
        session = each.session
        if session is None:
            return
        session.served += 1
        if each.clean and session.served < self._per_connection:
            self._lanes.append(_Lane(session, Deadline(self._idle), each.ahead))
        else:
            session.hang_up(politely=each.clean)

    def _usable(self) -> Session | None:
        """Give a kept connection; one that is old, or whose server hung up or spoke in the meantime, is let go."""
        while self._lanes:
            lane = self._lanes.pop()
            old = lane.stale.passed()
            try:
                if not old and not lane.session.spoke_out_of_turn():
                    return lane.session
            except FaultError:
                pass
            lane.session.hang_up(politely=old)
        return None

    def _grow(self) -> None:
        """After a group that filled all and went well, have twice as many connections."""
        if not self._enough.passed():
            return
        wanted = min(2 * self.most, self._connections)
        while len(self._lanes) < wanted:
            session, failed = self._opened()
            if failed is not None:
                self._enough = Deadline(_REST)
                return
            self._lanes.append(_Lane(session, Deadline(self._idle)))
        self.most = wanted

    def _have_fewer(self, missing: int) -> None:
        self.most = max(1, self.most - missing)
        self._enough = Deadline(_REST)

    def _verifying(self) -> ssl.SSLContext | None:
        if self._context is None and self._tls != "none":
            try:
                self._context = ssl.create_default_context(cafile=self._ca_file)
            except OSError:
                raise UnsafeError("no certificates in ca_file") from None
            self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        return self._context


def _letter(message: Message, *, whole: bool) -> Letter | UnfitError:
    """Make the letter; ``whole``: its body too, which else is made when there is time for it."""
    try:
        letter = Letter(message)
        if whole:
            letter.body  # noqa: B018 (made with it)
    except UnfitError as unfit:
        return unfit
    return letter
