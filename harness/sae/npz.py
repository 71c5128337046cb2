"""Arrays of an .npz file, looked at before they are read: no pickles, no surprises in size."""

import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SMALL = 1 << 24  # bytes that may be packed however tightly: a bias may be all zeros
TIGHT = 50  # times smaller than its content: no array of weights packs so well
PART = 1 << 24  # bytes unpacked at once
CACHED = (
    1 << 20
)  # bytes read at once, whose checksum is taken while they are in the processor's cache
LOCAL = (
    30  # bytes before the name of a member, of which the last four are the lengths of what follows
)


class BrokenArray(Exception):
    """What is wrong with the array `key` of a file, or with the file where `key` is empty."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(what)
        self.key = key


@dataclass(frozen=True)
class Header:
    """What a file says of one array."""

    shape: tuple[int, ...]
    dtype: np.dtype
    column_major: bool
    offset: int  # of the data within the member

    @property
    def nbytes(self) -> int:
        """Of the array's data."""
        size = self.dtype.itemsize
        for length in self.shape:
            size *= length
        return size


class Npz:
    """An open file: `headers` of all arrays, and each one's data when it is asked for."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        self.headers: Mapping[str, Header] = {name[:-4]: self._header(name[:-4]) for name in names}

    def read(self, key: str) -> NDArray[np.generic]:
        """An array of its header's shape and dtype, with its checksum checked. Raises `BrokenArray`.

        Raises `KeyError` where the file has no such array.
        """
        header, info = self.headers[key], self._archive.getinfo(f"{key}.npy")
        flat = np.empty(header.nbytes, np.uint8)
        with _broken(key):
            if info.compress_type == zipfile.ZIP_STORED:
                self._read_stored(info, header.offset, memoryview(flat.data))
            else:
                self._read_packed(info, header.offset, memoryview(flat.data))
        array = flat.view(header.dtype)
        return array.reshape(header.shape, order="F" if header.column_major else "C")

    def _read_packed(self, info: zipfile.ZipInfo, offset: int, rest: memoryview) -> None:
        """Fill `rest` with what comes after `offset` bytes of a member."""
        with self._archive.open(info) as stream:
            stream.read(offset)
            while rest:
                size = stream.readinto(rest[:PART])  # type: ignore[attr-defined]
                if not size:
                    raise ValueError("it is cut short")
                rest = rest[size:]

    def _read_stored(self, info: zipfile.ZipInfo, offset: int, rest: memoryview) -> None:
        """The same of a member that is stored as it is: into its place, without zipfile's copies.

        By a file of its own, so that several members may be read at once.
        """
        with self._path.open("rb", buffering=0) as stream:
            stream.seek(info.header_offset)
            local = stream.read(LOCAL)
            named = sum(int.from_bytes(local[at : at + 2], "little") for at in (26, 28))
            stream.seek(info.header_offset + LOCAL + named)
            checksum = zlib.crc32(stream.read(offset))
            while rest:
                part = rest[:CACHED]
                size = stream.readinto(part)
                if not size:
                    raise ValueError("it is cut short")
                checksum = zlib.crc32(part[:size], checksum)
                rest = rest[size:]
        if checksum != info.CRC:
            raise ValueError(f"Bad CRC-32 for {info.filename}")

    def _header(self, key: str) -> Header:
        """What the file says of an array, refused where reading it would run code or fill the memory."""
        info = self._archive.getinfo(f"{key}.npy")
        with _broken(key), self._archive.open(info) as stream:
            magic = np.lib.format.read_magic(stream)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[magic]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numpy's, about headers of old versions
                shape, column_major, dtype = read_header(stream)
            header = Header(shape, dtype, column_major, stream.tell())
        if dtype.hasobject:
            raise BrokenArray(key, "holds Python objects, which are not read")
        if info.file_size != header.offset + header.nbytes:
            raise BrokenArray(
                key, f"has {info.file_size - header.offset} bytes of data, not {header.nbytes}"
            )
        if info.file_size > max(SMALL, TIGHT * info.compress_size):
            raise BrokenArray(
                key,
                f"unpacks {info.compress_size} bytes to {info.file_size}: no weights pack so well",
            )
        return header


@contextmanager
def open_npz(path: Path) -> Iterator[Npz]:
    """Open a file; raises `BrokenArray` where it is none, and `OSError` where it cannot be read."""
    with path.open("rb") as stream:
        try:
            archive = zipfile.ZipFile(stream)
        except Exception as error:
            raise BrokenArray("", f"is no npz file, or cut short: {error}") from None
        with archive:
            yield Npz(path, archive)


@contextmanager
def _broken(key: str) -> Iterator[None]:
    """Any error within is one about `key`."""
    try:
        yield
    except BrokenArray:
        raise
    except Exception as error:  # a damaged file makes zipfile and numpy raise nearly every kind
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise BrokenArray(key, f"cannot be read: {reason}") from None
