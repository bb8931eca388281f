"""Words of a command line that Hydra and the shell read as they are meant."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

PLAIN = re.compile(r"[A-Za-z0-9_./%@+-]+")  # what Hydra takes without quotes


def setting(key: str, value: str | Path) -> str:
    """Return KEY=VALUE for Hydra, the value in quotes where it has commas, brackets, blanks or the like."""
    text = str(value)
    if PLAIN.fullmatch(text):
        return f"{key}={text}"
    text = text.replace("${", r"\${")  # no reference to another setting
    text = re.sub(r"(\\*)'", r"\1\1\'", text)  # before a quote, backslashes count twice
    closed = re.sub(r"(\\+)$", r"\1\1", text)
    return f"{key}='{closed}'"


def shell_setting(key: str, value: str | Path) -> str:
    """Return the same for a shell, which takes one pair of quotes away."""
    return shlex.quote(setting(key, value))
