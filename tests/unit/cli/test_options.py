from datetime import timedelta

import pytest
import typer

from service.cli import options


@pytest.mark.parametrize("text", ["acme", "a", "us-east-1", "a" * 64])
def test_slugs_are_what_host_names_take(text: str) -> None:
    assert options.slug(text) == text


@pytest.mark.parametrize("text", ["", "-a", "a-", "A", "a_b", "a b", "a.b", "ä", "a\n", "a" * 65])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="takes a-z"):
        options.slug(text)


def test_lists_are_written_with_commas() -> None:
    assert options.slugs("us-east-1, eu-central-1") == "us-east-1,eu-central-1"
    assert options.split("us-east-1, eu-central-1") == ["us-east-1", "eu-central-1"]
    with pytest.raises(typer.BadParameter):
        options.slugs("us-east-1,,eu-central-1")


def test_durations_are_written_as_in_the_configuration() -> None:
    assert options.duration("1.5s") == timedelta(seconds=1.5)
    assert options.duration("0") == timedelta()


@pytest.mark.parametrize("text", ["3", "-1s", "soon", ""])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        options.duration(text)
