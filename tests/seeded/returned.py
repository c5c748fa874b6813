"""Mistakes in what is made of the mail that comes back, and in the way out by token."""

from __future__ import annotations

from tests.seeded.bug import Bug

RETURNED: tuple[Bug, ...] = (
    Bug(
        "any token of an address is believed",
        "engine/dispatch/links.py",
        "    return number if hmac.compare_digest(mail_token(key, purpose, number), text) else None\n",
        "    return number\n",
        ("tests/dispatch/test_links.py", "tests/dispatch/test_bounces.py"),
    ),
    Bug(
        "a report about another address suppresses the guest",
        "engine/dispatch/bounces.py",
        "if sent.endpoint_id is None or self._is_of(sent, each.addresses)]",
        "if sent.endpoint_id is None or each.addresses]",
        ("tests/dispatch/test_bounces.py",),
    ),
    Bug(
        "a report of a message that never left is believed",
        "engine/dispatch/bounces.py",
        "                .where(or_(d.handed_at.is_not(None), handed))\n",
        "",
        ("tests/dispatch/test_bounces.py",),
    ),
    Bug(
        "a letter is marked as read before what follows from it is stored",
        "engine/dispatch/bounces.py",
        "    for letter in mailbox.letters():\n        returned = read(letter.raw)\n",
        "    for letter in mailbox.letters():\n        mailbox.settle(letter, understood=True)\n"
        "        returned = read(letter.raw)\n",
        ("tests/dispatch/test_bounces.py",),
    ),
    Bug(
        "a letter that says more than the word is marked as read",
        "engine/dispatch/bounces.py",
        'understood=done.result != "letter" and not returned.says_more)',
        'understood=done.result != "letter")',
        ("tests/dispatch/test_bounces.py",),
    ),
    Bug(
        "what a server says of the sender is held against the guest",
        "connectors/smtp_replies.py",
        '    Row("sender refused", "no", "5..", None, _SENDER, _RECIPIENT_NAMED, channel="breaker"),\n',
        "",
        ("tests/connectors/test_smtp_replies.py", "tests/dispatch/test_bounces.py"),
    ),
    Bug(
        "the same report read twice counts twice",
        "engine/dispatch/bounces.py",
        'key = " ".join([str(sent.id), kind, code]).strip()',
        'key = " ".join([str(sent.id), kind, code, __import__("os").urandom(4).hex()]).strip()',
        ("tests/dispatch/test_bounces.py",),
    ),
    Bug(
        "an absence in a mail without a sender is taken for a bounce",
        "engine/dispatch/returned.py",
        "    if from_server and _from_daemon(mail) and not _AUTOMATIC.search(subject):\n",
        "    if from_server:\n",
        ("tests/dispatch/test_returned.py",),
    ),
    Bug(
        "three soft bounces in fifteen days are enough",
        "engine/dispatch/soft_bounces.py",
        "    if any(later - first < SOFT_SPAN for",
        "    if any(later - first < 2 * SOFT_SPAN for",
        ("tests/dispatch/test_bounces.py",),
    ),
    Bug(
        "looking at an unsubscribe link acts",
        "engine/dispatch/unsubscribing.py",
        "    return None if found is None else Subscription(found[1], _ended(conn, found[0]))\n",
        "    return None if found is None else Subscription(\n"
        '        found[1], end_marketing(conn, found[0], __import__("datetime").datetime.now(__import__("datetime").UTC), way="link")\n'
        "    )\n",
        ("tests/dispatch/test_unsubscribing.py",),
    ),
)
