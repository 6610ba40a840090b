# SPDX-License-Identifier: GPL-2.0
"""Disks of virtio, driven by qtest: what a guest's driver would do, without a guest.

The legacy interface, in I/O ports: a queue is one piece of guest memory.
"""

import struct
import time

CONFIG_ADDRESS, CONFIG_DATA = 0xcf8, 0xcfc
BAR, COMMAND, IO_AND_MASTER = 0x10, 0x04, 5
# Registers of the device
GUEST_FEATURES, QUEUE_PFN, QUEUE_NUM, QUEUE_SELECT, QUEUE_NOTIFY, STATUS = 4, 8, 12, 14, 16, 18
ACKNOWLEDGE, DRIVER, DRIVER_OK = 1, 2, 4
NEXT, WRITE = 1, 2              # flags of descriptors
PAGE = 4096
QUEUE = 16 * PAGE               # of guest memory: the rings, and headers in the last page
SECTOR = 512


def rings(base, entries):
    """Where the two rings of a queue are."""
    avail = base + 16 * entries
    return avail, (avail + 6 + 2 * entries + PAGE - 1) // PAGE * PAGE


class Reads:
    """Reads of one sector each, for a queue that is not used yet: what a driver writes."""

    def __init__(self, sectors, area):
        """At @area of guest memory are their headers, their answers, and what is read."""
        count = len(sectors)
        self.area, self.answers = area, area + 16 * count
        self.data = (self.answers + count + PAGE - 1) // PAGE * PAGE
        self.sectors = sectors
        self.headers = b"".join(struct.pack("<IIQ", 0, 0, s) for s in sectors) + b"\xff" * count
        self.table = b"".join(
            struct.pack("<QIHHQIHHQIHH", area + 16 * i, 16, NEXT, 3 * i + 1,
                        self.data + SECTOR * i, SECTOR, NEXT | WRITE, 3 * i + 2,
                        self.answers + i, 1, WRITE, 0)
            for i in range(count))
        self.avail = struct.pack(f"<HH{count}H", 0, count, *range(0, 3 * count, 3))


class Device:
    """The nth device of a kind on bus 0, with its queues in guest memory from @memory on."""

    ident = None                # device and vendor
    first_queue = 0             # for requests

    def __init__(self, machine, nth=0, memory=16 << 20, queues=1):
        self.qtest = machine.qtest
        self.port = 0xc000 + (memory >> 20 << 8)
        self.memory = memory
        queues += self.first_queue
        self.seen = [0] * queues
        slots = [s for s in range(32) if self.config_read(s, 0) == self.ident]
        self.config_write(slots[nth], BAR, self.port)
        self.config_write(slots[nth], COMMAND, IO_AND_MASTER)
        self.out("b", STATUS, 0)
        self.out("b", STATUS, ACKNOWLEDGE | DRIVER)
        self.out("l", GUEST_FEATURES, 0)
        for queue in range(queues):
            self.out("w", QUEUE_SELECT, queue)
            self.entries = self.number(f"inw {self.port + QUEUE_NUM:#x}")
            self.write(self.base(queue), bytes(QUEUE))
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
        return self.memory + queue * QUEUE

    def request(self, queue, header, taken, given, answer_size, answer_first):
        """A chain of @header, parts of memory that are taken from and that are given to, and an
        answer, which comes first or last of what is given. Returns the answer."""
        base = self.base(queue)
        avail, _ = rings(base, self.entries)
        at_header = base + QUEUE - PAGE
        answer = at_header + PAGE // 2
        self.write(at_header, header)
        self.write(answer, b"\xff" * answer_size)
        given = [(answer, answer_size), *given] if answer_first else [*given, (answer, answer_size)]
        chain = [(a, n, 0) for a, n in [(at_header, len(header)), *taken]] + \
            [(a, n, WRITE) for a, n in given]
        self.write(base, b"".join(
            struct.pack("<QIHH", a, n, f | (NEXT if i + 1 < len(chain) else 0), i + 1)
            for i, (a, n, f) in enumerate(chain)))
        at = self.seen[queue]
        self.write(avail + 4 + 2 * (at % self.entries), struct.pack("<H", 0))
        self.seen[queue] = at = (at + 1) % (1 << 16)
        self.write(avail + 2, struct.pack("<H", at))
        self.kick(queue)
        self.wait(queue)
        return self.read(answer, answer_size)

    def kick(self, queue):
        self.out("w", QUEUE_NOTIFY, queue)

    def wait(self, queue):
        """Until all requests of a queue came back."""
        _, used = rings(self.base(queue), self.entries)
        deadline = time.time() + 120
        while self.number(f"readw {used + 2:#x}") != self.seen[queue]:
            if time.time() > deadline:
                raise TimeoutError("a request of a disk does not come back")
            time.sleep(0.01)

    def transfer(self, write, sector, parts, queue):
        """True: the disk did it."""
        raise NotImplementedError

    def store(self, sector, parts, data, queue=0):
        """Put @data into these parts of memory, and write it to the disk."""
        at = 0
        for address, size in parts:
            self.write(address, data[at:at + size])
            at += size
        return self.transfer(True, sector, parts, queue)

    def load(self, sector, parts, queue=0):
        """What the disk reads into @parts, None if it does not."""
        for address, size in parts:
            self.write(address, b"\xee" * size)
        if not self.transfer(False, sector, parts, queue):
            return None
        return b"".join(self.read(a, n) for a, n in parts)


class Blk(Device):
    ident = 0x10011af4

    def transfer(self, write, sector, parts, queue):
        header = struct.pack("<IIQ", write, 0, sector)
        return self.request(queue, header, parts if write else [], [] if write else parts, 1,
                            False) == b"\0"

    def prepare(self, queue, reads):
        """Put many at once into a queue; kick() starts them."""
        self.write(reads.area, reads.headers)
        self.write(self.base(queue), reads.table)
        self.write(rings(self.base(queue), self.entries)[0], reads.avail)
        self.seen[queue] = len(reads.sectors)

    def finish(self, queue, reads):
        """How many of them failed, and what was read."""
        self.wait(queue)
        answers = self.read(reads.answers, len(reads.sectors))
        return len(answers) - answers.count(0), self.read(reads.data, SECTOR * len(reads.sectors))


class Scsi(Device):
    """Target 0 of a virtio-scsi controller."""

    ident = 0x10041af4
    first_queue = 2             # after those for control and events

    def command(self, cdb, taken=(), given=(), queue=0):
        header = struct.pack("<8sQBBB32s", bytes([1, 0, 0x40]), 0, 0, 0, 0, cdb)
        answer = self.request(self.first_queue + queue, header, taken, given, 12 + 96, True)
        status, response = answer[10:12]
        return status == 0 and response == 0

    def transfer(self, write, sector, parts, queue):
        blocks = sum(n for _, n in parts) // SECTOR
        # The first command after a reset only tells of it
        ready = any(self.command(bytes(6), queue=queue) for _ in range(3))
        cdb = struct.pack(">BBIBHB", 0x2a if write else 0x28, 0, sector, 0, blocks, 0)
        return ready and self.command(cdb, parts if write else [], [] if write else parts, queue)
