"""Numbers in plain decimal digits, which every program reads as the same: not 010, 0x10, 1_0 or 1:20."""

import re

_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")  # what 64 bits hold
_DECIMAL = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.inf|\.nan", re.IGNORECASE)  # numbers that YAML has words for


def whole_number(text: str) -> int:
    """The whole number that is written. Raises `ValueError` where it is not in plain digits."""
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text} is no whole number")
    return int(text)


def decimal_number(text: str) -> float:
    """The number that is written, or `inf`. Raises `ValueError` where it is not in plain digits."""
    if text != "inf" and not _DECIMAL.fullmatch(text):
        raise ValueError(f"{text} is no number")
    return float(text)


def misread(written: str, read: float) -> str:
    """What to write instead of a number that YAML reads as `read`; empty where it is plain.

    The readings are YAML's own, and that of the same digits in base 10: 0100 is 64 or 100.
    """
    if _DECIMAL.fullmatch(written) or _SPECIAL.fullmatch(written):
        return ""
    digits = re.sub(r"(?<![.0-9])0+(?=[0-9])", "", written.replace("_", ""))
    other = _DECIMAL.fullmatch(digits) and float(digits) != read
    return f"write {digits} or {yaml_number(read)}" if other else f"write {yaml_number(read)}"


def yaml_number(number: float) -> str:
    """As Python writes it, but that YAML 1.1 wants a point before the exponent."""
    return re.sub(r"^(-?\d+)e", r"\1.0e", repr(number))
