"""The outbox of a rule by hand: the dispatches of all its steps in one statement, and its coupons in another."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from benchmarks.byhand import DISPATCH_COLUMNS, Moment, Written
from engine.database.tables import dispatches


def dispatches_sql(
    rule: Written, moment: Moment, rows: tuple[int, int, int], contents: Mapping[str, int], held: str | None
) -> str:
    """Give the statement that writes the rows of every step of every match of the run that is acted on.

    ``held``: why they wait for a person; None: they do not.
    """
    rule_row, _, run = rows
    month = "month" in dispatches.c
    columns = DISPATCH_COLUMNS + ", month" * month
    purpose = "marketing" if rule.topic else "service"
    common = f"{rule_row}, customer_id"
    end = f", {moment.now:%Y%m}" * month
    parts = []
    for channel, step in (("email", rule.email), ("sms", rule.sms)):
        if step:
            parts.append(
                f"SELECT id, {step[0]}, 0, {common}, '{channel}', '{purpose}', {channel}_id, {contents[step[1]]}, "
                f"{rule.priority}, {channel}_state, CASE {channel}_state WHEN 'blocked' THEN {channel}_block "
                f"WHEN 'expired' THEN 'too_late' ELSE 'first_approval' END, {channel}_due, {channel}_end, "
                f"CASE WHEN {channel}_state <> 'held' THEN {moment.at} END{end} FROM a"
            )
    if rule.alert:
        late = f"CASE WHEN {moment.at} >= closes THEN"
        parts.append(
            f"SELECT id, {rule.alert[0]}, 0, {common}, 'alert', 'service', CAST(NULL AS BIGINT), "
            f"{contents[rule.alert[1]]}, {rule.priority}, {late} 'expired' ELSE 'held' END, {late} 'too_late' ELSE "
            f"'first_approval' END, {moment.at}, closes, {late} {moment.at} END{end} FROM a"
        )
    if rule.coupon:
        parts.append(_coupon_part(rule, moment, common, end))
    made = f"WITH {_acted(rule, moment, rule_row, run)} INSERT INTO dispatches ({columns}) {' UNION ALL '.join(parts)}"
    if held is None:
        return made.replace("'held'", "'pending'").replace("'first_approval'", "NULL")
    return made.replace("'first_approval'", f"'{held}'")


def coupons_sql(rule: Written, rows: tuple[int, int, int], terms: str) -> str:
    """Give the statement that writes the coupons; it wants the offer's terms as its one parameter."""
    assert rule.coupon
    rule_row, _, run = rows
    return (
        f"INSERT INTO coupons (dispatch_id, customer_id, offer, terms) SELECT d.id, d.customer_id, '{rule.coupon[1]}', "
        f"{terms} FROM matches m JOIN dispatches d ON d.match_id = m.id AND d.step = {rule.coupon[0]} "
        f"WHERE m.run_id = {run} AND m.rule_id = {rule_row} AND d.state IN ('pending', 'held')"
    )


def _acted(rule: Written, moment: Moment, rule_row: int, run: int) -> str:
    """SQL: the matches of the run with when each message may go, and what its state is."""
    waits = {"email": timedelta(0), "sms": rule.sms_waits}
    asked = [channel for channel, step in (("email", rule.email), ("sms", rule.sms)) if step]
    due = {each: moment.first_open(each, waits[each], rule.between, rule.on) for each in asked}
    later = {each: moment.waited(waits[each]) for each in asked}
    cells = [
        f"({row}, {', '.join(str(numbers[row]) for each in asked for numbers in (due[each], later[each]))})"
        for row in moment.zones
    ]
    names = ", ".join(name for each in asked for name in (f"{each}_due", f"{each}_waited"))
    columns = "m.id, m.customer_id, m.email_id, m.sms_id, m.email_block, m.sms_block, m.closes"
    of_run = f"m.run_id = {run} AND m.rule_id = {rule_row} AND m.verdict = 'act'"
    if not asked:
        return f"a AS (SELECT {columns} FROM matches m WHERE {of_run})"
    states = ", ".join(
        f"z.{each}_due, m.closes + z.{each}_waited AS {each}_end, CASE WHEN m.{each}_block IS NOT NULL THEN 'blocked' "
        f"WHEN z.{each}_due >= m.closes + z.{each}_waited THEN 'expired' ELSE 'held' END AS {each}_state"
        for each in asked
    )
    return (
        f"z(zone_id, {names}) AS (VALUES {', '.join(cells)}), a AS MATERIALIZED (SELECT {columns}, {states} "
        f"FROM matches m JOIN customer_facts f ON f.customer_id = m.customer_id JOIN z ON z.zone_id = f.zone_id "
        f"WHERE {of_run})"
    )


def _coupon_part(rule: Written, moment: Moment, common: str, end: str) -> str:
    """SQL: the coupon goes with the first message that can, and ends with the last."""
    assert rule.coupon
    assert rule.email
    if rule.sms:
        goes = "email_state = 'held' OR sms_state = 'held'"
        due = "CASE WHEN email_state = 'held' THEN email_due WHEN sms_state = 'held' THEN sms_due ELSE email_due END"
        ends = "CASE WHEN sms_state = 'held' THEN sms_end ELSE email_end END"
    else:
        goes, due, ends = "email_state = 'held'", "email_due", "email_end"
    why = "CASE email_state WHEN 'blocked' THEN email_block ELSE 'too_late' END"
    bare = f"CASE WHEN {goes} THEN {due} ELSE {moment.at} END"
    return (
        f"SELECT id, {rule.coupon[0]}, 0, {common}, 'coupon', 'marketing', CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), "
        f"{rule.priority}, CASE WHEN {goes} THEN 'held' ELSE 'blocked' END, CASE WHEN {goes} THEN 'first_approval' "
        f"ELSE {why} END, {bare}, CASE WHEN {goes} THEN {ends} ELSE closes END, "
        f"CASE WHEN {goes} THEN NULL ELSE {moment.at} END{end} FROM a"
    )
