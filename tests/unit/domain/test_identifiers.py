"""Ids and labels have the reference's form and come from the randomness given."""

import re
from random import Random

import pytest

from service.domain.identifiers import Prefix, dns_label, new_id


@pytest.mark.parametrize(
    ("prefix", "length", "form"),
    [
        (Prefix.DEPLOYMENT, 8, r"d_[A-Za-z0-9]{8}"),
        (Prefix.ROUTE, 12, r"flr_[A-Za-z0-9]{12}"),
        ("proj", 1, r"proj_[A-Za-z0-9]"),
        ("", 8, r"[A-Za-z0-9]{8}"),
        ("", 0, r""),
    ],
)
def test_id_has_its_form(prefix: str, length: int, form: str) -> None:
    assert re.fullmatch(form, new_id(prefix, Random(1), length))


def test_id_is_eight_long_by_default() -> None:
    assert len(new_id("app", Random(1))) == len("app_") + 8


@pytest.mark.parametrize(
    ("length", "form"),
    [(8, r"[a-z][a-z0-9]{7}"), (12, r"[a-z][a-z0-9]{11}"), (1, r"[a-z]"), (0, r"")],
)
def test_label_has_its_form(length: int, form: str) -> None:
    for seed in range(50):
        assert re.fullmatch(form, dns_label(Random(seed), length))


def test_same_randomness_draws_the_same() -> None:
    assert new_id("d", Random(7)) == new_id("d", Random(7))
    assert dns_label(Random(7)) == dns_label(Random(7))


def test_one_source_draws_different_ones() -> None:
    random = Random(7)
    assert len({new_id("d", random) for _ in range(1000)}) == 1000
    assert len({dns_label(random) for _ in range(1000)}) == 1000


def test_every_letter_and_digit_is_drawn() -> None:
    random = Random(7)
    assert len(set("".join(new_id("", random) for _ in range(500)))) == 62
    assert len(set("".join(dns_label(random) for _ in range(500)))) == 36
