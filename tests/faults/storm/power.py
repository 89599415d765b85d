"""What is left on a disk after a power cut: what was flushed, and whatever else the disk had got round to writing.

Worked out from what the shim recorded. POSIX' promise is taken at its word, and nothing more:

* the content of a file is there as of its last ``fsync`` or ``fdatasync``;
* a name is there, is gone or is another one as of the last ``fsync`` of its directory: a file that was flushed under a
  name that was not is lost (stricter than ext4 in its ordered mode, where a file's flush takes its name with it);
* after a flush that failed, what it was to flush is gone, though the page cache shows it until the power goes (as on Linux);
* the -shm file is gone.

Beyond that a disk may have written any part of the rest, in any order, torn at its sectors: `Torn` picks.
"""

import random
from pathlib import Path
from typing import Final

from attrs import define, field

SECTORS: Final = (512, 4096)


@define(eq=False)
class _File:
    flushed: bytearray = field(factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(factory=list)
    """Writes since, as offset and content; a truncation has None."""

    def flush(self) -> None:
        for offset, data in self.pending:
            _apply(self.flushed, offset, data)
        self.pending.clear()


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        content.extend(bytes(max(0, offset - len(content))))
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


@define(eq=False)
class Shadow:
    """What of a directory is durable, and what is pending. Made of what is there, all of which counts as durable."""

    directory: Path
    log: Path
    _names: dict[str, _File] = field(factory=dict)
    _durable: dict[str, _File] = field(factory=dict)
    _inodes: dict[int, _File] = field(factory=dict)
    _renamings: list[dict[str, _File]] = field(factory=list)
    _read: int = 0
    pending_bytes: int = 0

    def begin(self) -> None:
        """Take what is in the directory as durable, and begin the record anew."""
        self.log.unlink(missing_ok=True)
        self._read = 0
        self._inodes = {}
        self._names = {}
        for path in self.directory.iterdir():
            if path.is_file() and not path.name.endswith("-shm"):
                self._names[path.name] = self._inodes[path.stat().st_ino] = _File(bytearray(path.read_bytes()))
        self._durable = dict(self._names)
        self._renamings = []

    def follow(self) -> None:
        """Take in what was recorded since."""
        if not self.log.exists():
            return
        with self.log.open("rb") as file:
            file.seek(self._read)
            while True:
                head = file.readline()
                if not head.endswith(b"\n"):
                    break
                kind, inode, offset, length = head.split()
                data = file.read(int(length))
                if len(data) < int(length):
                    break
                self._take(kind, int(inode), int(offset), data)
                self._read = file.tell()

    def _take(self, kind: bytes, inode: int, offset: int, data: bytes) -> None:
        match kind:
            case b"w":
                self._file(inode).pending.append((offset, data))
            case b"t":
                self._file(inode).pending.append((offset, None))
            case b"s":
                self._file(inode).flush()
            case b"x":
                self._file(inode).pending.clear()
            case b"d":
                self._durable, self._renamings = dict(self._names), []
            case _:
                self._rename(kind, inode, *data.decode().split("/"))

    def _file(self, inode: int) -> _File:
        return self._inodes.setdefault(inode, _File())

    def _rename(self, kind: bytes, inode: int, old: str, new: str) -> None:
        match kind:
            case b"c":
                self._names[old] = self._inodes[inode] = _File()
            case b"m" if old in self._names:
                self._names[new] = self._names.pop(old)
            case b"l" if old in self._names:
                self._names[new] = self._names[old]
            case b"u":
                self._names.pop(old, None)
            case _:
                pass
        self._renamings.append(dict(self._names))

    def cut(self, dice: random.Random | None = None) -> dict[str, int]:
        """Replace the directory by what survives the cut.

        Args:
            dice: picks what else the disk had written; None for nothing but what was flushed.

        Returns:
            for each file how many bytes of unflushed writes it had.
        """
        self.follow()
        names = self._durable
        if dice is not None and self._renamings:
            names = dice.choice([names, *self._renamings])
        lost = {name: sum(len(data or b"") for _, data in held.pending) for name, held in self._names.items()}
        kept = {name: self._survives(held, dice) for name, held in names.items()}
        for path in self.directory.iterdir():
            if path.is_file():
                path.unlink()
        for name, content in kept.items():
            (self.directory / name).write_bytes(content)
        self.begin()
        return lost

    @staticmethod
    def _survives(held: _File, dice: random.Random | None) -> bytes:
        content = bytearray(held.flushed)
        if dice is None:
            return bytes(content)
        manner, sector = dice.choice(("prefix", "any", "any")), dice.choice(SECTORS)
        last = dice.randint(0, len(held.pending))
        share = dice.random()
        for number, (offset, data) in enumerate(held.pending):
            if manner == "prefix" and number >= last:
                break
            if data is None:
                if manner == "prefix" or dice.random() < share:
                    _apply(content, offset, None)
                continue
            for at in range(0, len(data), sector):
                torn = manner == "any" or number == last - 1
                if not torn or dice.random() < share:
                    _apply(content, offset + at, data[at : at + sector])
        return bytes(content)
