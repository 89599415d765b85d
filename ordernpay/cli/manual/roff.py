"""A manual page as it is written: sections, paragraphs, terms and examples, put into the macros of man(7)."""

import re
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from ordernpay import __version__

_MARKUP: Final = re.compile(r"`([^`]+)`")


@frozen
class Term:
    """Something and what it means; both may have `code` in them, which is set in bold."""

    name: str
    meaning: str


@frozen
class Example:
    """Lines as they are."""

    text: str


@frozen
class Under:
    """A heading below that of the section."""

    heading: str


Block = str | Term | Example | Under


@frozen
class Section:
    """A section of a page; a block that is a plain text is a paragraph."""

    heading: str
    blocks: Sequence[Block]


@frozen
class Page:
    """A manual page."""

    name: str
    number: int
    summary: str
    sections: Sequence[Section]

    @property
    def file(self) -> str:
        """Its file's name."""
        return f"{self.name}.{self.number}"

    def written(self) -> str:
        """The file's content."""
        lines = [
            f'.TH {self.name.upper()} {self.number} "" "ordernpay {__version__}" "ordernpay"',
            ".nh",  # a name that is broken in two cannot be typed …
            ".nr HY 0",  # … nor after an example, which would set what is in this register
            ".ad l",
            ".SH NAME",
            f"{plain(self.name)} \\- {plain(self.summary)}",
        ]
        for section in self.sections:
            lines.append(f".SH {plain(section.heading)}")
            for block in section.blocks:
                lines += _lines(block)
        return "\n".join(lines) + "\n"


def _lines(block: Block) -> list[str]:
    match block:
        case Term():
            return [".TP", marked(block.name), marked(block.meaning)]
        case Example():
            return [".PP", ".RS 4", ".EX", *map(plain, block.text.rstrip().splitlines()), ".EE", ".RE"]
        case Under():
            quoted = plain(block.heading).replace('"', "\\(dq")
            return [f".SS {quoted}"]
        case _:
            return [".PP", marked(block)]


def plain(text: str) -> str:
    """A text in which nothing means anything to roff."""
    safe = (
        text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga").replace("~", "\\(ti")
    )
    safe = safe.replace("^", "\\(ha")
    safe = "".join(letter if letter.isascii() else f"\\[u{ord(letter):04X}]" for letter in safe)
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe


def marked(text: str) -> str:
    """A paragraph on one line, with what stands between backticks in bold."""
    parts = _MARKUP.split(" ".join(text.replace("``", "`").split()))
    told = "".join(f"\\fB{plain(part)}\\fR" if number % 2 else _prose(part) for number, part in enumerate(parts))
    return f"\\&{told}" if told.startswith((".", "'")) else told


def _prose(text: str) -> str:
    """Text between code: its apostrophes and hyphens are those of a sentence."""
    return plain(text).replace("\\(aq", "'").removeprefix("\\&")
