"""Several messages before the fence at once, each on a connection of its own: one that fails harms no other."""

from __future__ import annotations

import dataclasses
import errno
import threading

import pytest
from scripted_smtp import CLOSE, DEAF, DRIP, GOOD, PIPELINING, QUICK, RESET, STALL, ScriptedSmtp, connector, verdict
from test_smtp_replies import REPLIES_AFTER, REPLIES_BEFORE

from connectors.base import BEHIND, Grouping, Outcome

NAMES = ("li", "wei", "ann", "bo")
FENCED = Outcome("not_now", "fence", counts_attempt=False)
SENT = ("sent", "ok", "ok", True)


def letters_to(letter, names=NAMES):
    return [dataclasses.replace(letter, key=name, recipient=f"{name}@guest.example") for name in names]


def wide(server, letter, width=4, **options):
    """A connector that has grown to so many connections, by messages to others."""
    server.fence_open.set()
    carrier = connector(server, connections=width, **options)
    others = iter(letters_to(letter, [f"other{number}" for number in range(2 * width)]))
    while carrier.most < width:
        group = [next(others) for _ in range(carrier.most)]
        assert all(each.kind == "sent" for each in carrier.send_group(group, lambda places: places))
    server.dots.clear()
    server.accepted.clear()
    server.fence_open.clear()
    return carrier


def only(recipient, what):
    """A script for one guest, and well for all others."""
    return lambda told: what if told == f"{recipient}@guest.example" else None


@pytest.mark.parametrize("width", [1, 4])
def test_what_there_is_to_do_is_done_while_the_dots_are_answered(letter, width):
    done, answered = threading.Event(), []

    def dot(recipient):
        if not recipient.startswith("other"):
            answered.append(done.wait(5))  # who did it after the answers would wait in vain

    with ScriptedSmtp({"dot": dot}) as server:
        carrier = wide(server, letter, width)
        server.fence_open.set()
        outcomes = carrier.send_group(letters_to(letter)[:width], lambda places: places, meanwhile=done.set)
        assert [each.kind for each in outcomes] == ["sent"] * width
        carrier.close()
        assert answered == [True] * width


@pytest.mark.parametrize("ehlo", [PIPELINING, GOOD["EHLO"]])
def test_all_stand_before_the_fence_when_it_is_asked_and_leave_together(letter, ehlo):
    arrived = threading.Semaphore(0)

    def told(recipient):
        if not recipient.startswith("other"):
            arrived.release()

    # No dot is answered before all have come: who waited for one answer after the other would wait in vain.
    meeting = threading.Barrier(4)

    def dot(recipient):
        if not recipient.startswith("other"):
            meeting.wait(5)

    with ScriptedSmtp({"EHLO": ehlo, "DATA": told, "dot": dot}) as server:
        carrier = wide(server, letter)
        assert isinstance(carrier, Grouping)
        asked = []

        def handoff(places):
            asked.append(list(places))
            assert all(arrived.acquire(timeout=5) for _ in places)
            assert server.dots == []
            server.fence_open.set()
            return places

        assert [each.kind for each in carrier.send_group(letters_to(letter), handoff)] == ["sent"] * 4
        carrier.close()
        assert asked == [[0, 1, 2, 3]]
        assert not server.dot_before_fence
        assert server.connections == 4
        assert len(server.accepted) == 4


@pytest.mark.parametrize("ehlo", [PIPELINING, GOOD["EHLO"]])
@pytest.mark.parametrize(
    ("phase", "reply", "expected"),
    [(phase, *row[:2]) for row in REPLIES_BEFORE[::3] for phase in row[2] if phase in {"RCPT", "DATA"}],
)
def test_what_one_is_refused_before_the_fence_is_its_own_affair(letter, ehlo, phase, reply, expected):
    with ScriptedSmtp({"EHLO": ehlo, phase: only("wei", reply)}) as server:
        carrier = wide(server, letter, 2, deadlines={**QUICK, "DATA": 0.5})
        asked = []

        def handoff(places):
            asked.extend(places)
            server.fence_open.set()
            return places

        li, wei = carrier.send_group(letters_to(letter)[:2], handoff)
        carrier.close()
        assert (verdict(li), verdict(wei)) == (SENT, expected)
        assert asked == [0]
        assert len(server.dots) == 1


@pytest.mark.parametrize(("reply", "expected"), REPLIES_AFTER[::2])
def test_what_one_is_told_after_the_dot_is_its_own_affair(letter, reply, expected):
    with ScriptedSmtp({"EHLO": PIPELINING, "dot": only("wei", reply)}) as server:
        carrier = wide(server, letter, 2)
        assert [verdict(each) for each in carrier.send_group(letters_to(letter)[:2], lambda p: p)] == [SENT, expected]
        assert [each.kind for each in carrier.send_group(letters_to(letter)[2:], lambda p: p)] == ["sent"] * 2
        carrier.close()


def test_those_that_the_fence_keeps_back_are_not_ended(letter):
    with ScriptedSmtp({"EHLO": PIPELINING}) as server:
        carrier = wide(server, letter)
        outcomes = carrier.send_group(letters_to(letter), lambda _: {0, 3})
        assert [each.kind for each in outcomes] == ["sent", "not_now", "not_now", "sent"]
        assert outcomes[1] == outcomes[2] == FENCED
        carrier.close()
    assert len(server.dots) == 2


def test_a_fence_that_breaks_leaves_nothing_accepted_and_raises(letter):
    def handoff(_):
        raise ConnectionError("the database is gone")

    with ScriptedSmtp({"EHLO": PIPELINING}) as server:
        carrier = wide(server, letter)
        with pytest.raises(ConnectionError, match="the database is gone"):
            carrier.send_group(letters_to(letter), handoff)
        assert carrier.send_group(letters_to(letter)[:1], lambda p: p)[0].kind == "sent"
        carrier.close()
    assert len(server.dots) == 1


def test_the_fence_is_not_asked_where_nothing_stands_before_it(letter):
    with ScriptedSmtp({"RCPT": b"550 5.1.1 no\r\n"}) as server:
        carrier = connector(server)

        def handoff(_):
            raise AssertionError("asked")

        assert carrier.send_group(letters_to(letter)[:1], handoff)[0].endpoint == "hard"
        carrier.close()


@pytest.mark.parametrize("fault", [STALL, DRIP])
def test_one_that_is_silent_before_the_fence_keeps_the_others_only_for_a_while(letter, fault):
    with ScriptedSmtp({"EHLO": PIPELINING, "RCPT": only("wei", fault)}) as server:
        carrier = wide(server, letter, 2, patience=0.1)
        outcomes = carrier.send_group(letters_to(letter)[:2], lambda p: p)
        carrier.close()
        assert [each.kind for each in outcomes] == ["sent", "not_now"]
        assert outcomes[1] == BEHIND
        assert carrier._pipelining


@pytest.mark.parametrize("script", [{"RCPT": only("wei", b"550 5.1.1 no\r\n")}, {"DATA": only("wei", CLOSE)}])
def test_the_others_are_not_hurried_by_one_that_has_failed(letter, script):
    with ScriptedSmtp({"EHLO": GOOD["EHLO"], **script}) as server:
        carrier = wide(server, letter, 2)
        carrier._patience = 0  # for those that wait before the fence, and nobody does
        outcomes = carrier.send_group(letters_to(letter)[:2], lambda p: p)
        carrier.close()
        assert [each.kind == "sent" for each in outcomes] == [True, False]


def test_one_that_is_silent_after_the_dot_is_unknown_and_the_answers_of_the_others_are_read(letter):
    with ScriptedSmtp({"EHLO": PIPELINING, "dot": only("li", STALL)}) as server:
        carrier = wide(server, letter, deadlines={**QUICK, "dot": 0.2})
        outcomes = carrier.send_group(letters_to(letter), lambda p: p)
        carrier.close()
        assert [each.kind for each in outcomes] == ["unknown", "sent", "sent", "sent"]


@pytest.mark.parametrize("fault", [DEAF, CLOSE, RESET])
def test_a_body_that_one_server_does_not_take_stops_no_other(letter, fault):
    long = dataclasses.replace(letter, body=b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 200_000)
    with ScriptedSmtp({"EHLO": PIPELINING}) as server:
        carrier = wide(server, letter, 2, patience=0.3)
        server.script["body"] = lambda told: fault if told.startswith("wei") else b""
        outcomes = carrier.send_group(letters_to(long)[:2], lambda p: p)
        carrier.close()
        assert [each.kind for each in outcomes] == ["sent", "not_now"]
        assert outcomes[1].code == (BEHIND.code if fault == DEAF else "dropped at body")
        assert len(server.accepted) == 1


@pytest.mark.parametrize("greeting", [b"421 4.7.0 too many connections\r\n", CLOSE])
def test_a_server_that_lets_us_have_fewer_connections_costs_no_message_anything(letter, greeting):
    with ScriptedSmtp({"greeting": [GOOD["greeting"], GOOD["greeting"], *[greeting] * 9]}) as server:
        server.fence_open.set()
        carrier = connector(server, connections=8)
        for _ in range(5):
            group = letters_to(letter)[: carrier.most]
            assert all(each.kind == "sent" for each in carrier.send_group(group, lambda p: p))
        assert carrier.most == 2
        assert server.connections == 3
        carrier.close()


def test_more_connections_are_opened_before_a_group_and_never_between_its_dots_and_its_answers(letter):
    def handoff(places):
        opened.append(server.connections)
        return places

    with ScriptedSmtp() as server:
        server.fence_open.set()
        carrier, opened = connector(server, connections=4), []
        for each in letters_to(letter)[:2]:
            assert carrier.send_group([each], handoff)[0].kind == "sent"
            opened.append(server.connections)
        assert (opened, carrier.most) == ([1, 1, 2, 2], 2)
        carrier.close()


def test_a_machine_that_lets_us_have_no_more_connections_goes_on_with_what_it_has(letter, monkeypatch):
    def full(*_):
        raise OSError(errno.EMFILE, "too many open files")

    with ScriptedSmtp() as server:
        server.fence_open.set()
        carrier = connector(server, connections=4)
        assert carrier.send_group(letters_to(letter)[:1], lambda p: p)[0].kind == "sent"
        monkeypatch.setattr("connectors.smtp.Session.open", full)
        assert carrier.send_group(letters_to(letter)[1:2], lambda p: p)[0].kind == "sent"
        assert carrier.most == 1
        carrier.close()


def test_what_was_told_ahead_on_several_connections_goes_out_once_each(letter):
    with ScriptedSmtp({"EHLO": PIPELINING}) as server:
        carrier = wide(server, letter)
        letters = letters_to(letter, [f"guest{number}" for number in range(18)])
        server.fence_open.set()
        for start in range(0, 18, 4):
            following = letters[start + 4 : start + 8]
            outcomes = carrier.send_group(letters[start : start + 4], lambda p: p, following)
            assert [each.kind for each in outcomes] == ["sent"] * len(outcomes)
        carrier.close()
        told = [each for each in server.commands if each.startswith("RCPT TO:<guest")]
        assert sorted(told) == sorted(f"RCPT TO:<{each.recipient}>" for each in letters)
        assert len(server.accepted) == 18
        assert server.connections == 4


def test_where_no_connection_can_be_had_all_of_a_group_wait(letter):
    with ScriptedSmtp() as server:
        carrier = wide(server, letter, idle=30)
        carrier.close()
        server.script["greeting"] = CLOSE
        outcomes = carrier.send_group(letters_to(letter), lambda p: p)
        assert {(each.kind, each.code) for each in outcomes} == {("not_now", "dropped at greeting")}
        assert carrier.most == 1
