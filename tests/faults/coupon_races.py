"""One code at a thousand tills at once, and a source of chance that draws the same codes again and again."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

from dispatch.world import NOW, Cafe, Clock, Sink, a_desk, a_home
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from engine.database.engines import open_db
from engine.database.tables import coupons
from engine.dispatch import inside
from engine.dispatch.claims import claim_steps
from engine.dispatch.links import message_key
from engine.dispatch.stages import send_due
from engine.intake.redeem import redeem
from engine.language import codes

from .places import Place, place
from .tally import Counts, Scale, Tally, reconcile

#: Connections at once; PostgreSQL's default takes a hundred.
TILLS = 90
PROCESSES = 8


def a_coupon(cafe: Cafe) -> str:
    """Issue a coupon; give its code."""
    guest = cafe.guest()
    match = cafe.match(guest)
    dispatch = cafe.coupon(match, guest, terms={"item": "cake", "valid": "14 days"})
    cafe.dispatch(match, guest, step=2)
    with cafe.db.begin() as conn:
        held = claim_steps(conn, now=NOW, holder="here:1:a", limit=10)
        inside.do_all(conn, held, cafe.policy, NOW)
    return str(cafe.coupon_of(dispatch).code)


def at_the_tills(url: str, code: str, tries: int, most: int = TILLS) -> Counter[str]:
    """Redeem the code ``tries`` times at once, each till with a connection of its own; count what they heard."""
    heard: list[str] = []
    gate = threading.Barrier(min(tries, most))
    share = [len(range(number, tries, gate.parties)) for number in range(gate.parties)]

    def at_one(times: int) -> None:
        db = open_db(url)
        try:
            with db.connect():
                gate.wait()
            for _ in range(times):
                with db.begin() as conn:
                    yes = redeem(conn, code=code, order_id=None, at=NOW, offers={})
                heard.append("yes" if yes else "no")
        except Exception as error:  # noqa: BLE001 (counted: no till may hear anything but yes or no)
            gate.abort()  # nobody waits for a till that is not there
            heard.append(type(error).__name__)
        finally:
            db.dispose()

    tills = [threading.Thread(target=at_one, args=(each,)) for each in share]
    for each in tills:
        each.start()
    for each in tills:
        each.join()
    return Counter(heard)


def _judged(where: Place, heard: Counter[str], tries: int) -> Counts:
    with where.db.begin() as conn:
        redeemed = conn.scalars(select(coupons.c.id).where(coupons.c.redeemed_at.is_not(None))).all()
    wrong = () if heard == Counter(yes=1, no=tries - 1) and len(redeemed) == 1 else (f"the tills heard {dict(heard)}",)
    return Counts(twice=max(heard["yes"] - 1, 0), lost=int(not heard["yes"]), wrong=wrong)


def _by_threads(scale: Scale) -> Tally:
    tries = scale.pick(200, 1_000)
    with place("postgres") as where:
        heard = at_the_tills(where.url, a_coupon(Cafe(where.db)), tries)
        return Tally.of("redeem", tries, _judged(where, heard, tries), note=f"{dict(heard)}", allowed=0)


def _by_processes(kind: str, sample: int, scale: Scale) -> Tally:
    """The same by tills that share no interpreter."""
    tries, number = scale.pick(sample, 1_000), PROCESSES if scale.everything else 2
    tries -= tries % number
    with place(kind) as where:
        code = a_coupon(Cafe(where.db))
        command = [
            sys.executable,
            "-m",
            "tests.faults.coupon_races",
            where.url,
            code,
            str(tries // number),
            str(TILLS // number),
        ]
        tills = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
            for _ in range(number)
        ]
        heard = Counter[str]()
        for each in tills:
            for line in each.communicate()[0].splitlines():
                word, count = line.split()
                heard[word] += int(count)
        return Tally.of("redeem", tries, _judged(where, heard, tries), note=f"{dict(heard)}", allowed=0)


class FewCodes:
    """Draws each code several times over before the next: every draw but the first is somebody's already."""

    def __init__(self, times: int, seed: int) -> None:
        self.drawn = Counter[str]()
        self._times, self._chance, self._lock, self._number = times, random.Random(seed), threading.Lock(), 0
        self._code = ""

    def __call__(self) -> str:
        with self._lock:
            if self._number % self._times == 0:
                body = "".join(self._chance.choice(codes.ALPHABET) for _ in range(codes.LENGTH))
                self._code = body + codes.check_character(body)
            self._number += 1
            self.drawn[self._code] += 1
            return self._code


def _collisions(kind: str, scale: Scale) -> Tally:
    """Several workers issue coupons from codes that are drawn four times each; each guest gets one of their own."""
    tries, workers = scale.pick(40, 2_000), 4
    with place(kind) as where:
        cafe, home = Cafe(where.db), a_home(where.root)
        rule, steps, keys = cafe.rule(), [], {}
        for _ in range(tries):
            guest = cafe.guest(sms_id=None)
            match = cafe.match(guest, rule=rule)
            steps.append(cafe.coupon(match, guest))
            message = cafe.dispatch(match, guest, step=2)
            keys[message_key(home.key, message)] = message
        draw, sink, stop = FewCodes(4, scale.seed), Sink(), threading.Barrier(workers)
        ended: list[BaseException] = []

        def work() -> None:
            stop.wait()
            for _ in range(20):  # what fought is tried again, as the next run does
                try:
                    send_due(a_desk(cafe, home, Clock(), email=sink))
                except OperationalError:
                    continue
                except BaseException as error:  # noqa: BLE001 (told by the row)
                    ended.append(error)
                return

        with mock.patch.object(inside, "do_all", partial(inside.do_all, draw=draw)):
            threads = [threading.Thread(target=work) for _ in range(workers)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
        with where.db.begin() as conn:
            codes_of = dict(conn.execute(select(coupons.c.dispatch_id, coupons.c.code)).all())
        shown = [message.body for message in sink.accepted]
        counts = _issued(steps, codes_of, shown, ended)
        again = sum(count - 1 for count in draw.drawn.values())
        counts += reconcile(where.db, Counter(each.key for each in sink.accepted), keys, now=NOW)
        return Tally.of("collisions", tries, counts, note=f"{again} codes drawn again", allowed=0)


def _issued(steps: list[int], codes_of: dict[int, str], shown: list[bytes], ended: list[BaseException]) -> Counts:
    """Each coupon has a code, no two the same, and each message shows its own."""
    drawn = [codes_of[each] for each in steps if codes_of[each] is not None]
    wrong = [repr(each) for each in ended]
    if sorted(drawn) != sorted(code for code in drawn if any(codes.shown(code).encode() in body for body in shown)):
        wrong.append("a code that was drawn stands in no message")
    return Counts(twice=len(drawn) - len(set(drawn)), lost=len(steps) - len(drawn), wrong=tuple(wrong))


FAULTS: dict[str, Callable[[Scale], Tally]] = {
    "one code at 1,000 tills at once, postgres": _by_threads,
    "one code at many processes' tills, postgres": partial(_by_processes, "postgres", 40),
    "one code at many processes' tills, sqlite": partial(_by_processes, "sqlite", 20),
    "codes drawn again and again, postgres": partial(_collisions, "postgres"),
    "codes drawn again and again, sqlite": partial(_collisions, "sqlite"),
}

if __name__ == "__main__":
    for word, count in at_the_tills(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])).items():
        sys.stdout.write(f"{word} {count}\n")
