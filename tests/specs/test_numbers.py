"""Numbers in plain digits, and what YAML makes of others."""

import pytest
import yaml

from harness.specs.numbers import decimal_number, misread, whole_number


@pytest.mark.parametrize("text", ["0", "7", "-1", "+5", "4567", "-0"])
def test_whole_numbers_in_plain_digits_are_read(text):
    assert whole_number(text) == int(text)


@pytest.mark.parametrize(
    "text", ["1_0", "010", "00", "0x1", "1.0", "1e3", " 1", "٣", "", "x", "9" * 19]
)
def test_what_only_python_reads_as_a_whole_number_is_refused(text):
    with pytest.raises(ValueError, match="is no whole number"):
        whole_number(text)


@pytest.mark.parametrize("text", ["0", ".5", "5.", "-1.5", "1e-3", "2.5E+3", "inf"])
def test_decimal_numbers_in_plain_digits_are_read(text):
    assert decimal_number(text) == float(text)


@pytest.mark.parametrize("text", ["nan", "1_0.5", "01.5", "0x1", "infinity", "", "1,5", "٣"])
def test_what_only_python_reads_as_a_number_is_refused(text):
    with pytest.raises(ValueError, match="is no number"):
        decimal_number(text)


@pytest.mark.parametrize(
    "written, advice",
    [
        ("0100", "write 100 or 64"),
        ("010", "write 10 or 8"),
        ("-010", "write -10 or -8"),
        ("00", "write 0"),
        ("1:20", "write 80"),
        ("1:20.5", "write 80.5"),
        ("0x1F", "write 31"),
        ("0b11", "write 3"),
        ("1_000", "write 1000"),
        ("1_000.5", "write 1000.5"),
        ("01.5", "write 1.5"),
        ("0_100", "write 100 or 64"),
        ("1_0.0e+30", "write 1.0e+31"),
        *((plain, "") for plain in ("0", "42", "-7", "+5", "0.5", ".5", "5.", "1.0e-3", ".inf", ".NaN")),
    ],
)  # fmt: skip
def test_both_readings_of_a_number_are_named_and_read_as_they_are_named(written, advice):
    read = yaml.safe_load(written)
    assert misread(written, read) == advice
    if advice:
        assert yaml.safe_load(advice.split()[-1]) == read
