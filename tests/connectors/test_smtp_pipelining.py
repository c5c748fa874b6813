"""A server that offers PIPELINING: the envelope in one write, each rule of the table all the same, and what goes ahead."""

from __future__ import annotations

import dataclasses

import pytest
from scripted_smtp import (
    CLOSE,
    GOOD,
    HARD,
    NOT_NOW,
    PIPELINING,
    QUICK,
    RESET,
    TRIPPED,
    UNKNOWN,
    ScriptedSmtp,
    connector,
    send,
    verdict,
)
from test_smtp_replies import REPLIES_AFTER, REPLIES_BEFORE

from connectors.base import Outcome

ENVELOPE = ["MAIL", "RCPT", "DATA"]
NO_SUCH_USER = b"550 5.1.1 no such user\r\n"


def offering(**script):
    return ScriptedSmtp({"EHLO": PIPELINING, **script})


def another(letter, name):
    return dataclasses.replace(letter, key=name, recipient=f"{name}@guest.example")


def test_the_fence_stands_between_the_body_and_the_dot(letter):
    with offering() as server:

        def handoff():
            assert server.wait_for_body(b"last line").endswith(b"\r\n...two\r\nlast line")
            assert server.dots == []
            server.fence_open.set()
            return True

        carrier = connector(server)
        assert carrier.send(letter, handoff) == Outcome("sent", "250 2.0.0", provider_id="4F2A9C01B2")
        carrier.close()
        assert not server.dot_before_fence
        assert server.accepted == [letter.body.replace(b"\r\n.", b"\r\n..") + b".\r\n"]


def test_the_envelope_is_one_write(letter):
    with offering(MAIL=[b"", GOOD["MAIL"]], RCPT=[GOOD["MAIL"] + GOOD["RCPT"]]) as server:
        # It says nothing before it has heard RCPT: who waited for the answer to MAIL would wait in vain.
        assert send(server, letter)[0].kind == "sent"
        assert [each.split()[0] for each in server.commands] == ["ehlo", "MAIL", "RCPT", "DATA", "QUIT"]


@pytest.mark.parametrize(
    ("phase", "reply", "expected"),
    [(phase, *row[:2]) for row in REPLIES_BEFORE for phase in row[2] if phase in ENVELOPE],
)
def test_a_fault_in_the_envelope_is_judged_as_without_though_the_server_then_waits_for_a_message(
    letter, phase, reply, expected
):
    with offering(**{phase: reply}) as server:
        outcome, asked = send(server, letter, deadlines={**QUICK, "DATA": 0.3} if phase == "DATA" else QUICK)
        assert verdict(outcome) == expected
        assert asked == 0
        assert server.dots == []
        assert "@" not in outcome.code


@pytest.mark.parametrize("phase", ["MAIL", "RCPT"])
def test_a_refusal_in_the_envelope_leaves_the_connection_usable_where_data_is_refused_too(letter, phase):
    refused = {phase: [b"550 5.1.1 no\r\n"], "DATA": [b"554 5.5.1 no valid recipients\r\n"]}
    with offering(**refused) as server:
        server.fence_open.set()
        carrier = connector(server)
        assert [carrier.send(letter, lambda: True).kind for _ in range(2)] == ["no", "sent"]
        carrier.close()
        assert "RSET" in server.commands
        assert server.connections == 1


def test_a_server_that_waits_for_a_message_after_a_refusal_never_hears_a_dot(letter):
    with offering(RCPT=[NO_SUCH_USER]) as server:
        server.fence_open.set()
        carrier = connector(server)
        outcomes = [carrier.send(another(letter, name), lambda: True) for name in ("li", "wei")]
        carrier.close()
        assert [verdict(outcomes[0]), outcomes[1].kind] == [HARD, "sent"]
        assert server.connections == 2
        assert len(server.dots) == len(server.accepted) == 1


@pytest.mark.parametrize(
    "script",
    [
        {"RCPT": [b""]},  # the answer to RCPT is lost, and that to DATA is taken for it
        {"DATA": [b""]},
        {"RCPT": [b"250 2.1.5 ok\r\n250 2.1.5 ok\r\n"]},
        {"RCPT": [CLOSE]},
        {"DATA": [RESET]},
        {"DATA": [b"wibble\r\n"]},
    ],
)
def test_a_server_that_loses_its_place_is_asked_one_thing_at_a_time_from_then_on(letter, script):
    with offering(**script) as server:
        server.fence_open.set()
        carrier = connector(server, deadlines={**QUICK, "DATA": 0.3})
        assert verdict(carrier.send(letter, lambda: True)) == TRIPPED
        assert server.dots == []
        assert server.with_mail[-1].startswith(b"RCPT")
        assert carrier.send(letter, lambda: True).kind == "sent"
        assert server.with_mail[-1] == b""
        carrier.close()


def test_a_server_that_knows_no_order_gets_the_message_one_command_at_a_time(letter):
    with offering(DATA=[b"503 5.5.0 improper use of pipelining\r\n", GOOD["DATA"]]) as server:
        assert send(server, letter)[0].kind == "sent"
        assert server.connections == 2
        assert len(server.accepted) == 1


@pytest.mark.parametrize(("reply", "expected"), REPLIES_AFTER)
def test_a_reply_to_the_dot_is_judged_as_without(letter, reply, expected):
    with offering(dot=reply) as server:
        outcome, asked = send(server, letter)
        assert verdict(outcome) == expected
        assert asked == 1
        assert not server.dot_before_fence


def test_what_was_offered_before_tls_is_forgotten(letter, certificates):
    ehlo = [PIPELINING[:-2].replace(b"250 SMTPUTF8", b"250 STARTTLS") + b"\r\n", GOOD["EHLO"]]
    with ScriptedSmtp({"EHLO": ehlo}, context=certificates["good"]) as server:
        assert send(server, letter, tls="starttls", context=certificates["trusting"])[0].kind == "sent"
        assert server.with_mail == [b""]


# ---------------------------------------------------------------------------------------------------------------------
# What goes ahead: the next message's envelope, in one write with the dot.


def in_turn(carrier, server, letters):
    """Send them one after the other, each time telling which is next."""
    server.fence_open.set()
    return [
        carrier.send_group([each], lambda places: places, following)[0]
        for each, following in zip(letters, [*([one] for one in letters[1:]), []], strict=True)
    ]


def test_the_next_envelope_travels_with_the_dot(letter):
    letters = [another(letter, name) for name in ("li", "wei", "ann")]
    # Nothing is said to a dot before the next MAIL is heard: who told of it later would wait in vain.
    with offering(dot=b"", MAIL=[GOOD["MAIL"], GOOD["dot"] + GOOD["MAIL"]]) as server:
        carrier = connector(server)
        server.fence_open.set()
        outcomes = carrier.send_group(letters[:1], lambda places: places, letters[1:])
        assert outcomes == [Outcome("sent", "250 2.0.0", provider_id="4F2A9C01B2")]
        carrier.close()
    with offering() as server:
        carrier = connector(server)
        assert [each.kind for each in in_turn(carrier, server, letters)] == ["sent"] * 3
        carrier.close()
        assert len(server.accepted) == 3
        assert server.connections == 1
        assert [each for each in server.commands if each.startswith("RCPT")] == [
            f"RCPT TO:<{name}@guest.example>" for name in ("li", "wei", "ann")
        ]


@pytest.mark.parametrize("other", ["same", "nobody"])
def test_a_message_that_was_told_of_and_does_not_come_is_never_ended(letter, other):
    one, two, three = (another(letter, name) for name in ("li", "wei", "ann"))
    with offering() as server:
        server.fence_open.set()
        carrier = connector(server)
        assert carrier.send_group([one], lambda places: places, [two])[0].kind == "sent"
        if other == "same":  # another object
            assert carrier.send_group([three], lambda places: places)[0].kind == "sent"
        carrier.close()
    assert len(server.dots) == (2 if other == "same" else 1)
    assert all(body.startswith(b"Subject") for body in server.dots)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [(b"450 4.7.1 later\r\n", NOT_NOW), (b"421 4.3.2 bye\r\n", NOT_NOW), (CLOSE, UNKNOWN), (b"wibble\r\n", UNKNOWN)],
)
def test_what_becomes_of_a_dot_does_no_harm_to_the_message_that_was_told_of_with_it(letter, reply, expected):
    with offering(dot=[reply]) as server:
        carrier = connector(server)
        outcomes = in_turn(carrier, server, [another(letter, name) for name in ("li", "wei")])
        carrier.close()
        assert verdict(outcomes[0]) == expected
        assert outcomes[1].kind == "sent"
        assert len(server.accepted) == 1


@pytest.mark.parametrize(
    ("script", "kinds", "connections"),
    [
        ({"RCPT": [GOOD["RCPT"], NO_SUCH_USER], "DATA": [GOOD["DATA"], b"554 none\r\n"]}, ["sent", "no", "sent"], 1),
        ({"RCPT": [GOOD["RCPT"], NO_SUCH_USER]}, ["sent", "no", "sent"], 2),
        ({"MAIL": [GOOD["MAIL"], b"421 4.4.2 enough\r\n"]}, ["sent", "sent", "sent"], 2),
        ({"MAIL": [GOOD["MAIL"], CLOSE]}, ["sent", "sent", "sent"], 2),
        ({"DATA": [GOOD["DATA"], b"451 4.3.0 later\r\n"]}, ["sent", "not_now", "sent"], 1),
    ],
)
def test_a_refusal_of_what_was_told_ahead_is_that_messages_alone(letter, script, kinds, connections):
    with offering(**script) as server:
        carrier = connector(server)
        outcomes = in_turn(carrier, server, [another(letter, name) for name in ("li", "wei", "ann")])
        carrier.close()
        assert [each.kind for each in outcomes] == kinds
        assert server.connections == connections
        assert len(server.dots) == kinds.count("sent")


def test_a_fence_that_says_no_to_what_was_told_ahead_leaves_nothing_accepted(letter):
    one, two = (another(letter, name) for name in ("li", "wei"))
    with offering() as server:
        server.fence_open.set()
        carrier = connector(server)
        assert carrier.send_group([one], lambda places: places, [two])[0].kind == "sent"
        assert carrier.send_group([two], lambda _: ())[0] == Outcome("not_now", "fence", counts_attempt=False)
        carrier.close()
        assert len(server.dots) == 1


def test_nothing_goes_ahead_on_a_connection_that_has_carried_enough_or_for_a_letter_that_is_unfit(letter):
    letters = [another(letter, name) for name in ("li", "wei", "ann")]
    with offering() as server:
        carrier = connector(server, per_connection=1)
        assert [each.kind for each in in_turn(carrier, server, letters)] == ["sent"] * 3
        carrier.close()
        assert server.connections == 3
    with ScriptedSmtp({"EHLO": b"250-localhost\r\n250 PIPELINING\r\n"}) as server:
        carrier = connector(server)
        letters[1] = dataclasses.replace(letter, body="你好\r\n".encode())
        letters[2] = dataclasses.replace(letter, recipient="nobody")
        assert [each.kind for each in in_turn(carrier, server, letters)] == ["sent", "no", "no"]
        carrier.close()
        assert len(server.dots) == 1
