# SPDX-License-Identifier: GPL-2.0
"""A virtio-blk disk, driven by qtest: what a guest's driver would do, without a guest.

The legacy interface, in I/O ports: a queue is one piece of guest memory.
"""

import struct
import time

CONFIG_ADDRESS, CONFIG_DATA = 0xcf8, 0xcfc
BAR, COMMAND, IO_AND_MASTER = 0x10, 0x04, 5
BLK = 0x10011af4                # device and vendor
# Registers of the device
GUEST_FEATURES, QUEUE_PFN, QUEUE_NUM, QUEUE_SELECT, QUEUE_NOTIFY, STATUS = 4, 8, 12, 14, 16, 18
ACKNOWLEDGE, DRIVER, DRIVER_OK = 1, 2, 4
NEXT, WRITE = 1, 2              # flags of descriptors
IN, OUT = 0, 1                  # types of requests
PAGE = 4096


class Disk:
    """The nth virtio-blk device of bus 0. Uses 64 KiB of guest memory per queue from @memory on."""

    def __init__(self, machine, nth=0, memory=16 << 20, queues=1):
        self.qtest = machine.qtest
        self.port = 0xc000 + nth * 0x100
        self.memory = memory
        self.seen = [0] * queues
        slots = [s for s in range(32) if self.config_read(s, 0) == BLK]
        self.config_write(slots[nth], BAR, self.port)
        self.config_write(slots[nth], COMMAND, IO_AND_MASTER)
        self.out("b", STATUS, 0)
        self.out("b", STATUS, ACKNOWLEDGE | DRIVER)
        self.out("l", GUEST_FEATURES, 0)
        for queue in range(queues):
            self.out("w", QUEUE_SELECT, queue)
            self.entries = self.number(f"inw {self.port + QUEUE_NUM:#x}")
            self.write(self.base(queue), bytes(16 * PAGE))
            self.out("l", QUEUE_PFN, self.base(queue) // PAGE)
        self.out("b", STATUS, ACKNOWLEDGE | DRIVER | DRIVER_OK)

    # ---- what a CPU does ----

    def number(self, line):
        return int(self.qtest(line)[0], 0)

    def out(self, size, register, value):
        self.qtest(f"out{size} {self.port + register:#x} {value:#x}")

    def config_address(self, slot, register):
        self.qtest(f"outl {CONFIG_ADDRESS:#x} {1 << 31 | slot << 11 | register:#x}")

    def config_read(self, slot, register):
        self.config_address(slot, register)
        return self.number(f"inl {CONFIG_DATA:#x}")

    def config_write(self, slot, register, value):
        self.config_address(slot, register)
        self.qtest(f"outl {CONFIG_DATA:#x} {value:#x}")

    def write(self, address, data):
        for i in range(0, len(data), PAGE):
            part = data[i:i + PAGE]
            self.qtest(f"write {address + i:#x} {len(part):#x} 0x{part.hex()}")

    def read(self, address, size):
        data = b""
        while len(data) < size:
            part = min(PAGE, size - len(data))
            data += bytes.fromhex(self.qtest(f"read {address + len(data):#x} {part:#x}")[0][2:])
        return data

    # ---- requests ----

    def base(self, queue):
        return self.memory + queue * 16 * PAGE

    def request(self, kind, sector, parts, queue=0):
        """One request; its data is in the @parts of guest memory, (address, size) each."""
        base = self.base(queue)
        avail = base + 16 * self.entries
        used = (avail + 6 + 2 * self.entries + PAGE - 1) // PAGE * PAGE
        header = base + 15 * PAGE
        status = header + 16
        self.write(header, struct.pack("<IIQB", kind, 0, sector, 0xff))
        flags = WRITE if kind == IN else 0
        chain = [(header, 16, 0), *((a, n, flags) for a, n in parts), (status, 1, WRITE)]
        table = b"".join(struct.pack("<QIHH", a, n, f | (NEXT if i + 1 < len(chain) else 0), i + 1)
                         for i, (a, n, f) in enumerate(chain))
        self.write(base, table)
        at = self.seen[queue]
        self.write(avail + 4 + 2 * (at % self.entries), struct.pack("<H", 0))
        self.seen[queue] = at = (at + 1) % (1 << 16)
        self.write(avail + 2, struct.pack("<H", at))
        self.out("w", QUEUE_NOTIFY, queue)
        deadline = time.time() + 120
        while self.number(f"readw {used + 2:#x}") != at:
            if time.time() > deadline:
                return None
            time.sleep(0.01)
        return self.read(status, 1)[0]

    def store(self, sector, parts, data, queue=0):
        """Write @data to the disk, from memory it is put into before. True: the disk took it."""
        at = 0
        for address, size in parts:
            self.write(address, data[at:at + size])
            at += size
        return self.request(OUT, sector, parts, queue) == 0

    def load(self, sector, parts, queue=0):
        """What the disk reads into @parts, None if it does not."""
        for address, size in parts:
            self.write(address, b"\xee" * size)
        if self.request(IN, sector, parts, queue) != 0:
            return None
        return b"".join(self.read(a, n) for a, n in parts)
