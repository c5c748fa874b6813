"""The outbox of a rule by hand: the dispatches of all its steps in one statement, and its coupons in another."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from benchmarks.byhand import DISPATCH_COLUMNS, Moment, Written, matches_sql
from engine.database.tables import dispatches


def statements(
    rule: Written, moment: Moment, rows: tuple[int, int, int], around: tuple[Mapping[str, int], str | None, str]
) -> list[str]:
    """Give the statements of a rule.

    ``around``: the templates' rows by name, why messages wait for a person (None: they do not), the coupon's terms.
    """
    contents, held, terms = around
    tables, matches = matches_sql(rule, moment, rows)
    if moment.sqlite:
        acted, written = dispatches_sql(rule, moment, rows, contents, held)
        found = [f"{tables} {matches}", f"WITH {acted} {written}"]
        return [*found, coupons_sql(rule, rows, terms)] if rule.coupon else found
    acted, written = dispatches_sql(rule, moment, rows, contents, held, source="made")
    last = "SELECT count(*) FROM queued"
    if rule.coupon:
        last = (
            f"INSERT INTO coupons (dispatch_id, customer_id, offer, terms) SELECT id, customer_id, '{rule.coupon[1]}', "
            f"{_quoted(terms)}::json FROM queued WHERE step = {rule.coupon[0]} AND state IN ('pending', 'held')"
        )
    queued = f"queued AS ({written} RETURNING id, customer_id, step, state)"
    return [f"{tables}, made AS ({matches} RETURNING *), {acted}, {queued} {last}"]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def dispatches_sql(
    rule: Written,
    moment: Moment,
    rows: tuple[int, int, int],
    contents: Mapping[str, int],
    held: str | None,
    *,
    source: str = "matches",
) -> tuple[str, str]:
    """Give the tables and the INSERT of the rows of every step of every match of the run that is acted on."""
    rule_row, _, run = rows
    month = "month" in dispatches.c
    columns = DISPATCH_COLUMNS + ", month" * month
    purpose = "marketing" if rule.topic else "service"
    common = f"{rule_row}, customer_id"
    end = f", {moment.now:%Y%m}" * month
    parts = []

    def body(template: str) -> int:
        """Give the template's row; there is none yet where the rule has matched nobody."""
        return contents.get(template, 0)

    for channel, step in (("email", rule.email), ("sms", rule.sms)):
        if step:
            parts.append(
                f"SELECT id, {step[0]}, 0, {common}, '{channel}', '{purpose}', {channel}_id, {body(step[1])}, "
                f"{rule.priority}, {channel}_state, CASE {channel}_state WHEN 'blocked' THEN {channel}_block "
                f"WHEN 'expired' THEN 'too_late' ELSE 'first_approval' END, {channel}_due, {channel}_end, "
                f"CASE WHEN {channel}_state <> 'held' THEN {moment.at} END{end} FROM a"
            )
    if rule.alert:
        late = f"CASE WHEN {moment.at} >= closes THEN"
        parts.append(
            f"SELECT id, {rule.alert[0]}, 0, {common}, 'alert', 'service', CAST(NULL AS BIGINT), "
            f"{body(rule.alert[1])}, {rule.priority}, {late} 'expired' ELSE 'held' END, {late} 'too_late' ELSE "
            f"'first_approval' END, {moment.at}, closes, {late} {moment.at} END{end} FROM a"
        )
    if rule.coupon:
        parts.append(_coupon_part(rule, moment, common, end))
    acted = _acted(
        rule, moment, f"m.run_id = {run} AND m.rule_id = {rule_row} AND" if source == "matches" else "", source
    )
    made = f"INSERT INTO dispatches ({columns}) {' UNION ALL '.join(parts)}"
    for waits, goes in (("'held'", "'pending'"), ("'first_approval'", "NULL")) if held is None else ():
        acted, made = acted.replace(waits, goes), made.replace(waits, goes)
    return acted, made.replace("'first_approval'", f"'{held}'")


def coupons_sql(rule: Written, rows: tuple[int, int, int], terms: str) -> str:
    """Give SQLite's statement that writes the coupons."""
    assert rule.coupon
    rule_row, _, run = rows
    return (
        f"INSERT INTO coupons (dispatch_id, customer_id, offer, terms) SELECT d.id, d.customer_id, '{rule.coupon[1]}', "
        f"{_quoted(terms)} FROM matches m JOIN dispatches d ON d.match_id = m.id AND d.step = {rule.coupon[0]} "
        f"WHERE m.run_id = {run} AND m.rule_id = {rule_row} AND d.state IN ('pending', 'held')"
    )


def _acted(rule: Written, moment: Moment, of_run: str, source: str) -> str:
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
    acted = f"{of_run} m.verdict = 'act'"
    if not asked:
        return f"a AS (SELECT {columns} FROM {source} m WHERE {acted})"
    states = ", ".join(
        f"z.{each}_due, m.closes + z.{each}_waited AS {each}_end, CASE WHEN m.{each}_block IS NOT NULL THEN 'blocked' "
        f"WHEN z.{each}_due >= m.closes + z.{each}_waited THEN 'expired' ELSE 'held' END AS {each}_state"
        for each in asked
    )
    return (
        f"z(zone_id, {names}) AS (VALUES {', '.join(cells)}), a AS MATERIALIZED (SELECT {columns}, {states} "
        f"FROM {source} m JOIN customer_facts f ON f.customer_id = m.customer_id JOIN z ON z.zone_id = f.zone_id "
        f"WHERE {acted})"
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
