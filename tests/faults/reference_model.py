"""What the engine should do with messages, said again in few words: no database, no transaction, one clock."""

from datetime import date, time, timedelta
from itertools import count
from types import SimpleNamespace

from dispatch.world import CHICAGO as ZONE

from engine.language.times import Hours, business_day, first_instant, next_slot, start_of, wall

from .scripted import Killed, Turn

SMS_HOURS = {"weekdays": "10:00-18:00", "sat": "10:00-17:00", "sun": "12:00-17:00"}
PER_DAY, PER_WEEK, BUDGET = 1, 2, 3  # marketing a guest and an inbox; emails a day of the home
COUNTED, OPEN, FOUR = ("handoff", "sent", "uncertain"), ("held", "pending", "claimed"), time(4)
HOURS = {"email": Hours.parse("08:00-21:00"), "sms": Hours.parse(SMS_HOURS)}
LEASE, MINUTE, DAY = timedelta(minutes=15), timedelta(minutes=1), timedelta(days=1)
ROW = {"token": 0, "attempts": 0, "rescues": 0, "handed": None, "day": None, "lease": None, "holder": "", "id": 0}
CHANNEL = {"failures": 0, "refusals": 0, "refused": frozenset(), "open": None, "stopped": False}


class Model:
    def __init__(self, now, inboxes, do):
        self.now, self.inboxes, self.do = now, inboxes, do  # (guest, channel) -> endpoint; do: what happens elsewhere
        self.consent, self.suppressed, self.erased = dict.fromkeys(inboxes.values(), True), set(), set()
        self.active, self.events, self.rows, self.approved, self.matched = {}, {}, [], set(), set()
        self.stopped, self.ran, self.channels = False, None, {each: SimpleNamespace(**CHANNEL) for each in HOURS}

    def blocked(self, row):
        if row.endpoint in self.suppressed:
            return "suppressed"
        return None if row.purpose == "service" or self.consent.get(row.endpoint, True) else "no_consent"

    def evaluate(self, rule, files, purpose, wait):
        if self.ran and self.now < self.ran - MINUTE:
            return
        self.ran, self.active, users = self.now, dict.fromkeys(self.active, False) | files, {}
        later = first_instant(wall(self.now, ZONE) + wait * DAY, ZONE) - self.now
        for event, (guest, at) in sorted(self.events.items(), key=lambda each: (each[1][0], each[0])):
            fresh = at <= self.now < at + 3 * DAY and guest not in self.erased and (rule, event) not in self.matched
            steps = [(1, "coupon", 0 * DAY), (2, "email", 0 * DAY), (4, "sms", later)]
            for step, channel, waited in steps if fresh and self.active.get(rule) else []:
                self.matched.add((rule, event))
                row = SimpleNamespace(**ROW, key=(rule, event, step), guest=guest, channel=channel, purpose=purpose)
                row.endpoint, row.expires = self.inboxes.get((guest, channel)), at + 3 * DAY + waited
                row.due, row.reason = self.slot(row, self.now + waited), self.blocked(row)
                if row.endpoint and not row.reason and users.setdefault((channel, row.endpoint), guest) != guest:
                    row.reason = "duplicate_endpoint"
                held = ("pending", None) if rule in self.approved else ("held", "first_approval")
                open_ends = held if row.due < row.expires else ("expired", "too_late")
                row.state, row.reason = ("blocked", row.reason) if row.reason else open_ends
                if purpose == "marketing" or (step == 2 and row.state != "blocked"):
                    self.rows.append(row)

    def slot(self, row, at):
        return next_slot(at, ZONE, HOURS[row.channel]) if row.endpoint else at

    def decide(self, row):
        if self.stopped:
            return "pending", "stopped", row.due
        if why := "erased" if row.guest in self.erased else self.blocked(row):
            return "blocked", why
        if not self.active[row.key[0]] or self.now >= row.expires:
            return ("expired", "late") if self.active[row.key[0]] else ("cancelled", "rule_off")
        if (due := self.slot(row, self.now)) > self.now:
            return ("pending", "hours", due) if due < row.expires else ("expired", "late")
        why, today = None, business_day(self.now, ZONE, FOUR).toordinal()
        others = [each for each in self.rows if each.state in COUNTED and each.endpoint and each is not row]
        if row.endpoint and row.purpose == "marketing" and (day := self.free(row, today, others)) > today:
            why, due = "capped", day
        begin, end = self.begins(today), self.begins(today + 1)
        sent = sum(each.channel == "email" and begin <= each.handed < end for each in others)
        if not why and row.channel == "email" and sent >= BUDGET:
            why, due = "budget", today + 1
        if why:
            due = self.slot(row, self.begins(due))
            return ("pending", why, due) if due < row.expires else ("blocked", why)
        return "handoff" if row.endpoint else "sent", None

    def begins(self, day):
        return start_of(date.fromordinal(day), ZONE, FOUR)

    def free(self, row, day, others):
        per = [[e.day for e in others if e.day and getattr(e, of) == getattr(row, of)] for of in ("guest", "endpoint")]
        return next(each for each in count(day) if not any(self.full(days, each) for days in per))

    def full(self, days, day):
        weeks = [sum(0 <= end - each < 7 for each in days) for end in range(day, day + 7)]
        return days.count(day) >= PER_DAY or max(weeks) >= PER_WEEK

    def become(self, row, state, reason=None, due=None):
        row.state, row.reason, row.due, row.at = state, reason, due or row.due, self.now
        if state in ("handoff", "pending"):
            row.handed = self.now if state == "handoff" else None
            row.day = row.purpose == "marketing" and business_day(self.now, ZONE, FOUR).toordinal()

    def claimable(self, row):
        first = [each for each in self.rows if each.key[:2] == row.key[:2] and each.key[2] < row.key[2]]
        wait = any(each.state in OPEN or (each.endpoint and each.state == "handoff") for each in first)
        return row.state == "pending" and row.due <= self.now < row.expires and not (wait or self.shut(row))

    def shut(self, row):
        channel = self.channels.get(row.channel)
        return self.stopped or (channel and (channel.stopped or (channel.open and channel.open > self.now)))

    def send(self, holder, gone, turns, dies=""):
        for row in self.rows:
            freed = ("dead", "poison") if row.rescues >= 3 else ("pending", "abandoned")
            after = {"claimed": freed, "handoff": ("uncertain", "abandoned")}.get(row.state)
            if after and (row.lease <= self.now or row.holder in gone):
                self.become(row, *after)
            if row.state in ("held", "pending") and row.expires <= self.now:
                self.become(row, "expired", "late")
        while due := sorted(filter(self.claimable, self.rows), key=lambda row: (bool(row.endpoint), row.due, row.id)):
            batch = [row for row in due if bool(row.endpoint) == bool(due[0].endpoint)]
            if dies == ("claiming" if due[0].endpoint else "stepping"):
                raise Killed
            for row in batch:
                row.token, row.lease, row.holder = row.token + 1, self.now + LEASE, holder
                self.become(row, "claimed") if row.endpoint else self.become(row, *self.decide(row))
            if dies == "claimed" and due[0].endpoint:
                raise Killed
            for row, token in [(row, row.token) for row in batch if row.endpoint]:
                self.deliver(row, token, turns)

    def settle(self, row, token, verdict):
        if row.state == "claimed" and row.token == token:
            row.rescues = row.rescues if verdict[0] == "handoff" else 0
            self.become(row, *verdict)
            return verdict[0] == "handoff"
        return False

    def deliver(self, row, token, turns):
        if row.state != "claimed" or row.token != token:
            return None
        row.rescues, row.lease, verdict, attempts = row.rescues + 1, self.now + LEASE, self.decide(row), row.attempts
        if verdict[0] != "handoff" or self.shut(row):
            return self.settle(row, token, verdict if verdict[0] != "handoff" else ("pending", "channel", row.due))
        turn = turns.pop(0) if turns else Turn()
        if turn.dies == "prepared":
            raise Killed
        self.do(turn.before)
        if not turn.early:
            if not self.settle(row, token, ("handoff",) if not turn.asks else self.decide(row)):
                return None
            row.day = row.day if turn.asks else None
            if turn.dies:
                raise Killed
            self.do(turn.after)
        return self.record(row, token, turn, attempts)

    def record(self, row, token, turn, attempts):
        attempts += turn.counts and turn.channel != "slow" and (not turn.early or turn.channel == "ok")
        state, reason = ("dead", "attempts") if turn.ends[0] == "pending" and attempts >= 8 else turn.ends
        pause = turn.retry or min(MINUTE * 5 * 2 ** max(attempts - 1, 0), DAY / 6)
        retry = row.due if turn.channel == "stop" else self.now + pause
        late = row.state == "uncertain" and state == "sent"  # the yes came after somebody had given it up
        if row.token == token and (late or row.state == ("claimed" if turn.early else "handoff")):
            row.attempts, row.rescues = attempts, 0
            self.become(row, state, reason, retry if state == "pending" else None)
        full = [e for e in self.rows if (e.endpoint, e.reason) == (row.endpoint, "mailbox_full")]
        soft = turn.endpoint == "soft" and sum(each.at > self.now - 14 * DAY for each in full) >= 3
        if turn.endpoint in ("hard", "unusable", "opted_out") or soft:
            self.suppressed.add(row.endpoint)
        channel = self.channels[row.channel]
        if turn.channel == "stop":
            channel.stopped = True
        elif turn.channel == "slow":
            channel.open = max(self.now + turn.retry, channel.open or self.now)
        elif row.channel == "sms" and turn.kind == "no" and turn.endpoint == "ok":
            channel.refused, channel.refusals = (them := channel.refused | {row.guest}), len(them)
            channel.stopped = channel.stopped or channel.refusals >= 3
        elif turn.channel != "ok":
            channel.failures = max(channel.failures + 1, 5 if turn.channel == "breaker" else 0)
            rest = min(MINUTE * 5 * 2 ** max(channel.failures - 5, 0), 60 * MINUTE)
            channel.open = self.now + rest if channel.failures >= 5 else channel.open
        elif turn.kind in ("sent", "no") and (channel.failures or channel.refusals):
            self.channels[row.channel] = SimpleNamespace(**CHANNEL | {"stopped": channel.stopped})
