"""The docs say only what is there: every command line names a command and options that exist, every link leads somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(r"^(`{3,}|~{3,})[^\n]*\n(.*?)^\1", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)")


def shown(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def command_lines(page: str) -> Iterator[list[str]]:
    """The words after ``regulars`` of every command line in code blocks and between backquotes."""
    blocks = [line.strip() for _, block in FENCE.findall(page) for line in block.splitlines()]
    for line in [*blocks, *INLINE.findall(FENCE.sub("", page))]:
        for part in re.split(r"\s(?:&&|\|\||\||;|>>?|2>&1|\d>)\s", re.sub(r"^(?:\$|>|PS>)\s+", "", line)):
            if re.match(r"(?:\S*/)?regulars(?:\s|$)", part.strip()):
                yield shlex.split(part, comments=True)[1:]


def mistakes(words: list[str], command: click.Command) -> Iterator[str]:
    """What is wrong with ``words`` as arguments of ``command``. Upper case and [] stand for what a reader fills in."""
    options = {
        name: each
        for each in command.params
        if isinstance(each, click.Option)
        for name in (*each.opts, *each.secondary_opts)
    }
    places = 0
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word.startswith("-") and len(word) > 1:
            name, _, value = word.partition("=")
            option = options.get(name)
            if option is None:
                if name not in {"--help", "-h"}:
                    yield f"{command.name} has no option {name}"
                continue
            if not option.is_flag and not option.count:
                yield from wrong_value(option, value or (waiting.pop(0) if waiting else ""), name)
        elif isinstance(command, click.Group):
            inner = command.commands.get(word)
            yield from [f"there is no command {word}"] if inner is None else mistakes(waiting, inner)
            return
        else:
            places += 1
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    if places > sum(each.nargs for each in arguments) and all(each.nargs > 0 for each in arguments):
        yield f"{command.name} does not take {places} arguments"


def wrong_value(option: click.Option, value: str, name: str) -> Iterator[str]:
    if not value:
        yield f"{name} needs a value"
    elif isinstance(option.type, click.Choice) and value not in option.type.choices and not value.isupper():
        yield f"{name} does not know {value}"


def anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+\s+(.*)$", FENCE.sub("", page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@click.group(name="regulars")
@click.option("--home")
@click.version_option("1")
def example(home): ...


@example.command(name="run")
@click.option("--dry-run", is_flag=True)
@click.option("--as-of")
@click.option("--format", type=click.Choice(["text", "json"]))
@click.argument("rule", required=False)
def example_run(**_): ...


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("$ regulars --home cafe run --dry-run --as-of 2026-05-04T10:00  # nothing is sent", []),
        ("> regulars --version", []),
        (".venv/bin/regulars run win-back --format=json | less", []),
        ("cd cafe && regulars run RULE", []),
        ("regulars run --format FORMAT", []),
        ("regulars rnu", ["there is no command rnu"]),
        ("regulars run --dry", ["run has no option --dry"]),
        ("regulars run --format yaml", ["--format does not know yaml"]),
        ("regulars run one two", ["run does not take 2 arguments"]),
        ("regulars run --as-of", ["--as-of needs a value"]),
        ("regulars --hone cafe run", ["regulars has no option --hone", "there is no command cafe"]),
    ],
)
def test_this_test_finds_what_is_wrong(line: str, expected: list[str]):
    for page in (f"```console\n{line}\n```\n", f"Write `{line}` so.\n"):
        (words,) = command_lines(page)
        assert list(mistakes(words, example)) == expected


def test_prose_about_regulars_is_no_command_line():
    assert not list(
        command_lines(
            "Our regulars run. `pip install 'regulars[postgres]'`, `regulars.db`\n```\nregulars.key  a key\n```\n"
        )
    )


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_command_line_in_the_docs_exists(page: Path):
    from cli import main

    lines = list(command_lines(page.read_text(encoding="utf-8")))
    wrong = {f"regulars {shlex.join(words)}": list(mistakes(words, main)) for words in lines}
    assert {line: found for line, found in wrong.items() if found} == {}


def test_the_docs_show_command_lines_at_all():
    assert sum(len(list(command_lines(page.read_text(encoding="utf-8")))) for page in PAGES) >= 30


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.is_relative_to(ROOT) or not target.exists():
        return False
    return not anchor or anchor in anchors(target.read_text(encoding="utf-8"))


def test_a_link_to_nowhere_is_found():
    page = ROOT / "docs" / "index.md"
    assert leads_somewhere(page, "../README.md#for-owners")
    assert not leads_somewhere(page, "../README.md#for-nobody")
    assert not leads_somewhere(page, "nowhere.md")
    assert not leads_somewhere(page, "../../")


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_link_leads_somewhere(page: Path):
    links = LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    assert [link for link in links if not re.match(r"[a-z]+:", link) and not leads_somewhere(page, link)] == []
