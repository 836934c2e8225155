# SPDX-License-Identifier: GPL-2.0
"""The physical memory in a dump that the host of a virtual machine took.

Such a dump (QEMU's `dump-guest-memory`, what `virsh dump --memory-only` calls) is
the guest's memory and little else: the host knows no VMCOREINFO unless the guest
handed it over, and QEMU's KDUMP files name no architecture. But the kernel keeps its
VMCOREINFO note in memory, at the beginning of a page, and so does vigil its record.

Formats: ELF, and makedumpfile's compressed one (KDUMP) with pages that are plain or
compressed by zlib.
"""

import functools
import mmap
import struct
import zlib
from typing import Iterator, List, Tuple

PAGE = 4096

# A note's name as it is in memory, and what the kernel begins the text with. Before
# them: the lengths of name and text, and the type.
NOTE = struct.Struct("<III")
NOTE_NAME = b"VMCOREINFO\0\0"
NOTE_BEGIN = NOTE_NAME + b"OSRELEASE="
NOTE_MAX = 4 * PAGE


class BadDump(Exception):
    """The dump cannot be understood; says why."""


class Absent(Exception):
    """There is no such memory in the dump."""


class ElfMemory:
    """The memory in an ELF file."""

    def __init__(self, path: str):
        with open(path, "rb") as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if len(self.data) < 64 or self.data[:6] != b"\x7fELF\x02\x01":
            raise BadDump("it is no ELF file of a 64-bit little-endian machine")
        (begin,) = struct.unpack_from("<Q", self.data, 32)
        size, count = struct.unpack_from("<HH", self.data, 54)
        (sections,) = struct.unpack_from("<Q", self.data, 40)
        # PN_XNUM: the first section has the number.
        if count == 0xFFFF and sections + 48 <= len(self.data):
            (count,) = struct.unpack_from("<I", self.data, sections + 44)
        if size < 56 or begin + size * count > len(self.data):
            raise BadDump("its program headers are not all there")
        self.parts: List[Tuple[int, int, int]] = []
        for number in range(count):
            kind, _, offset, _, address, length = struct.unpack_from(
                "<IIQQQQ", self.data, begin + number * size)
            length = min(length, max(0, len(self.data) - offset))
            # PT_LOAD
            if kind == 1 and length:
                self.parts.append((address, length, offset))

    def segments(self) -> List[Tuple[int, int]]:
        """The memory that there is: addresses and lengths."""
        return [(address, length) for address, length, _ in self.parts]

    def read(self, address: int, size: int) -> bytes:
        """Bytes from an address on."""
        for begin, length, offset in self.parts:
            if begin <= address and address + size <= begin + length:
                at = offset + address - begin
                return self.data[at : at + size]
        raise Absent(f"no memory at {address:#x} in the dump")

    def find(self, text: bytes, at: int) -> Iterator[int]:
        """The pages that have a text at this offset."""
        for begin, length, offset in self.parts:
            found = self.data.find(text, offset, offset + length)
            while found >= 0:
                page = begin + found - offset - at
                if page % PAGE == 0 and page >= begin:
                    yield page
                found = self.data.find(text, found + 1, offset + length)


class KdumpMemory:
    """The memory in a file in makedumpfile's compressed format."""

    DESC = struct.Struct("<QIIQ")
    ZLIB = 1
    OTHERS = {2: "lzo", 4: "snappy", 0x20: "zstd"}

    def __init__(self, path: str):
        with open(path, "rb") as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if len(self.data) < PAGE or not self.data[:8] == b"KDUMP   ":
            raise BadDump("it is no file in makedumpfile's compressed format")
        version, = struct.unpack_from("<I", self.data, 8)
        self.block, sub, bitmaps, pages = struct.unpack_from("<IIII", self.data, 428)
        if self.block not in (PAGE, 4 * PAGE, 16 * PAGE) or not 1 <= version <= 6:
            raise BadDump("its header makes no sense")
        # The number of pages has 64 bits from version 6 on.
        if version >= 6 and len(self.data) >= self.block + 104:
            (pages,) = struct.unpack_from("<Q", self.data, self.block + 96)
        half = bitmaps * self.block // 2
        bitmap = (1 + sub) * self.block + half
        self.descs = (1 + sub + bitmaps) * self.block
        if self.descs > len(self.data):
            raise BadDump("it is cut off")
        # Of two bitmaps the second one says which pages are in the file.
        self.bitmap = self.data[bitmap : bitmap + min(half, (pages + 7) // 8)]
        # For each 512 pages, how many come before them.
        self.before = [0]
        for at in range(0, len(self.bitmap), 64):
            count = int.from_bytes(self.bitmap[at : at + 64], "little").bit_count()
            self.before.append(self.before[-1] + count)
        self.page = functools.lru_cache(4096)(self.whole_page)

    def is_there(self, number: int) -> bool:
        """Whether a page is in the file."""
        return number // 8 < len(self.bitmap) and bool(self.bitmap[number // 8] >> number % 8 & 1)

    def part_of_page(self, number: int, size: int) -> bytes:
        """The beginning of a page."""
        if not self.is_there(number):
            raise Absent(f"no page at {number * self.block:#x} in the dump")
        group = self.bitmap[number // 512 * 64 : number // 8 + 1]
        bits = int.from_bytes(group, "little") & (1 << number % 512) - 1
        index = self.before[number // 512] + bits.bit_count()
        place = self.descs + index * self.DESC.size
        if place + self.DESC.size > len(self.data):
            raise Absent(f"the page at {number * self.block:#x} is cut off")
        offset, length, flags, _ = self.DESC.unpack_from(self.data, place)
        data = self.data[offset : offset + length]
        for flag, name in self.OTHERS.items():
            if flags & flag:
                raise BadDump(f"its pages are compressed by {name}: have it taken as kdump-zlib or elf")
        if len(data) < length:
            raise Absent(f"the page at {number * self.block:#x} is cut off")
        if flags & self.ZLIB:
            try:
                return zlib.decompressobj().decompress(data, size)
            except zlib.error as error:
                raise Absent(f"the page at {number * self.block:#x} is damaged: {error}") from error
        return data[:size]

    def whole_page(self, number: int) -> bytes:
        """A page."""
        return self.part_of_page(number, self.block)

    def segments(self) -> List[Tuple[int, int]]:
        """The memory that there may be: addresses and lengths."""
        return [(0, 8 * len(self.bitmap) * self.block)]

    def read(self, address: int, size: int) -> bytes:
        """Bytes from an address on."""
        parts = []
        while size > 0:
            number, begin = divmod(address, self.block)
            part = self.page(number)[begin : begin + size]
            if not part:
                raise Absent(f"the page at {number * self.block:#x} is damaged")
            parts.append(part)
            address += len(part)
            size -= len(part)
        return b"".join(parts)

    def find(self, text: bytes, at: int) -> Iterator[int]:
        """The pages that have a text at this offset."""
        for number in range(8 * len(self.bitmap)):
            if not self.is_there(number):
                continue
            for begin in range(0, self.block, PAGE):
                end = begin + at + len(text)
                try:
                    if self.part_of_page(number, end)[begin + at :] == text:
                        yield number * self.block + begin
                except Absent:
                    pass


def open_memory(path: str):
    """The memory in a dump."""
    with open(path, "rb") as file:
        begin = file.read(8)
    return ElfMemory(path) if begin.startswith(b"\x7fELF") else KdumpMemory(path)


def vmcoreinfos(memory) -> Iterator[bytes]:
    """The texts of the notes in memory that may be VMCOREINFO: the kernel's own, and what
    one that ran before it has left."""
    for page in memory.find(NOTE_BEGIN, NOTE.size):
        try:
            name, length, kind = NOTE.unpack(memory.read(page, NOTE.size))
            if name == len(NOTE_NAME) - 1 and kind == 0 and length <= NOTE_MAX:
                yield memory.read(page + NOTE.size + len(NOTE_NAME), length)
        except Absent:
            pass
