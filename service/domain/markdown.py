"""Text and addresses that nobody vouches for, in GitHub's Markdown: shown as they are, never read as markup.

Neither can end a cell of a table, begin a line, or make GitHub look for a person, an issue or a commit.
"""

import re
from urllib.parse import quote, unquote

_BREAK = "\u200b"

# What GitHub looks for (docs.github.com: autolinked references and URLs) it looks for in what Markdown leaves, where
# a backslash or a character reference is gone already (github/cmark-gfm#181). So something invisible stands between:
# a zero-width space, at which a long hash may wrap on a phone, too. A commit has at least seven digits.
_REFERENCE = re.compile(r"www(?=\.)|gh(?=-[0-9])|[0-9a-f]{6}(?=[0-9a-f])|[@#:]", re.IGNORECASE)

_SPELLED = str.maketrans(
    # No markup is read out of a character reference (CommonMark 0.31 · 2.5); a backslash before a pipe is read in
    # different ways inside a table.
    {character: f"&#{ord(character)};" for character in "\\`*_~[]<>&|"}
    # docs.github.com: writing mathematical expressions.
    | {"$": "<span>&#36;</span>"}
    # Spelled out, it is seen in the source.
    | {_BREAK: f"&#{ord(_BREAK)};"}
)

_WEB_ADDRESS = re.compile(r"https?://[^/?#]", re.IGNORECASE)
_KEPT_IN_ADDRESS = "/:?#%&=+,!~"  # beside letters, digits and -._~; with no semicolon, & begins no reference


def one_line(text: str, at_most: int) -> str:
    """Join the lines of a text, drop what is not printable, and cut it to a number of characters."""
    kept = "".join(character for character in text if character.isprintable() or character.isspace())
    line = " ".join(kept.split())
    return line if len(line) <= at_most else f"{line[: at_most - 1].rstrip()}…"


def escaped(text: str, at_most: int) -> str:
    """Spell a text as one line of Markdown that shows just that; cut as `one_line`, before it is escaped."""
    return _REFERENCE.sub(rf"\g<0>{_BREAK}", one_line(text, at_most)).translate(_SPELLED)


def link(label: str, url: str) -> str:
    """Link a label, which is Markdown already, to a web address; empty when the address is none."""
    if not _WEB_ADDRESS.match(url):
        return ""
    return f"[{label}]({quote(url, safe=_KEPT_IN_ADDRESS, errors='replace')})"


def quoted(text: str) -> str:
    """Spell any text so that it can be a word of a hidden comment, without space, colon, `>` or a double hyphen.

    GitHub reads no comment that has two hyphens in a row (CommonMark 0.30 · 6.6).
    """
    return quote(text, safe="", errors="surrogatepass").replace("--", "-%2D")


def unquoted(word: str) -> str:
    """Read back what `quoted` spelled."""
    return unquote(word, errors="surrogatepass")
