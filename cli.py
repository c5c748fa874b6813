"""The command line: parse, call, print. Whatever is heavy is imported by the command that needs it."""

from __future__ import annotations

import gc
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.console import (
    commands_backup,
    commands_bounces,
    commands_coupon,
    commands_customer,
    commands_dispatch,
    commands_dkim,
    commands_months,
    commands_receive,
    commands_verify,
)
from engine.console.options import (
    as_of_option,
    ask,
    by_option,
    format_option,
    lang_option,
    language,
    say,
    workers_option,
)
from engine.console.program import CLOCK, UPTIME, in_home
from engine.evaluation.collecting import SELDOM

if TYPE_CHECKING:
    from engine.console.session import Session
    from engine.evaluation.clock import Uptime


def clock() -> datetime:
    """Give the present instant: the only clock of the program."""
    return datetime.now(UTC)


def uptime() -> Uptime | None:
    """Tell how long the machine has been on; None where the system does not tell."""
    from engine.evaluation.clock import Uptime

    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return Uptime(boot, int(time.clock_gettime(time.CLOCK_BOOTTIME)))


class Program(click.Group):
    """The commands, and how each of them ends: ``engine/console/exits.py`` has the codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run one command; what a person can do something about is a sentence and an exit code, never a traceback."""
        from engine.console.ending import ended

        ctx.meta[CLOCK], ctx.meta[UPTIME] = clock, uptime
        return ctx.exit(ended(ctx, lambda: super(Program, self).invoke(ctx), clock))


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--home", metavar="DIR", envvar="REGULARS_HOME", default=".", help="The home; else the current folder.")
@lang_option
@click.version_option(package_name="regulars", prog_name="regulars")
@click.pass_context
def main(ctx: click.Context, home: str, lang: str) -> None:
    """Turn guests into regulars: rules, a daily run, email, SMS and coupons.

    Exit codes: 0 fine, 1 problems in what you wrote or a red run, 2 a mistyped command, 3 a bug, 75 not now.
    """
    del lang  # asked for by `language`
    ctx.obj = Path(home)


@main.command()
@click.argument("folder", metavar="[DIR]", required=False)
@click.option("--demo", is_flag=True, help="Fill it with an invented café: 5,000 guests, two years of orders.")
@click.option("--name", help="The café's name.")
@click.option("--address", help="Its postal address.")
@click.option("--country", help="Two letters.")
@click.option("--language", help="Of guests whose own is not known.")
@click.option("--timezone", help="Such as America/Chicago.")
@click.option("--currency", help="Three letters.")
@click.option("--sender", help="The email address that guests see.")
@click.option("--manager-email", help="Where alerts go.")
@click.option("--manager-phone", help="With + and the country's code.")
@click.option("--yes", is_flag=True, help="Ask nothing; what is not given is the sample's.")
@click.pass_obj
def init(root: Path, /, folder: str | None, demo: bool, yes: bool, **given: str | None) -> None:
    """Make a home in DIR: config, rules, templates and a key."""
    from engine.console.page import watched
    from engine.console.setting_up import make

    answers = ask if watched() and not yes else None
    make(Path(folder) if folder else root, given, answers, demo=demo, environ=os.environ, clock=clock, say=click.echo)


@main.command()
@click.argument("folder", metavar="[DIR]", default="demo")
def demo(folder: str) -> int:
    """Show everything once with an invented café, made anew in DIR (./demo). Nothing leaves this machine."""
    from engine.console.demo import Demo

    def command(*words: str) -> int:
        return int(main.main(args=list(words), prog_name="regulars", standalone_mode=False) or 0)

    return Demo(Path(folder), command, click.echo, os.environ, clock).show()


@main.command()
@click.argument("files", metavar="[FILE]...", nargs=-1)
@format_option("text", "json", "github")
@click.option("--watch", "again", is_flag=True, help="Check again whenever a file changes; Ctrl-C ends it.")
@click.option("--cost", is_flag=True, help="Warn of rules that read all guests or all orders, by your own data.")
@click.pass_obj
def validate(root: Path, files: tuple[str, ...], shape: str, *, again: bool, cost: bool) -> int:
    """Check every file of the home, or those named: each problem with its place and cure."""
    from engine.console.checking import check, printed, watch

    if again:
        if cost:
            raise click.UsageError("--watch goes without --cost: that asks the database.")
        if shape != "text":
            raise click.UsageError("--watch is for a person who looks on: it prints text only.")
        watch(root, files, os.environ, language(), clock=clock, say=say, sleep=time.sleep)
        return 0
    problems = check(root, files, os.environ, clock().date(), cost_at=clock() if cost else None)
    say(printed(problems, shape, language()))
    return int(any(problem.is_error for problem in problems))


@main.command()
@click.argument("name", default="rule")
@click.option("--write", is_flag=True, help="Write all of them into the home, with your own names in them.")
@click.pass_obj
def schema(root: Path, name: str, *, write: bool) -> None:
    """Print what a file may hold, for editors: rule, config, segments, offers ..."""
    from engine.console import schemas

    say(schemas.written(root, os.environ, language()) if write else schemas.shown(name))


@main.command()
@click.argument("word", required=False)
@format_option("text", "json", "markdown")
def words(word: str | None, shape: str) -> None:
    """Show the words of rules: all of them in a line each, or WORD with its settings and an example."""
    from engine.console.reference import shown

    say(shown(word, shape, language()))


@main.command("import")
@click.argument("words", metavar="[KIND] FILE...", nargs=-1, required=True)
@click.option("--mapping", metavar="NAME", help="The columns' names are in config/mappings/NAME.yaml.")
@in_home
def import_(session: Session, words: tuple[str, ...], mapping: str | None) -> int:
    """Bring in a till's files; the kind is told by the first line, or given."""
    from engine.console.importing import import_files, kind_and_files, told
    from engine.console.page import bar

    kind, files = kind_and_files(words)
    failed = False
    for report in import_files(session, files, session.clock(), kind=kind, mapping=mapping, bar=bar):
        failed |= report.failed
        say(told(report))
    return int(failed)


@main.command()
@click.option("--dry-run", is_flag=True, help="Show what a run would do; nothing is sent, nothing is kept.")
@as_of_option
@click.option("--rule", metavar="RULE", help="This rule only, whether its time has come or not.")
@click.option("--wait", is_flag=True, help="Stay until the day's messages are out.")
@workers_option("Send by up to so many processes at once; on PostgreSQL evaluate as many rules at once.")
@format_option("text", "json")
@in_home
def run(
    session: Session, /, *, dry_run: bool, as_of: str | None, rule: str | None, wait: bool, workers: int, shape: str
) -> int:
    """Take in the inbox, check the rules whose time has come, send what is due."""
    from engine.console import run as runs

    if dry_run and wait:
        raise click.UsageError("A dry run sends nothing, so there is nothing to --wait for.")
    at = session.at(as_of)
    done = runs.run(session, at, only=rule, dry_run=dry_run, wait=wait, rehearsal=as_of is not None, workers=workers)
    say(done.printed(shape))
    say(done.complaints(), err=True)
    return done.exit_code()


@main.command()
@click.argument("rule", required=False)
@click.option("--all", "everything", is_flag=True, help="Every rule that waits or was never approved.")
@click.option("--reject", is_flag=True, help="Cancel instead what of the rule has not gone out.")
@by_option
@as_of_option
@in_home
def approve(session: Session, /, rule: str | None, by: str | None, as_of: str | None, **how: bool) -> None:
    """Let the held messages of a rule go, and those of its later runs; or cancel them."""
    from engine.console import hand

    if not how["reject"]:
        session.recognise()
    say(hand.approve(session, rule, **how, by=session.by(by), at=session.at(as_of)))


@main.command()
@as_of_option
@format_option("text", "json")
@in_home
def schedule(session: Session, as_of: str | None, shape: str) -> None:
    """Show when each rule is checked next."""
    from engine.console.schedule import shown

    say(shown(session, session.at(as_of), shape))


@main.command()
@by_option
@in_home
def stop(session: Session, by: str | None) -> None:
    """Press the big red button: nothing more goes out, not even of a run under way."""
    from engine.console import brakes

    say(brakes.stop(session, by=session.by(by)))


@main.command()
@by_option
@in_home
def start(session: Session, by: str | None) -> None:
    """Release the red button, and channels that a provider's answer had stopped."""
    from engine.console import brakes

    say(brakes.start(session, by=session.by(by)))


@main.command()
@click.argument("rule")
@click.option("--customer", metavar="ID", required=True, help="The guest: id, email address or phone number.")
@click.option("--send-to", metavar="ADDRESS", help="Send it there too, marked TEST: an address of your own.")
@click.option("--open/--no-open", "show", default=True, help="Show emails in the browser, where a person watches.")
@as_of_option
@in_home
def preview(session: Session, *, rule: str, customer: str, send_to: str | None, show: bool, as_of: str | None) -> int:
    """Show what one guest would read: every message of a rule."""
    from engine.console.page import watched
    from engine.console.preview import previewed, send_test

    at = session.at(as_of)
    said, shown = previewed(session, rule, customer, at)
    say(said)
    if send_to is not None:
        say(send_test(session, shown, send_to, at))
    for each in shown if show and watched() else ():
        if each.file is not None:
            click.launch(each.file.as_uri())
    return int(any(each.problem for each in shown))


@main.command()
@click.option("--rule", metavar="RULE")
@click.option("--customer", metavar="ID", help="Id, email address or phone number.")
@click.option("--channel", metavar="CHANNEL", help="email, sms, coupon, points, tag, webhook, or alert: all to staff.")
@click.option("--state", metavar="STATE", help="Such as sent or blocked; refused, control: who got nothing, and why.")
@click.option("--day", metavar="DAY", help="2026-05-04: what went out, or was due, on that day.")
@click.option("--limit", metavar="N", type=click.IntRange(1), help="Tables show 50 unless told; the others all.")
@format_option("table", "json", "csv")
@click.option("--reveal", is_flag=True, help="Show addresses and numbers whole.")
@in_home
def log(session: Session, /, shape: str, limit: int | None, reveal: bool, **chosen: str | None) -> None:
    """Show who got what and what became of it, the newest first."""
    from engine.console.log import read_filters, written

    for text in written(session, read_filters(session, **chosen), shape, limit=limit, reveal=reveal):
        say(text)


@main.command()
@click.option("--schedule", "calls", is_flag=True, help="Print how to let `run` be called by itself.")
@click.option("--rebuild-facts", is_flag=True, help="Count visits, spend and points of all guests anew.")
@format_option("text", "json")
@click.pass_obj
def doctor(root: Path, calls: bool, rebuild_facts: bool, shape: str) -> int:
    """Say in words what is missing or wrong, and the cure."""
    from engine.console.doctor import Doctor

    examined = Doctor(root, os.environ, clock)
    if calls or rebuild_facts:
        say(examined.calls() if calls else examined.rebuild_facts())
        return 0
    said, sick = examined.report(shape)
    say(said)
    return int(sick)


@main.command()
@click.argument("name")
@click.option("--customer", metavar="ID", help="The guest; left out, it is for every guest (of the store).")
@click.option("--store", metavar="ID", help="Where, by id or name.")
@click.option("--at", "time", metavar="TIME", help="When: 2026-05-04T10:00; now if left out.")
@click.option("--data", metavar="KEY=VALUE", multiple=True, help="What else is known of it; as often as needed.")
@click.option("--id", "number", metavar="ID", help="Its own id: the same one again changes it, and adds none.")
@in_home
def event(session: Session, name: str, **given: Any) -> None:
    """Record that something happened: a tasting, rain, leftovers. Rules with the trigger `event` answer it."""
    from engine.console.happening import record

    say(record(session, name, **given))


for group in (
    commands_bounces.bounces,
    commands_backup.backup,
    commands_backup.restore,
    commands_coupon.coupon,
    commands_customer.customer,
    commands_dispatch.dispatch,
    commands_dkim.dkim,
    commands_months.months,
    commands_verify.verify,
    commands_receive.receive,
):
    main.add_command(group)


def regulars() -> None:
    """Be the program: what a process of its own may set for itself is set here, and not for those who import this."""
    gc.set_threshold(SELDOM, *gc.get_threshold()[1:])
    try:
        main()
    finally:
        gc.freeze()  # at the end Python looks through all that is loaded: a fifth of a short command, for nothing


if __name__ == "__main__":
    regulars()
