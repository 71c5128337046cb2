"""Bytes with something wrong in them, as a random generator has it."""

from collections.abc import Sequence
from random import Random

# What readers of text and of binary headers are known to trip over.
ODD = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n\n", b"\t", b"\x1b[2J", b"\xe2\x80\xae", b"\xed\xa0\x80",
    b"NaN", b"-inf", b"1e999", b"9" * 40, b"-1", b"0", b"0x10", b"1_000", b"null", b"~", b"true", b"[]", b"{}",
    b"[" * 2000, b"{\"a\":" * 2000, b"- " * 500, b"&a [*a]", b"<<: *a", b"!!python/object:os.system", b"%TAG ! x",
    b"../../../etc/passwd", b"/dev/zero", b"a" * 5000, b"'", b'"', b"\\", b"\\u0000", b"\\ud800", b"#", b":", b"?",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\xff" * 8, b"\x00" * 64, b"PK\x03\x04", b"PAR1", b"DUCK",
)  # fmt: skip
LONGEST = 400_000  # bytes


def mutated(random: Random, seeds: Sequence[bytes]) -> bytes:
    """One of the `seeds` with one to six changes, or now and then bytes of no file at all."""
    if random.random() < 0.02:
        return random.randbytes(random.randrange(200))
    data = random.choice(seeds)
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        data = random.choice(CHANGES)(random, data, random.choice(seeds))
    return data[:LONGEST]


def _span(random: Random, data: bytes, longest: int = 64) -> tuple[int, int]:
    # Headers are where most is said.
    near = random.random() < 0.4
    start = random.randrange(min(len(data), 400) + 1 if near else len(data) + 1)
    return start, min(
        len(data), start + random.choice((1, 1, 2, 4, 8, random.randrange(1, longest)))
    )


def flip(random: Random, data: bytes, _: bytes) -> bytes:
    """A bit of a byte."""
    if not data:
        return data
    at, _ = _span(random, data[:-1])
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def cut(random: Random, data: bytes, _: bytes) -> bytes:
    """Some of it taken out, or all that follows."""
    start, end = _span(random, data)
    return data[:start] + (b"" if random.random() < 0.2 else data[end:])


def put_in(random: Random, data: bytes, _: bytes) -> bytes:
    """Something odd put in, or in the place of some of it."""
    start, end = _span(random, data)
    return data[:start] + random.choice(ODD) + data[start if random.random() < 0.5 else end :]


def repeat(random: Random, data: bytes, _: bytes) -> bytes:
    """Some of it again, a few times or many."""
    start, end = _span(random, data, 400)
    return data[:end] + data[start:end] * random.choice((1, 1, 2, 50)) + data[end:]


def splice(random: Random, data: bytes, other: bytes) -> bytes:
    """The beginning of one and the end of another."""
    return data[: _span(random, data)[0]] + other[_span(random, other)[0] :]


def word(random: Random, data: bytes, other: bytes) -> bytes:
    """A word of one in the place of another's, so that what follows is well formed."""
    words, others = data.split(b" "), other.split()
    if others:
        words[random.randrange(len(words))] = random.choice((*ODD, random.choice(others)))
    return b" ".join(words)


def line(random: Random, data: bytes, other: bytes) -> bytes:
    """A line left out, put in from elsewhere, or moved."""
    lines, others = data.split(b"\n"), other.split(b"\n")
    at, to = random.randrange(len(lines)), random.randrange(len(lines))
    moved = random.choice((lines.pop(at), random.choice(others)))
    if random.random() < 0.7:
        lines.insert(to, moved)
    return b"\n".join(lines)


CHANGES = (flip, cut, put_in, put_in, repeat, splice, word, word, line, line)
