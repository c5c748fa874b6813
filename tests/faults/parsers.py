"""Four readers of one message that share no code: each says which headers it has and to whom it goes.

Python's ``email``; ``fast_mail_parser`` (Rust's mailparse); Perl's Email::MIME with Email::Address::XS (Dovecot's parser
in C); and ours, ``check_bytes``. Perl's are Debian's libemail-mime-perl and libemail-address-xs-perl.
"""

from __future__ import annotations

import email
import email.policy
import json
import shutil
import subprocess
from dataclasses import dataclass
from email.message import EmailMessage

from engine.dispatch.mime import check_bytes

from .tally import MissingError

_PERL = r"""
use strict; use warnings; use Email::MIME; use Email::Address::XS; use JSON::PP; use Encode;
binmode STDIN; binmode STDOUT; $| = 1;
my $json = JSON::PP->new->ascii;
while (defined(my $size = <STDIN>)) {
    my $data; my $left = $size + 0; my $read = read(STDIN, $data, $left);
    my $mail = Email::MIME->new($data);
    my @names = $mail->header_obj->header_names;
    my @all = map { my $n = $_; map { $n } $mail->header_raw($n) } @names;
    my @to = map { $_->address } map { Email::Address::XS->parse(decode_utf8($_)) } map { $mail->header_raw($_) } qw(To Cc Bcc);
    my @kinds; $mail->walk_parts(sub { my ($p) = @_; push @kinds, lc(($p->content_type // "text/plain") =~ s/;.*//sr) unless $p->subparts });
    print $json->encode({names => \@all, to => \@to, kinds => \@kinds}), "\n";
}
"""


@dataclass(frozen=True)
class Read:
    """What a reader found: the names of the headers in lower case, sorted; the recipients; the kinds of the parts."""

    by: str
    names: tuple[str, ...]
    to: tuple[str | None, ...]
    kinds: tuple[str, ...]


class Perl:
    """One Perl that reads message after message."""

    def __init__(self) -> None:
        if (
            shutil.which("perl") is None
            or subprocess.run(
                ["perl", "-MEmail::MIME", "-MEmail::Address::XS", "-e", "1"], capture_output=True, check=False
            ).returncode
        ):
            raise MissingError("no Email::MIME here: apt-get install libemail-mime-perl libemail-address-xs-perl")
        self._perl = subprocess.Popen(["perl", "-e", _PERL], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def read(self, data: bytes) -> Read:
        assert self._perl.stdin is not None
        assert self._perl.stdout is not None
        self._perl.stdin.write(b"%d\n" % len(data) + data)
        self._perl.stdin.flush()
        said = json.loads(self._perl.stdout.readline())
        return Read("perl", _sorted(said["names"]), tuple(said["to"]), tuple(said["kinds"]))

    def close(self) -> None:
        self._perl.stdin.close()
        self._perl.stdout.close()
        self._perl.wait()


def by_python(data: bytes) -> tuple[Read, EmailMessage]:
    mail = email.message_from_bytes(data, policy=email.policy.SMTP.clone(utf8=True))
    lines = [line for name in ("To", "Cc", "Bcc") for line in mail.get_all(name, [])]
    # Python keeps the bytes of an address that is not ASCII as they are.
    to = [each.addr_spec.encode("utf-8", "surrogateescape").decode() for line in lines for each in line.addresses]
    kinds = [part.get_content_type() for part in mail.walk() if not part.is_multipart()]
    assert isinstance(mail, EmailMessage)
    return Read("python", _sorted(mail.keys()), tuple(to), tuple(kinds)), mail


def by_rust(data: bytes) -> Read:
    import fast_mail_parser

    mail = fast_mail_parser.parse_email(data)
    names = [name for name, lines in mail.headers.items() for _ in lines]
    to = [each.address for each in (*mail.to, *mail.cc, *mail.bcc)]
    kinds = ["text/plain"] * len(mail.text_plain) + ["text/html"] * len(mail.text_html)
    return Read("rust", _sorted(names), tuple(to), tuple(kinds))


def by_us(data: bytes) -> None:
    """Raise ``MessageError`` for what is not fit to leave."""
    check_bytes(data)


def _sorted(names) -> tuple[str, ...]:
    return tuple(sorted(name.lower() for name in names))
