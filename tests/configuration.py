"""Texts of configurations, and what becomes of them."""

from collections.abc import Mapping

import pytest

from service.config import ConfigError, Settings, parse

DSN = "hydra:s3cr3t-in-dsn@tcp(mysql:3306)/hydra?parseTime=true&interpolateParams=true"
DATABASE = f'[database]\nprimary = "{DSN}"\n'


def settings(text: str = "", environ: Mapping[str, str] | None = None) -> Settings:
    """Read what follows the smallest configuration."""
    return parse(DATABASE + text, environ or {})


def faults(text: str, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what is wrong with a text, by key; none of it shows what is called `s3cr3t`."""
    with pytest.raises(ConfigError) as caught:
        parse(text, environ or {})
    found = dict(caught.value.faults)
    assert len(found) == len(caught.value.faults), "a key has two faults"
    for key, words in found.items():
        assert f"\n  {key}: {words}" in str(caught.value)
    assert "s3cr3t" not in f"{caught.value!s} {caught.value!r}"
    return found
