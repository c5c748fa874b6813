"""Thirty and more mistakes that would send twice, lose or leak, each planted in one place of the program."""

from __future__ import annotations

from tests.seeded.bug import Bug
from tests.seeded.restored import RESTORED
from tests.seeded.returned import RETURNED

__all__ = ["BUGS", "Bug"]

BUGS: tuple[Bug, ...] = (
    Bug(
        "the fence is asked after the dot",
        "connectors/smtp.py",
        """        allowed = handoff(ready)
""",
        """        allowed = ready
        next(tries[ready[0]].dot())
        handoff(ready)
""",
        ("tests/connectors/test_smtp.py",),
    ),
    Bug(
        "a late holder's move changes what another one holds",
        "engine/dispatch/claims.py",
        "return and_(self.itself(), dispatches.c.lease_token == self.token)",
        "return self.itself()",
        ("tests/dispatch/test_outbox.py", "tests/dispatch/test_stages.py"),
    ),
    Bug(
        "a move does not look whether the state is still the one it leaves",
        "engine/dispatch/states.py",
        "        .where(dispatches.c.state == before, *where)\n        .values(changes)",
        "        .where(*where)\n        .values(changes)",
        ("tests/dispatch/test_outbox.py", "tests/dispatch/test_claims.py"),
    ),
    Bug(
        "a claim does not renew the lease's token",
        "engine/dispatch/claims.py",
        '"lease_token": dispatches.c.lease_token + 1,',
        '"lease_token": dispatches.c.lease_token,',
        ("tests/dispatch/test_outbox.py", "tests/dispatch/test_claims.py"),
    ),
    Bug(
        "what was abandoned in the hand-over is sent again",
        "engine/dispatch/claims.py",
        'uncertain = move(conn, "handoff", "uncertain", abandoned, reason="abandoned", **common)',
        'uncertain = move(conn, "handoff", "pending", abandoned, reason="abandoned", **{**common, "who": "holder"})',
        ("tests/dispatch/test_claims.py", "tests/dispatch/test_killed.py"),
    ),
    Bug(
        "SQLite does not wait for the disk",
        "engine/database/engines.py",
        'raw.execute("PRAGMA synchronous = FULL")',
        'raw.execute("PRAGMA synchronous = NORMAL")',
        ("tests/database/test_engines.py",),
    ),
    Bug(
        "an SMTP line that breaks after the dot is tried again",
        "connectors/smtp_replies.py",
        'return Outcome("unknown" if phase == "dot" else "not_now", f"{what} at {phase}", channel="failure")',
        'return Outcome("not_now", f"{what} at {phase}", channel="failure")',
        ("tests/connectors/test_smtp.py", "tests/connectors/test_smtp_replies.py"),
    ),
    Bug(
        "an SMTP 5xx after the dot is tried again",
        "connectors/smtp_replies.py",
        '    Row("no", "no", "5.."),\n',
        '    Row("no", "not_now", "5.."),\n',
        ("tests/connectors/test_smtp_replies.py",),
    ),
    Bug(
        "a policy refusal suppresses the guest's address",
        "connectors/smtp_replies.py",
        """Row("policy", "no", "5..", r"5\\.7\\.\\d+", channel="breaker")""",
        """Row("policy", "no", "5..", r"5\\.7\\.\\d+", endpoint="hard")""",
        ("tests/connectors/test_smtp_replies.py",),
    ),
    Bug(
        "a server without STARTTLS gets the mail in the clear",
        "connectors/smtp_session.py",
        '            raise UnsafeError("no STARTTLS")\n',
        "            return\n",
        ("tests/connectors/test_smtp_session.py", "tests/connectors/test_smtp.py"),
    ),
    Bug(
        "Twilio's 5xx is tried again",
        "connectors/sms_twilio.py",
        'Row("trouble", "...", "unknown", channel="failure")',
        'Row("trouble", "...", "not_now", channel="failure")',
        ("tests/connectors/test_sms_twilio.py",),
    ),
    Bug(
        "a reply of Twilio without a sid counts as sent",
        "connectors/sms_twilio.py",
        "if not isinstance(sid, str) or not SID.fullmatch(sid):",
        "if sid is None:",
        ("tests/connectors/test_sms_twilio.py",),
    ),
    Bug(
        "the fence is asked when the request is under way",
        "connectors/twilio_http.py",
        """            if not self.handoff():
                raise FenceClosedError
            line.deadline = Deadline(self._reply_seconds)
            return self._exchange(connection, method, path, body, sent_headers)
""",
        """            line.deadline = Deadline(self._reply_seconds)
            reply = self._exchange(connection, method, path, body, sent_headers)
            if not self.handoff():
                raise FenceClosedError
            return reply
""",
        ("tests/connectors/test_sms_twilio.py",),
    ),
    Bug(
        "the fence asks nothing again",
        "engine/dispatch/fence.py",
        "    verdicts = [(each, decide(conn, each, policy, at, segments=segments or 1)) for each in together]\n",
        '    verdicts = [(each, Verdict("handoff")) for each in together]\n',
        ("tests/dispatch/test_fence.py",),
    ),
    Bug(
        "the fence does not lock the address",
        "engine/dispatch/fence.py",
        "    lock_endpoints(conn, sorted({each.endpoint_id for each in together if each.endpoint_id is not None}))\n",
        "",
        ("tests/dispatch/test_fence.py",),
    ),
    Bug(
        "the red button is not asked at the fence",
        "engine/dispatch/fence.py",
        "    if now.stopped:\n",
        "    if False:\n",
        ("tests/dispatch/test_fence.py",),
    ),
    Bug(
        "quiet hours are not asked at the fence",
        "engine/dispatch/fence.py",
        "    if due > at:\n",
        "    if False:\n",
        ("tests/dispatch/test_fence.py", "tests/dispatch/test_law.py"),
    ),
    Bug(
        "a message counts itself towards its own cap",
        "engine/dispatch/caps.py",
        '            dispatches.c.id != bindparam("other_than", type_=Id),\n',
        '            dispatches.c.id != -bindparam("other_than", type_=Id),\n',
        ("tests/dispatch/test_caps.py", "tests/dispatch/test_fence.py"),
    ),
    Bug(
        "what a clock that was ahead has left does not count for the week's cap",
        "engine/dispatch/caps.py",
        "for end in range(day, day + WEEK)",
        "for end in range(day, day + 1)",
        ("tests/dispatch/test_caps.py",),
    ),
    Bug(
        "a yes that a clock ahead has noted outlives a no",
        "engine/database/consent.py",
        "    return now if last is None else max(now, last)\n",
        "    return now\n",
        ("tests/console/test_people.py",),
    ),
    Bug(
        "an address that one program reads otherwise than another is written to",
        "engine/dispatch/mime.py",
        '_ADDRESS = re.compile(f"{_WORDS}@{_WORDS}")',
        '_ADDRESS = re.compile(f"[.]?{_WORDS}[.]?@{_WORDS}")',
        ("tests/dispatch/test_mime.py",),
    ),
    Bug(
        "what is uncertain does not count for caps and budgets",
        "engine/dispatch/tallies.py",
        'COUNTED = ("handoff", "sent", "uncertain")',
        'COUNTED = ("handoff", "sent")',
        ("tests/dispatch/test_caps.py", "tests/dispatch/test_budgets.py"),
    ),
    Bug(
        "a message goes out although it is too late for it",
        "engine/dispatch/claims.py",
        "        dispatches.c.expires_at > now,\n        dispatches.c.channel.in_(usable),\n",
        "        dispatches.c.channel.in_(usable),\n",
        ("tests/dispatch/test_outbox.py", "tests/dispatch/test_claims.py"),
    ),
    Bug(
        "attempts are not counted, and the tries never end",
        "engine/dispatch/outcomes.py",
        "    attempts = claim.attempts + int(tried)\n",
        "    attempts = claim.attempts\n",
        ("tests/dispatch/test_outcomes.py",),
    ),
    Bug(
        "the breaker never opens",
        "engine/dispatch/health.py",
        "        failures = row.failures + 1\n",
        "        failures = 1\n",
        ("tests/dispatch/test_outcomes.py", "tests/dispatch/test_stages.py"),
    ),
    Bug(
        "a message that kills its worker is tried for ever",
        "engine/dispatch/claims.py",
        "abandoned, dispatches.c.rescues >= RESCUES, reason",
        "abandoned, dispatches.c.rescues >= 10**6, reason",
        ("tests/dispatch/test_claims.py",),
    ),
    Bug(
        "the outcome of one is lost where two transactions stood in each other's way",
        "engine/dispatch/handing.py",
        "            if tries >= enough:\n",
        "            if tries >= 1:\n",
        ("tests/dispatch/test_stages.py",),
    ),
    Bug(
        "an erasure does not stop what is claimed",
        "engine/dispatch/erasure.py",
        "    for before in OPEN:\n        report.stopped",
        "    for before in OPEN[:2]:\n        report.stopped",
        ("tests/dispatch/test_erasure.py",),
    ),
    Bug(
        "a coupon is redeemed twice at once",
        "engine/intake/redeem.py",
        "            .where(coupons.c.id == coupon.id, live(at))\n",
        "            .where(coupons.c.id == coupon.id)\n",
        ("tests/intake/test_redeem.py",),
    ),
    Bug(
        "a link for ratings unsubscribes",
        "engine/dispatch/links.py",
        """b"regulars token 1\\0" + purpose.encode("ascii") + b"\\0" + body""",
        """b"regulars token 1\\0" + body""",
        ("tests/dispatch/test_links.py",),
    ),
    Bug(
        "the Message-ID is another one at each attempt",
        "engine/dispatch/links.py",
        """    mac = hmac.digest(key, b"regulars message-id\\0" + str(dispatch_id).encode("ascii"), "sha256")\n""",
        """    mac = hmac.digest(key, __import__("os").urandom(8), "sha256")\n""",
        ("tests/dispatch/test_links.py", "tests/dispatch/test_killed.py"),
    ),
    Bug(
        "a bare line end goes out",
        "engine/dispatch/mime.py",
        '    if ends != b"\\r\\n" * (len(ends) // 2):\n',
        '    if ends.count(b"\\r") < ends.count(b"\\r\\n"):\n',
        ("tests/dispatch/test_mime.py",),
    ),
    Bug(
        "a line of the body that begins with a dot ends the message",
        "connectors/smtp_letter.py",
        """    return dotted.removesuffix(b"\\r\\n")\n""",
        """    return body.removesuffix(b"\\r\\n")\n""",
        ("tests/connectors/test_smtp.py",),
    ),
    Bug(
        "the journal's record is not waited for until the disk has it",
        "engine/dispatch/journal.py",
        "            sync(handle)\n        except OSError as error:",
        "            pass\n        except OSError as error:",
        ("tests/dispatch/test_journal.py",),
    ),
    Bug(
        "a message leaves although the journal could not be written",
        "engine/dispatch/handing.py",
        "self.passed = not self.against and self._is_written(fingerprint)",
        "self.passed = not self.against and (self._is_written(fingerprint) or True)",
        ("tests/dispatch/test_journal.py",),
    ),
    Bug(
        "what the journal could not take stays in handoff",
        "engine/dispatch/handing.py",
        "                    take_back(conn, self.together, self.desk.now())",
        "                    pass",
        ("tests/dispatch/test_journal.py",),
    ),
    Bug(
        "a record of the journal continues the torn one before it",
        "engine/dispatch/journal.py",
        """text = "".join(f"\\n{_line(each)}" for each in records)""",
        """text = "".join(f"{_line(each)}\\n" for each in records)""",
        ("tests/dispatch/test_journal.py",),
    ),
    Bug(
        "a copied database is not recognised",
        "engine/database/places.py",
        'return None if file is None else f"{machine}:{_number_of(file)}"',
        'return None if file is None else f"{machine}:"',
        ("tests/dispatch/test_instance.py",),
    ),
    Bug(
        "a database older than its journal is not recognised",
        "engine/dispatch/instance.py",
        "    if {each.key for each in seen.latest} - known_keys(conn, seen.latest):\n        return True\n",
        "",
        ("tests/dispatch/test_instance.py", "tests/dispatch/test_reconcile.py"),
    ),
    Bug(
        "after a restore another machine's journal is not missed",
        "engine/dispatch/reconcile.py",
        "covered = not copied and not absent and not hold and _covers(",
        "covered = not copied and not hold and _covers(",
        ("tests/dispatch/test_reconcile.py",),
    ),
    Bug(
        "what went out after a backup and is found again goes out again",
        "engine/evaluation/lost.py",
        "    for which in (forgotten, d.id.in_(named)):",
        "    for which in ():",
        ("tests/dispatch/test_reconcile.py",),
    ),
    Bug(
        "approving a rule lets go what went out before a restore",
        "engine/dispatch/approve.py",
        'return and_(dispatches.c.state == "held", dispatches.c.reason.is_distinct_from(RESTORED))',
        'return and_(dispatches.c.state == "held")',
        ("tests/dispatch/test_reconcile.py",),
    ),
    Bug(
        "a clock that jumped ahead is believed",
        "engine/evaluation/runner.py",
        '        if self.jumped is not None:\n            return "clock"\n',
        "",
        ("tests/dispatch/test_clock.py",),
    ),
    Bug(
        "a callback of Twilio is believed without its signature",
        "engine/dispatch/signed.py",
        "    return {name: values[0] for name, values in form.items()} if genuine else None",
        "    return {name: values[0] for name, values in form.items()}",
        ("tests/dispatch/test_receipts.py",),
    ),
    Bug(
        "a callback is believed for another message's sid",
        "engine/dispatch/receipts.py",
        """        return None if row.provider_id == told.sid else "sid\"""",
        """        return None""",
        ("tests/dispatch/test_receipts.py",),
    ),
    Bug(
        "a callback of Twilio recovers no lost answer",
        "engine/dispatch/receipts.py",
        """    states: tuple[State, ...] = ("handoff", "uncertain")""",
        """    states: tuple[State, ...] = ()""",
        ("tests/dispatch/test_receipts.py",),
    ),
    Bug(
        "the id of another message settles an uncertain one",
        "engine/dispatch/lookup.py",
        "    left = set(found) - known",
        "    left = set(found)",
        ("tests/dispatch/test_lookup.py",),
    ),
    Bug(
        "START gives what was never agreed to",
        "engine/dispatch/inbound.py",
        """        general = _in_force(before, None) == "yes\"""",
        """        general = True""",
        ("tests/dispatch/test_inbound.py",),
    ),
    Bug(
        "the red button does not wait for who stands in the gate",
        "engine/dispatch/health.py",
        "    close_gate(conn)\n",
        "",
        ("tests/dispatch/test_workers.py",),
    ),
    Bug(
        "a day that has begun elsewhere is no day of the shared inbox",
        "engine/dispatch/caps.py",
        "        days[min(day, today)] += number",
        "        days[day] += number",
        ("tests/dispatch/test_caps.py",),
    ),
    Bug(
        "what is handed over twice is a history",
        "engine/dispatch/history.py",
        "        if row.token != wanted:",
        "        if row.token is None:",
        ("tests/dispatch/test_history.py",),
    ),
    *RESTORED,
    *RETURNED,
)
