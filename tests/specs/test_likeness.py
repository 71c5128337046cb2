"""Texts that look or read the same, and texts that do not."""

import unicodedata

import pytest

from harness.specs.likeness import difference, looks_as, named_as, reads_as

NFD = unicodedata.normalize("NFD", "Die Kugel fällt")


@pytest.mark.parametrize(
    "one, other, how",
    [
        ("Die Kugel fällt", NFD, "characters that look the same"),
        ("a ball", "a\u00a0ball", "characters that look the same"),
        ("a ball", "a b\u200ball", "characters that look the same"),
        ("a ball", "\ufeffa ball\u00ad", "characters that look the same"),
        ("5 Å", "5 \u212b", "characters that look the same"),
    ],
)
def test_what_nobody_can_tell_apart_looks_the_same(one, other, how):
    assert one != other
    assert looks_as(one) == looks_as(other)
    assert difference(one, other) == how


@pytest.mark.parametrize(
    "one, other, how",
    [
        ("a ball", "A Ball", "case"),
        ("Straße", "STRASSE", "how they are written"),
        ("a ball", "a  ball ", "spaces"),
        ("a ball\nrolls", "a ball rolls", "spaces"),
        ("the final", "the \ufb01nal", "how they are written"),
        ("ball 1", "ball \uff11", "how they are written"),
        ("it's", "it\u2019s", "how they are written"),
        ("x-t graph", "x\u2013t graph", "how they are written"),
        ("Die Kugel fällt", NFD.upper(), "how they are written"),
    ],
)
def test_what_is_the_same_to_a_reader_reads_the_same(one, other, how):
    assert looks_as(one) != looks_as(other)
    assert reads_as(one) == reads_as(other)
    assert named_as(one) == named_as(other)
    assert difference(one, other) == how


@pytest.mark.parametrize(
    "one, other",
    [
        ("at the top", "at the top."),
        ("10² m", "102 m"),
        ("v₀", "v0"),
        ("résumé", "resume"),
        ("5 m", "-5 m"),
        ("foot ball", "football"),
        ("\u03b1", "a"),
    ],
)
def test_what_says_something_else_reads_otherwise(one, other):
    assert reads_as(one) != reads_as(other)


def test_a_raised_letter_tells_no_two_names_apart():
    assert named_as("m²") == named_as("M2")
