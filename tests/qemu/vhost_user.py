# SPDX-License-Identifier: GPL-2.0
"""A client of vhost-user-blk: what a machine's QEMU would say, and its guest's driver do."""

import mmap
import os
import socket
import struct
import time

from virtio import SECTOR, rings

GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 1, 2, 3, 5
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE = 8, 9, 10
SET_VRING_KICK, SET_VRING_CALL = 12, 13
ADD_MEM_REG, REM_MEM_REG = 37, 38
VERSION = 1                     # of the protocol, in the flags of each message
VERSION_1 = 1 << 32             # of virtio, a feature
USER = 0x100000000              # where guest memory is said to be in the client
ENTRIES = 1024                  # of the queue, which is the first of guest memory


class Memory:
    """A piece of guest memory at a guest's address."""

    def __init__(self, size, at=0):
        self.fd = os.memfd_create("guest")
        os.ftruncate(self.fd, size)
        self.bytes = mmap.mmap(self.fd, size)
        self.region = struct.pack("<QQQQ", at, size, USER + at, 0)

    def close(self):
        self.bytes.close()
        os.close(self.fd)


class Client:
    """A connection with one queue. Ends with its context, or with end()."""

    def __init__(self, path, memory):
        self.memory, self.seen = memory.bytes, 0
        self.kick_fd, self.call_fd = os.eventfd(0), os.eventfd(0)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        self.socket.connect(str(path))
        self.send(SET_OWNER)
        self.sync()                             # the client before it has gone
        self.memory[:64 << 10] = bytes(64 << 10)
        self.send(SET_FEATURES, struct.pack("<Q", VERSION_1))
        self.table(memory)
        avail, used = rings(USER, ENTRIES)
        self.send(SET_VRING_NUM, struct.pack("<II", 0, ENTRIES))
        self.send(SET_VRING_BASE, struct.pack("<II", 0, 0))
        self.send(SET_VRING_ADDR, struct.pack("<IIQQQQ", 0, 0, USER, used, avail, 0))
        self.send(SET_VRING_CALL, struct.pack("<Q", 0), self.call_fd)
        self.send(SET_VRING_KICK, struct.pack("<Q", 0), self.kick_fd)
        self.sync()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
        os.close(self.kick_fd)
        os.close(self.call_fd)

    def end(self):
        self.socket.close()

    def send(self, request, payload=b"", *fds):
        message = struct.pack("<III", request, VERSION, len(payload)) + payload
        socket.send_fds(self.socket, [message], fds)

    def sync(self):
        """The server has done what it was told; its memory is registered again, too."""
        self.send(GET_FEATURES)
        answer = b""
        while len(answer) < 20:
            got = self.socket.recv(20 - len(answer))
            if not got:
                raise EOFError("the server has gone")
            answer += got

    def table(self, *memory):
        """Tell of all memory anew."""
        self.send(SET_MEM_TABLE, struct.pack("<II", len(memory), 0) +
                  b"".join(m.region for m in memory), *(m.fd for m in memory))

    def add(self, memory):
        self.send(ADD_MEM_REG, bytes(8) + memory.region, memory.fd)

    def remove(self, memory):
        self.send(REM_MEM_REG, bytes(8) + memory.region)

    def more(self):
        """One more request, in an entry whose request may be in flight."""
        avail, _ = rings(0, ENTRIES)
        at = avail + 4 + 2 * (self.seen % ENTRIES)
        self.memory[at:at + 2] = struct.pack("<H", 0)
        self.seen = (self.seen + 1) % (1 << 16)
        self.memory[avail + 2:avail + 4] = struct.pack("<H", self.seen)

    def prepare(self, reads):
        """Put them into the queue, whose requests of before have all come back."""
        count = len(reads.sectors)
        avail, _ = rings(0, ENTRIES)
        self.memory[reads.area:reads.area + len(reads.headers)] = reads.headers
        self.memory[reads.data:reads.data + count * SECTOR] = b"\xee" * count * SECTOR
        self.memory[:len(reads.table)] = reads.table
        for i in range(count):
            at = avail + 4 + 2 * ((self.seen + i) % ENTRIES)
            self.memory[at:at + 2] = struct.pack("<H", 3 * i)
        self.seen = (self.seen + count) % (1 << 16)
        self.memory[avail + 2:avail + 4] = struct.pack("<H", self.seen)

    def kick(self):
        os.eventfd_write(self.kick_fd, 1)

    def done(self):
        """Have all requests come back?"""
        _, used = rings(0, ENTRIES)
        return struct.unpack_from("<H", self.memory, used + 2)[0] == self.seen

    def finish(self, reads):
        """Wait for them. Returns how many failed, and what was read."""
        deadline = time.time() + 120
        while not self.done():
            if time.time() > deadline:
                raise TimeoutError("requests do not come back")
            time.sleep(0.001)
        answers = self.memory[reads.answers:reads.answers + len(reads.sectors)]
        return len(answers) - answers.count(0), \
            self.memory[reads.data:reads.data + SECTOR * len(reads.sectors)]
