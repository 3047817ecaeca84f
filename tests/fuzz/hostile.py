"""Texts and numbers that have broken programs before."""

import hypothesis.strategies as st

TEXTS = (
    "",
    " ",
    "\0",
    "d\0x",
    "\x1b[2J\x07",
    "a\r\nx-hydra-mode: submit",
    "\x7f\x80\x9b",
    "'; DROP TABLE deployments; --",
    '" or ""="',
    "%' or 1=1 #",
    "$(reboot)`id`|&;<>",
    "../../etc/passwd",
    "..",
    ".",
    "%2e%2e%2f%00",
    "\\..\\..\\",
    "{0.__class__}%s%n",
    "\u202emoc.elpmaxe",
    "\u200b\ufeff\u2028",
    "e\u0301",
    "😀",
    "\U0010ffff",
    "-",
    "_a",
    "a" * 63,
    "a" * 64,
    "a" * 65,
    "a" * 256,
    "a" * 257,
    "😀" * 64,
    "😀" * 256,
    "a" * 100_000,
)
INT64S = (0, 1, -1, 2**31 - 1, 2**31, -(2**31), 2**32, 2**53 + 1, 2**63 - 1, -(2**63))


def texts() -> st.SearchStrategy[str]:
    """Draw any text without halves of characters: protobuf carries none."""
    return st.sampled_from(TEXTS) | st.text(max_size=300)


def int64s() -> st.SearchStrategy[int]:
    return st.sampled_from(INT64S) | st.integers(-(2**63), 2**63 - 1)
