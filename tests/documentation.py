"""What docs/command-line.md says of the JSON documents."""

import re
from pathlib import Path

_PAGE = Path(__file__).parents[1] / "docs" / "command-line.md"


def documented_keys(section: str) -> set[str]:
    """List the keys in the table of a section."""
    _, _, after = _PAGE.read_text().partition(f"\n## {section}\n")
    text, _, _ = after.partition("\n## ")
    return set(re.findall(r"^\| `([\w.\[\]]+)` \|", text, re.MULTILINE))
