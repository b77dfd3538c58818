"""Texts without the credentials that addresses in them may contain."""

import re

_PASSWORD = re.compile(r"(://[^:/@\s]*):[^\s]*@")
_TOKEN = re.compile(r"(https?://)[^:/@\s]+@")
_QUERY = re.compile(r"([?&][^=&\s]*(?:pass|pwd|token|secret|key|auth|sig|cred)[^=&\s]*=)[^&\s`'\"]+", re.IGNORECASE)


def masked(text: str) -> str:
    """The text without passwords, tokens and secrets in the addresses in it.

    Example:
        >>> masked("no answer from https://me:p@ss/word@host:5000")
        'no answer from https://me:***@host:5000'
        >>> masked("https://TOKEN@host"), masked("postgresql://me@host/db?password=abc&sslmode=require")
        ('https://***@host', 'postgresql://me@host/db?password=***&sslmode=require')
    """
    return _QUERY.sub(r"\1***", _TOKEN.sub(r"\1***@", _PASSWORD.sub(r"\1:***@", text)))
