"""The actions that write to somebody: email, SMS and alert."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from engine.language.phrases import Phrase, phrase
from engine.language.templatecheck import check_text
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.reading import Reader

Channel = Literal["email", "sms"]
GUEST = "guest"

_MISSING_TEXT = {
    "email": phrase('the template "{name}" has no text for email'),
    "sms": phrase('the template "{name}" has no text for SMS'),
    "alert": phrase('the template "{name}" has no text for an alert'),
}
_WANTED_TEXT = {
    "email": phrase("put an email.mjml, email.html or email.txt into templates/{name}/"),
    "sms": phrase("put an sms.txt into templates/{name}/"),
    "alert": phrase("put an email or an sms text into templates/{name}/"),
}


def _check_template(reader: Reader, name: str, *, channel: Literal["email", "sms", "alert"]) -> None:
    place = reader.setting("template")
    if not place.known(phrase("template"), name, reader.around.templates, "unknown-template", phrase("templates/ has")):
        return
    template = reader.around.templates[name]
    if template.broken:
        said = phrase('the template "{name}" has problems of its own', name=name)
        place.problem(said, "broken-template", hint=phrase("they are listed too"))
    channels: tuple[Channel, ...] = ("email", "sms") if channel == "alert" else (channel,)
    if not any(template.serves(each) for each in channels):
        said = phrase(_MISSING_TEXT[channel].template, name=name)
        place.problem(said, "template-channel", hint=phrase(_WANTED_TEXT[channel].template, name=name))


def _check_subject(reader: Reader, subject: str) -> None:
    """Check a rule's own subject as a template's ``subject.txt`` is checked, each problem at its place in the rule."""
    text = subject.strip()
    if not text:
        reader.problem(phrase("the subject is empty"), "empty")
    if "\n" in text and "{%" not in text:
        cure = phrase("write it without line breaks; what the guest is to read stands in the template")
        reader.problem(phrase("a subject is one line, and this has several"), "subject-lines", hint=cure)
    document = reader.document
    for each in check_text(text, document.shown).problems if not reader.around.kept else ():
        # Without a word of its own a problem is about the whole text.
        part = "" if each.width == 1 else each.excerpt[each.column - 1 : each.column - 1 + each.width]
        place = document.place_in(reader.at, part)
        reader.problems.append(document.problem_at(place, each.message, each.code, hint=each.hint))


def _check_staff(reader: Reader, to: str) -> None:
    """Check that there is somebody of that name: ``store``, ``owner``, or one of the contacts."""
    contacts = reader.around.config.contacts
    known = {**contacts, "store": None, **({"owner": None} if "manager" in contacts else {})}
    where = phrase("contacts of config/regulars.yaml, owner or store")
    (reader.under("to") if isinstance(reader.data, Mapping) and "to" in reader.data else reader).known(
        phrase("contact"), to, known, "unknown-contact", where
    )


@dataclass(frozen=True)
class Email:
    """An email to the guest, or to staff."""

    about: ClassVar[str] = phrase("Send an email made from a template.")
    example: ClassVar[str] = "- email:\n    template: win-back"
    does_something: ClassVar[bool] = True
    template: str
    subject: str | None = None
    to: str = GUEST  #: else one of the staff, as in an alert

    @property
    def channel(self) -> Channel | None:
        """The guest's email address; staff need no permission, and get it at once."""
        return "email" if self.to == GUEST else None

    @classmethod
    def schema(cls) -> JsonSchema:
        """Template and subject."""
        return {
            "type": ["string", "object"],
            "additionalProperties": False,
            "required": ["template"],
            "description": cls.about,
            "properties": {
                "template": {
                    "type": "string",
                    "x-names": "templates",
                    "description": phrase("A folder of templates/ with email.mjml or email.html."),
                },
                "subject": {
                    "type": "string",
                    "minLength": 1,
                    "description": phrase("Instead of the template's subject."),
                },
                "to": {
                    "type": "string",
                    "x-names": "contacts",
                    "description": phrase(
                        "guest (if left out); or staff, as in an alert: store, owner, or a name under contacts."
                    ),
                },
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``win-back`` or the settings."""
        given = reader.settings("template")
        _check_template(reader, given["template"], channel="email")
        template = reader.around.templates.get(given["template"])
        if template is not None and not template.has_subject and "subject" not in given:
            reader.problem(
                phrase('the template "{name}" has no subject', name=template.name),
                "no-subject",
                hint=phrase("put a subject.txt into templates/{name}/, or write subject: here", name=template.name),
            )
        if "subject" in given:
            _check_subject(reader.under("subject"), given["subject"])
        to = given.get("to", GUEST)
        if to != GUEST:
            _check_staff(reader, to)
        return cls(given["template"], given.get("subject"), to)

    def sentence(self) -> Phrase:
        """Say it in English."""
        if self.to != GUEST:
            return phrase('email "{template}" to {to}', template=self.template, to=self.to)
        return phrase('email "{template}"', template=self.template)


@dataclass(frozen=True)
class Sms:
    """An SMS to the guest."""

    about: ClassVar[str] = phrase("Send an SMS made from a template.")
    example: ClassVar[str] = "- sms:\n    template: win-back-reminder"
    channel: ClassVar[Channel | None] = "sms"
    does_something: ClassVar[bool] = True
    template: str

    @classmethod
    def schema(cls) -> JsonSchema:
        """Template."""
        return {
            "type": ["string", "object"],
            "additionalProperties": False,
            "required": ["template"],
            "description": cls.about,
            "properties": {
                "template": {
                    "type": "string",
                    "x-names": "templates",
                    "description": phrase("A folder of templates/ with sms.txt."),
                }
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``win-back-reminder`` or the settings."""
        given = reader.settings("template")
        _check_template(reader, given["template"], channel="sms")
        return cls(given["template"])

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase('SMS "{template}"', template=self.template)


@dataclass(frozen=True)
class Alert:
    """A message to staff."""

    about: ClassVar[str] = phrase("Tell staff at once, whatever the hour: by email where they have one, else by SMS.")
    example: ClassVar[str] = "- alert:\n    template: low-rating-alert\n    to: manager"
    channel: ClassVar[Channel | None] = None
    does_something: ClassVar[bool] = True
    template: str
    to: str = "manager"
    once_per: Literal["guest", "store", "run"] = "guest"

    @classmethod
    def schema(cls) -> JsonSchema:
        """Template, to whom, and how often."""
        return {
            "type": ["string", "object"],
            "additionalProperties": False,
            "required": ["template"],
            "description": cls.about,
            "properties": {
                "template": {
                    "type": "string",
                    "x-names": "templates",
                    "description": phrase("A folder of templates/ with an email or an SMS text."),
                },
                "to": {
                    "type": "string",
                    "x-names": "contacts",
                    "description": phrase("store (its manager), owner, or a name under contacts; manager if left out."),
                },
                "once_per": {
                    "type": "string",
                    "enum": ["guest", "store", "run"],
                    "description": phrase("One message a guest (if left out), a store or a run: then it holds a list."),
                },
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``low-rating-alert`` or the settings."""
        given = reader.settings("template")
        _check_template(reader, given["template"], channel="alert")
        to = given.get("to", "manager")
        _check_staff(reader, to)
        return cls(given["template"], to, given.get("once_per", "guest"))

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase('alert "{template}" to {to}', template=self.template, to=self.to)


def carried_as(word: str, settings: object) -> str:
    """Give the channel of a step's row in the outbox: its word, and ``alert`` for every message to staff."""
    return "alert" if isinstance(settings, Email) and settings.channel is None else word
