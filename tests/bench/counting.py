# SPDX-License-Identifier: GPL-2.0
"""Counts of the emulator's own (count_plugin.c), for the records of count_bench."""
import os
import subprocess

import guests
from guests import TOP, Failure

SOURCE = os.path.join(TOP, "tests/bench/count_plugin.c")
PIN = ("pin_user_pages_fast", "pin_user_runs_fast")
TICK = 200                      # locked instructions that an interrupt may add
UNPIN = ("unpin_user_pages", "unpin_user_runs")


def build_plugin(args):
    plugin = os.path.join(args.results, "count_plugin.so")
    os.makedirs(args.results, exist_ok=True)
    subprocess.run(["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
                    "-o", plugin, SOURCE], check=True)
    return plugin


def addresses(bzimage):
    """{function: address} of what is counted, from the vmlinux that the image is made of."""
    vmlinux = os.path.join(os.path.dirname(bzimage), "../../../vmlinux")
    try:
        names = subprocess.run(["nm", "--defined-only", vmlinux], stdout=subprocess.PIPE,
                               text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failure(f"{vmlinux}: {error}") from error
    found = {name: address for address, _, name in
             (line.split(maxsplit=2) for line in names.splitlines()) if name in PIN + UNPIN}
    for name in (PIN[0], UNPIN[0]):
        if name not in found:
            raise Failure(f"no {name} in {vmlinux}")
    return found


def boot(args, kernel, **guest):
    """As guests.boot(), counted; the numbers go to count.txt in the kernel's folder."""
    out = os.path.join(args.results, kernel, "count.txt")
    os.makedirs(os.path.dirname(out), exist_ok=True)
    plugin = f"{build_plugin(args)},out={out}" + "".join(
        f",call={name}:{address}" for name, address in
        sorted(addresses(getattr(args, kernel)).items()))
    return guests.boot(args, kernel, "count", ["count_bench"],
                       qemu_args=["-plugin", plugin], **guest)


def read_counts(args, kernel):
    """{(interval, function or "total"): (calls, instructions, locked)}"""
    path = os.path.join(args.results, kernel, "count.txt")
    try:
        with open(path, encoding="ascii") as f:
            lines = [line.split() for line in f]
    except OSError as error:
        raise Failure(f"{path}: {error}") from error
    return {(int(interval), name): tuple(map(int, numbers))
            for interval, name, *numbers in lines}


def add_counts(args, kernel, records):
    """What was counted in each record's interval, into the record."""
    counted = read_counts(args, kernel)

    def add(record, prefix, name, calls=None):
        if (record["interval"], name) not in counted:
            raise Failure(f"{kernel}: {record['name']}: no call of {name} was counted")
        found, insns, locked = counted[record["interval"], name]
        if calls and found != calls:
            raise Failure(f"{kernel}: {record['name']}: {found} calls of {name}, not {calls}")
        record[f"{prefix}_insn"], record[f"{prefix}_locked"] = insns, locked

    for record in records:
        if record["kind"] == "known":
            locked = counted[record["interval"], "total"][2]
            if not 0 <= locked - record["expected"] <= TICK:
                raise Failure(f"{kernel}: {locked} locked instructions counted where there are "
                              f"{record['expected']}")
        elif record["kind"] == "call":
            add(record, record["way"], "total")
        else:
            which = 0 if record["way"] == "pages" else 1
            add(record, "pin", PIN[which], record["calls"])
            add(record, "unpin", UNPIN[which])
    return [record for record in records if record["kind"] != "known"]
