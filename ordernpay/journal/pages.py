"""Records out of a damaged SQLite file, page by page, whatever its trees still hang together like.

Nothing here trusts what another page says: each page that looks like one of a table or an index gives the records that
can be read from it. The formats are those of https://www.sqlite.org/fileformat2.html.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

PAGE_SIZE: Final = 4_096
_MAGIC: Final = b"SQLite format 3\0"
_WAL_MAGICS: Final = {0x377F0682: "<", 0x377F0683: ">"}
_WAL_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_LEAF_INDEX, _INNER_INDEX, _LEAF_TABLE, _INNER_TABLE = 10, 2, 13, 5
_HEADERS: Final = {_LEAF_INDEX: 8, _INNER_INDEX: 12, _LEAF_TABLE: 8, _INNER_TABLE: 12}
_INTEGERS: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}

Value = int | float | str | bytes | None


class Unreadable(Exception):
    """Bytes that are no record."""


@frozen
class Record:
    """One record: of a table with its `rowid`, of an index without."""

    rowid: int | None
    values: tuple[Value, ...]


@frozen
class Frame:
    """The place of one page's newer content in the write-ahead log; `commit`: the last one of its transaction."""

    page: int
    offset: int
    sound: bool
    commit: bool


class Image:
    """A database file under its write-ahead log, open for reading raw.

    Attributes:
        pages: how many pages there are, or were said to be.
        lost: what was found to be missing or damaged, in words.
        hurt: the tables and indexes that this is of; ``""`` where that is not known.
    """

    def __init__(self, main: Path, wal: Path) -> None:
        self._main = os.open(main, os.O_RDONLY | os.O_CLOEXEC)
        self._wal = os.open(wal, os.O_RDONLY | os.O_CLOEXEC) if wal.exists() else -1
        self.lost: list[str] = []
        self.hurt: set[str] = set()
        self._overflow: set[int] = set()
        self._newer: dict[int, int] = {}
        header = os.pread(self._main, 100, 0)
        told = int.from_bytes(header[16:18], "big") if header.startswith(_MAGIC) else PAGE_SIZE
        self._size = told if told in {1 << bits for bits in range(9, 16)} else PAGE_SIZE
        frames = list(wal_frames(self._wal)) if self._wal >= 0 else []
        last = max((number for number, frame in enumerate(frames) if frame.commit and frame.sound), default=-1)
        damaged = sum(not frame.sound for frame in frames[: last + 1])
        if damaged:
            self._lose(f"{damaged} pages of the write-ahead log", "")
        for frame in frames[: last + 1]:
            if frame.sound:
                self._newer[frame.page] = frame.offset
        there = -(-os.fstat(self._main).st_size // self._size)
        first = self.page(1)
        said = int.from_bytes(first[28:32], "big") if first.startswith(_MAGIC) else 0
        self.pages = max(there, max(self._newer, default=0))
        if self.pages < said < 2**31:
            self._lose(f"the last {said - self.pages} of {said} pages", "")

    def close(self) -> None:
        """Close the files."""
        os.close(self._main)
        if self._wal >= 0:
            os.close(self._wal)

    def page(self, number: int) -> bytes:
        """The newest content of a page; empty beyond the end."""
        if number in self._newer:
            return os.pread(self._wal, self._size, self._newer[number])
        return os.pread(self._main, self._size, (number - 1) * self._size)

    def records(self) -> Iterator[Record]:
        """Every record that can be read, page by page; afterwards `lost` says what could not."""
        free, owners = self._free(), self._owners()
        odd: list[int] = []
        for number in range(1, self.pages + 1):
            if number in free:
                continue
            page = self.page(number)
            kind = page[100 if number == 1 else 0] if len(page) == self._size else -1
            if kind not in _HEADERS:
                odd.append(number)
            elif kind != _INNER_TABLE:  # holds no records, only ways to them
                unreadable = 0
                for record in self._cells(number, page, kind):
                    if record is None:
                        unreadable += 1
                    else:
                        yield record
                if unreadable:
                    self._lose(f"{unreadable} records of page {number}", owners.get(number, ""))
        for number in odd:
            if number not in self._overflow:
                self._lose(f"page {number}", owners.get(number, ""))

    def _lose(self, what: str, owner: str) -> None:
        self.hurt.add(owner)
        self.lost.append(f"{what} ({owner})" if owner else what)

    def _owners(self) -> dict[int, str]:
        """Which table or index a page belongs to, as far as the ways to it can be followed."""
        owners: dict[int, str] = {}
        ways = [(1, "sqlite_schema")]
        while ways:
            number, owner = ways.pop()
            page = self.page(number) if 0 < number <= self.pages else b""
            if number in owners or len(page) != self._size:
                continue
            owners[number] = owner
            start = 100 if number == 1 else 0
            kind = page[start]
            if kind in {_INNER_INDEX, _INNER_TABLE}:
                places = self._places(page, start, kind)
                below = [page[start + 8 : start + 12], *(page[place : place + 4] for place in places)]
                ways += [(int.from_bytes(pointer, "big"), owner) for pointer in below]
            if owner == "sqlite_schema" and kind == _LEAF_TABLE:
                for record in self._cells(number, page, kind):
                    if record is not None and len(record.values) == len(("type", "name", "table", "root", "sql")):
                        _, name, _, root, _ = record.values
                        ways += [(root, str(name))] if isinstance(root, int) else []
        return owners

    def _places(self, page: bytes, start: int, kind: int) -> tuple[int, ...]:
        """Where the cells of a page begin; none where their list is longer than the page."""
        count, first = int.from_bytes(page[start + 3 : start + 5], "big"), start + _HEADERS[kind]
        return () if first + 2 * count > self._size else struct.unpack_from(f">{count}H", page, first)

    def _free(self) -> set[int]:
        """Pages on the list of free ones, as far as it can be followed."""
        free: set[int] = set()
        first = self.page(1)
        trunk = int.from_bytes(first[32:36], "big") if first.startswith(_MAGIC) else 0
        while 1 < trunk <= self.pages and trunk not in free:
            page = self.page(trunk)
            following, count = struct.unpack(">II", page[:8]) if len(page) == self._size else (0, 0)
            if count > self._size // 4:
                break
            free.add(trunk)
            free.update(struct.unpack(f">{count}I", page[8 : 8 + 4 * count]))
            trunk = following
        return free

    def _cells(self, number: int, page: bytes, kind: int) -> Iterator[Record | None]:
        """The records of one page; None for each that is unreadable."""
        start = 100 if number == 1 else 0
        places = self._places(page, start, kind)
        if not places and page[start + 3 : start + 5] != b"\0\0":
            yield None
        for place in places:
            try:
                yield self._cell(page, place, kind)
            except (Unreadable, IndexError, UnicodeError, struct.error):
                yield None

    def _cell(self, page: bytes, place: int, kind: int) -> Record:
        at = place + (4 if kind == _INNER_INDEX else 0)
        size, at = _varint(page, at)
        rowid = None
        if kind == _LEAF_TABLE:
            rowid, at = _varint(page, at)
        usable = self._size
        if size > usable * self.pages:
            raise Unreadable
        most = usable - 35 if kind == _LEAF_TABLE else (usable - 12) * 64 // 255 - 23
        if size <= most:
            payload = page[at : at + size]
        else:
            least = (usable - 12) * 32 // 255 - 23
            local = least + (size - least) % (usable - 4)
            local = local if local <= most else least
            payload = page[at : at + local] + self._chain(page[at + local : at + local + 4], size - local)
        if len(payload) != size:
            raise Unreadable
        return Record(rowid, _values(payload))

    def _chain(self, pointer: bytes, size: int) -> bytes:
        """The rest of a record that is too long for its page."""
        parts = []
        while size > 0:
            number = int.from_bytes(pointer, "big")
            page = self.page(number) if 1 < number <= self.pages else b""
            if len(page) != self._size:
                raise Unreadable
            self._overflow.add(number)
            parts.append(page[4 : 4 + size])
            size -= len(parts[-1])
            pointer = page[:4]
        return b"".join(parts)


@frozen
class WalIndex:
    """What SQLite's shared index says of the write-ahead log: how many pages are in it, and in the main file as well."""

    salts: bytes
    frames: int
    copied: int


def read_wal_index(path: Path) -> WalIndex | None:
    """Read the shared index; None where there is none, or none that is whole."""
    try:
        raw = path.read_bytes()[:100]
    except FileNotFoundError:
        return None
    if len(raw) < 100 or raw[:48] != raw[48:96] or raw[12] == 0:
        return None
    return WalIndex(raw[32:40], *struct.unpack_from("=I", raw, 16), *struct.unpack_from("=I", raw, 96))


def wal_salts(path: Path) -> bytes | None:
    """What tells this round of a write-ahead log from the one before; None where there is no log."""
    try:
        with path.open("rb") as file:
            header = file.read(_WAL_HEADER)
    except FileNotFoundError:
        return None
    known = len(header) == _WAL_HEADER and int.from_bytes(header[:4], "big") in _WAL_MAGICS
    return header[16:24] if known else None


def later_commits(path: Path, read: int) -> int:
    """How many transactions of this round end behind the last page that SQLite reads of a log."""
    with path.open("rb") as file:
        header = file.read(_WAL_HEADER)
        size = _FRAME_HEADER + int.from_bytes(header[8:12], "big")
        file.seek(_WAL_HEADER + read * size)
        ours = False
        while len(frame := file.read(_FRAME_HEADER)) == _FRAME_HEADER and not ours:
            ours = frame[8:16] == header[16:24]
            file.seek(size - _FRAME_HEADER, os.SEEK_CUR)
        return sum(frame.commit for frame in list(wal_frames(file.fileno()))[read:]) if ours else 0


def wal_frames(wal: int) -> Iterator[Frame]:
    """The frames of a write-ahead log's present round, each with whether it is what was written there.

    Each frame's checksum goes on from that of the one before. So a damaged one is told from those behind it.
    """
    header = os.pread(wal, _WAL_HEADER, 0)
    if len(header) < _WAL_HEADER:
        return
    magic, _, size, _, salt1, salt2, sum1, sum2 = struct.unpack(">8I", header)
    if magic not in _WAL_MAGICS or size not in {1 << bits for bits in range(9, 17)}:
        return
    order, sums = _WAL_MAGICS[magic], (sum1, sum2)
    offset = _WAL_HEADER
    while len(frame := os.pread(wal, _FRAME_HEADER + size, offset)) == _FRAME_HEADER + size:
        page, pages, frame_salt1, frame_salt2, told1, told2 = struct.unpack(">6I", frame[:_FRAME_HEADER])
        ours = (frame_salt1, frame_salt2) == (salt1, salt2)
        sound = ours and _checksum(frame[:8] + frame[_FRAME_HEADER:], sums, order) == (told1, told2)
        yield Frame(page, offset + _FRAME_HEADER, sound, commit=sound and pages > 0)
        sums = (told1, told2)
        offset += _FRAME_HEADER + size


def _checksum(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    one, two = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        one = (one + even + two) & 0xFFFFFFFF
        two = (two + odd + one) & 0xFFFFFFFF
    return one, two


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for _ in range(8):
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    value = value << 8 | data[at]
    return (value - 2**64 if value >= 2**63 else value), at + 1


def _values(payload: bytes) -> tuple[Value, ...]:
    length, at = _varint(payload, 0)
    kinds = []
    while at < length:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    if at != length:
        raise Unreadable
    values: list[Value] = []
    for kind in kinds:
        size = _INTEGERS.get(kind, 8 if kind == 7 else (kind - 12) // 2 if kind >= 12 else 0)
        raw = payload[at : at + size]
        if len(raw) != size or kind in {10, 11} or kind < 0:
            raise Unreadable
        at += size
        values.append(_value(kind, raw))
    return tuple(values)


def _value(kind: int, raw: bytes) -> Value:
    if kind in _INTEGERS:
        return int.from_bytes(raw, "big", signed=True)
    if kind == 7:
        number: float = struct.unpack(">d", raw)[0]
        return number
    if kind >= 12:
        return raw if kind % 2 == 0 else raw.decode(errors="surrogateescape")
    return {0: None, 8: 0, 9: 1}[kind]
