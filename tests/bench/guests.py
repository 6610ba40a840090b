# SPDX-License-Identifier: GPL-2.0
"""What the measuring scripts share: boot stock and patched, read results, print tables."""
import concurrent.futures
import json
import os
import platform
import re
import subprocess
import sys
import threading
import time

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
RUNNER = os.path.join(TOP, "tests/vm/run")
KERNELS = ("stock", "patched")

# Memory is cleared by "rep stosb" on a CPU with ERMS: an instruction for each byte
# under TCG, most of the time that the guest takes. Nothing that is timed clears any.
CPU = "max,erms=off"

# A guest that waits for the host (a disk, a shared folder) sees as many ticks go by as that
# takes, and no two of its runs are the same. So results stay in its memory, and are printed
# when all is measured.
RESULTS = "/tmp/results.json"
SHOW_RESULTS = ["sh", "-c", f'"$@"; status=$?; cat {RESULTS}; exit $status', "sh"]

print_lock = threading.Lock()


class Failure(Exception):
    pass


def say(text):
    with print_lock:
        print(text, file=sys.stderr, flush=True)


def add_arguments(parser, program, results, required=True):
    """What every script that boots both kernels takes."""
    parser.add_argument("--stock", required=required, metavar="BZIMAGE")
    parser.add_argument("--patched", required=required, metavar="BZIMAGE")
    parser.add_argument("--image", required=required, help=f"guest image that contains {program}")
    parser.add_argument("--results", default=os.path.join(TOP, results), metavar="DIR",
                        help=f"default: {results}")
    parser.add_argument("--one-by-one", action="store_true",
                        help="never boot two guests at once")


def boot(args, kernel, name, command, *, memory, append="", icount=None, disks=(),
         time_limit=900, bzimage=None, qemu_args=()):
    """Runs a guest program that takes --json; returns its status and the seconds it took.

    Results go to NAME.json and NAME.log in the kernel's folder of results. An icount
    of N is 2^N ns of guest time for each instruction.
    """
    out = os.path.join(args.results, kernel)
    os.makedirs(out, exist_ok=True)
    vm = [RUNNER, "--kernel", bzimage or getattr(args, kernel), "--image", args.image,
          "--memory", f"{memory}G", "--append", append,
          "--qemu-arg=-cpu", f"--qemu-arg={CPU}", *(f"--qemu-arg={arg}" for arg in qemu_args),
          "--time-limit", str(time_limit),
          "--log", os.path.join(out, f"{name}.log")]
    command = [*SHOW_RESULTS, *command, "--json", RESULTS]
    if icount is not None:
        vm += ["--icount", str(icount)]
        command += ["--icount", str(icount)]
    for disk in disks:
        vm += ["--disk", disk]
    start = time.monotonic()
    with open(os.path.join(out, f"{name}.json"), "w", encoding="utf-8") as results, \
         subprocess.Popen([*vm, "--", *command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace") as guest:
        for line in guest.stdout:
            if line.startswith("{"):
                results.write(line)
            else:
                say(f"{kernel + ':':8} {line.rstrip()}")
    seconds = time.monotonic() - start
    say(f"{kernel + ':':8} ended with status {guest.returncode} after {seconds:.0f} s")
    return guest.returncode, seconds


def free_memory():
    with open("/proc/meminfo", encoding="ascii") as f:
        for line in f:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / (1 << 20)
    return 0


def boot_all(args, boot_one, memory):
    """boot_one(kernel) for each kernel, at once where there is the memory for that."""
    at_once = len(KERNELS) if (not args.one_by_one and os.cpu_count() >= 2 and
                               free_memory() > len(KERNELS) * memory + 1) else 1
    say(f"booting {' and '.join(KERNELS)}, {'at once' if at_once > 1 else 'one by one'}")
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        futures = {kernel: pool.submit(boot_one, kernel) for kernel in KERNELS}
        return {kernel: future.result() for kernel, future in futures.items()}


def read_results(args, kernel, name):
    """The guest's lines by (type, name)."""
    path = os.path.join(args.results, kernel, f"{name}.json")
    lines = {}
    try:
        with open(path, encoding="ascii") as f:
            for line in f:
                record = json.loads(line)
                lines[record["type"], record["name"]] = record
    except FileNotFoundError:
        pass
    except (ValueError, KeyError) as error:
        raise Failure(f"{path}: {error}") from error
    return lines


def ratio(stock, patched, key):
    """Stock's figure divided by patched's; None unless both have one."""
    if key not in stock or key not in patched:
        return None
    return stock[key] / max(patched[key], 1)


def scaled(value, units, step, digits=None):
    """Three significant digits and a unit, exact below the first unit."""
    if value < step:
        return f"{value}{' ' + units[0] if units[0] else ''}"
    power = 0
    while value >= step and power + 1 < len(units):
        value /= step
        power += 1
    if digits is None:
        digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} {units[power]}"


def insn(record, key):
    return scaled(record[key], ("", "k", "M", "G"), 1000) if key in record else ""


def size(record, key, digits=None):
    return scaled(record[key], ("B", "KiB", "MiB", "GiB"), 1024, digits) if key in record else ""


def times(stock, patched, key):
    value = ratio(stock, patched, key)
    if value is None:
        return ""
    return f"{value:.0f} ×" if value >= 100 else f"{value:.3g} ×"


def markdown(rows, text):
    """A table; the first row is its head, and text the columns that are not numbers."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(row):
        return "| " + " | ".join(cell.ljust(width) if i in text else cell.rjust(width)
                                 for i, (cell, width) in enumerate(zip(row, widths))) + " |"

    rule = "|" + "|".join("-" * (w + 2) if i in text else "-" * (w + 1) + ":"
                          for i, w in enumerate(widths)) + "|"
    return "\n".join([line(rows[0]), rule, *map(line, rows[1:])]) + "\n"


def write_between_marks(path, name, table):
    """Renews what stands in a file between NAME:begin and NAME:end."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    with open(path, encoding="utf-8") as f:
        text = f.read()
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise Failure(f"{path}: not one {begin} followed by one {end}")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    new = f"{before}{begin}\n{table}{end}{after}"
    if new != text:
        with open(path, "w", encoding="utf-8") as f:
            f.write(new)


def kernel_version(path):
    """The version string that a bzImage's header points to."""
    try:
        with open(path, "rb") as f:
            head = f.read(0x8000)
    except OSError:
        return "unknown"
    at = int.from_bytes(head[0x20e:0x210], "little") + 0x200
    return re.split(rb"[\0\n]", head[at:at + 256])[0].decode(errors="replace")


def environment(args, **more):
    try:
        qemu = subprocess.run(["qemu-system-x86_64", "--version"], stdout=subprocess.PIPE,
                              text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        qemu = "unknown"
    return {"qemu": qemu, "cpu": CPU, "machine": platform.machine(),
            "kernels": {k: kernel_version(getattr(args, k)) for k in KERNELS}, **more}
