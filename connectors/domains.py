"""A domain as servers and the DNS want it: in ASCII."""

from __future__ import annotations


def domain_in_ascii(domain: str) -> str:
    """Give ``xn--...`` for a domain in other letters, by today's rules (IDNA 2008); one in ASCII stays as it is.

    The codec of the standard library goes by rules of 2003: it makes strasse.example, which may be somebody else's, of
    straße.example. Raises ``UnicodeError`` for what is no domain.
    """
    if domain.isascii():
        return domain
    import idna

    return idna.encode(domain, uts46=True).decode("ascii")
