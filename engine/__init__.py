"""Regulars: an owner's rules in, messages and a log out."""
