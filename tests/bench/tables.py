# SPDX-License-Identifier: GPL-2.0
"""The tables of a bench: what was measured, how it grows, what it is beside the least possible."""
import math

import asked
import guests
from guests import KERNELS, insn, size, times

OPS = ("register", "unregister", "clone", "unclone", "update")
FIT_FROM = 16 << 20             # bytes; below, what does not grow is most of the cost
PIN_REFERENCES = 1024           # the kernel's GUP_PIN_COUNTING_BIAS
NOTE = "Instructions of the guest, user and kernel. Ratios are stock / patched.\n"


def by_name(part):
    """{name: {kernel: record}}, in the order of patched."""
    found = {}
    for kernel in reversed(KERNELS):
        for record in part[kernel]:
            found.setdefault(record["name"], {})[kernel] = record
    return found


def pairs(part):
    for name, records in by_name(part).items():
        stock, patched = (records.get(k, {}) for k in KERNELS)
        yield name, patched or stock, stock, patched


def of_backing(part, kernel, backing):
    """Successful registrations, by size."""
    return sorted((r for r in part[kernel] if r["backing"] == backing and r["result"] == "ok"),
                  key=lambda r: r["bytes"])


def backings(part):
    return {r["backing"]: r["title"] for k in KERNELS for r in part[k]}


def exponent(records, key):
    """The slope of log(cost) over log(size): 1 is proportional, 0 constant. By least squares."""
    points = [(math.log(r["bytes"]), math.log(max(r[key], 1)))
              for r in records if r["bytes"] >= FIT_FROM]
    if len(points) < 3:
        return None
    mean_x, mean_y = (sum(p[i] for p in points) / len(points) for i in (0, 1))
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / \
        sum((x - mean_x) ** 2 for x, _ in points)


def number(value, digits=2):
    return "" if value is None else f"{value:.{digits}f}"


def register_table(part):
    rows = [["buffer", "size", "kernel", *OPS, "ratio, register", "pins", "metadata", "peak"]]
    for _, any_one, stock, patched in pairs(part):
        for kernel, record in zip(KERNELS, (stock, patched)):
            if not record:
                continue
            refused = record["result"] if record["result"] != "ok" else ""
            rows.append([any_one["title"], size(any_one, "bytes", 0), kernel,
                         refused or insn(record, "register_insn"),
                         *(insn(record, f"{op}_insn") for op in OPS[1:]),
                         times(stock, patched, "register_insn") if kernel == "patched" else "",
                         str(record.get("pins", "")), size(record, "metadata_bytes"),
                         size(record, "peak_bytes")])
    return guests.markdown(rows, {0, 2})


def growth_table(part):
    rows = [["buffer", "exponent, stock", "patched", "largest", "per entry, stock", "patched",
             "per entry read or folio pinned, stock", "patched"]]
    for backing, title in backings(part).items():
        records = {k: of_backing(part, k, backing) for k in KERNELS}
        sizes = [r[-1]["bytes"] for r in records.values() if r]
        if len(sizes) < len(KERNELS):
            continue
        largest = [next(r for r in records[k] if r["bytes"] == min(sizes)) for k in KERNELS]
        entry, least = ([number(r["register_insn"] / (r["entries"] + with_folios * r["folios"]), 1)
                         for r in largest] for with_folios in (0, 1))
        rows.append([title, *(number(exponent(records[k], "register_insn")) for k in KERNELS),
                     size(largest[0], "bytes", 0), *entry, *least])
    return guests.markdown(rows, {0}) + (
        "\nThe cost of registration is fitted as size ^ exponent, from "
        f"{FIT_FROM >> 20} MiB up. Entries are the page table entries that map the largest "
        "buffer that both kernels register: each of them has to be read and each folio has to "
        "be pinned, whatever the kernel.\n")


def atomics_table(part):
    rows = [["buffer", "size", "kernel", *(head for op in ("register", "unregister")
                                           for head in (op, "per page", "refs"))]]
    rows[0] += ["update", "clone", "pin, unpin", "as runs", "ratio, register"]
    for _, any_one, stock, patched in pairs(part):
        for kernel, record in zip(KERNELS, (stock, patched)):
            if not record:
                continue
            row = [any_one["title"], size(any_one, "bytes", 0), kernel]
            for op in ("register", "unregister"):
                ops = record.get(f"{op}_ref_ops")
                row += [str(ops if ops is not None else record["result"]),
                        per_page(ops, record["bytes"] >> 12), refs(record, op)]
            row += [str(record.get(key, "")) for key in
                    ("update_ref_ops", "clone_ref_ops", "pin_pages_ref_ops", "pin_runs_ref_ops")]
            rows.append([*row, times(stock, patched, "register_ref_ops")
                         if kernel == "patched" else ""])
    return guests.markdown(rows, {0, 2}) + (
        "\nAtomic operations on the reference counts of the buffer's folios, each counted by the "
        "kernel, for the whole buffer and for each 4K page of it. Refs are the references that "
        f"they added and dropped: a pin is {PIN_REFERENCES} of them on a folio of one page, and "
        "one on a larger folio. The columns before the ratio are for pinning all of the buffer "
        "and releasing it again, by `pin_user_pages_fast()` and, where there is one, by "
        "`pin_user_runs_fast()`.\n\n"
        "Pinning and unpinning a larger folio goes with an operation on its count of pins "
        "(`_pincount`) each time. The kernel has no event for those, and they are not in these "
        "figures.\n")


def small_table(part):
    rows = [["buffer", "in a call", "", "register, stock", "patched", "patched / stock",
             "unregister, stock", "patched", "patched / stock"]]
    for _, any_one, stock, patched in pairs(part):
        row = [size(any_one, "bytes", 0), str(any_one["buffers"]), any_one["who"]]
        for key in ("register_insn", "unregister_insn"):
            row += [number(r[key] / r["buffers"], 0) if key in r else "" for r in (stock, patched)]
            value = guests.ratio(stock, patched, key)
            row.append(number(value and 1 / value, 3))
        rows.append(row)
    return guests.markdown(rows, {2}) + (
        "\nFor each buffer, of a call for so many. Buffers that are charged count towards "
        "RLIMIT_MEMLOCK; free are those of who has CAP_IPC_LOCK.\n")


def holds_table(part):
    rows = [["buffer", "size", "call", "longest, stock", "patched", "in all, stock", "patched",
             "times, stock", "patched"]]
    for _, any_one, stock, patched in pairs(part):
        row = [any_one["title"], size(any_one, "bytes", 0), any_one["call"]]
        row += [insn(r, "hold_insn") or r.get("result", "") for r in (stock, patched)]
        row += [insn(r, "held_insn") for r in (stock, patched)]
        row += [str(r.get("times", "")) for r in (stock, patched)]
        rows.append(row)
    return guests.markdown(rows, {0, 2}) + (
        "\nFor how many instructions the lock of the ring, or one of those of both rings, is held "
        "by a call: without letting go of it, in all, and how many times it is taken. The cost of "
        "the watchpoint that tells it is in the figures: the call \"nothing\" shows how much.\n\n"
        "Each time that the lock is let go, who submits may get it, and the call has to wait: that "
        "is what many small buffers in one call pay beside a submitter. On one CPU, where "
        "instructions are exact, nobody waits, so the times are what is bounded.\n")


def per_page(ops, pages):
    if not ops:
        return ""
    return f"{ops / pages:.3g}" if ops / pages > 0.1 else f"1 / {pages / ops:.0f}"


def refs(record, op):
    """References added and dropped by an operation, what is none left out."""
    counts_of = ((sign, record.get(f"{op}_refs_{what}", 0))
                 for sign, what in (("+", "taken"), ("-", "dropped")))
    return " ".join(f"{sign}{count}" for sign, count in counts_of if count)


def io_table(part):
    rows = [["buffer", "target", "call", "length", "segments", "stock", "patched", "ratio"]]
    for _, any_one, stock, patched in pairs(part):
        rows.append([any_one["buffer"], any_one["target"], any_one["op"],
                     size(any_one, "bytes", 0), str(any_one["segments"]),
                     insn(stock, "insn_per_io"), insn(patched, "insn_per_io"),
                     times(stock, patched, "insn_per_io")])
    return guests.markdown(rows, {0, 1, 2})


def process_table(part):
    rows = [["fio --ioengine=io_uring", "stock", "patched", "ratio"]]
    for name, _, stock, patched in pairs(part):
        rows.append([name, insn(stock, "insn"), insn(patched, "insn"),
                     f"{guests.ratio(stock, patched, 'insn') or 0:.4f} ×"])
    return guests.markdown(rows, {0})


def pin_table(part):
    rows = [["memory", "size", "way", "figure", "stock", "patched", "ratio"]]
    for _, any_one, stock, patched in pairs(part):
        keys = {"time": ("pin_insn", "unpin_insn"), "irqsoff": ("irqsoff_usec",),
                "memory": ("beyond_bytes",)}[any_one["part"]]
        for key in keys:
            rows.append([any_one["title"], size(any_one, "bytes", 0),
                         any_one["name"].rsplit("/", 1)[1], key,
                         *(str(r.get(key, "")) for r in (stock, patched)),
                         times(stock, patched, key)])
    return guests.markdown(rows, {0, 2, 3})


def place_table(part):
    rows = [["memory", "size", "figure", "stock", "per page", "patched", "per page", "ratio"]]
    for _, any_one, stock, patched in pairs(part):
        for op in ("register", "unregister"):
            key = f"{op}_insn"
            row = [any_one["title"], size(any_one, "bytes", 0), op]
            for record in (stock, patched):
                row += [insn(record, key) or record.get("result", ""),
                        f"{record[key] / record['pages']:.4g}" if key in record else ""]
            rows.append([*row, times(stock, patched, key)])
    return guests.markdown(rows, {0, 2})


def short_call_table(part):
    rows = [["memory", "pages a call", "pages, stock", "patched",
             *(f"runs as {way}" for way in asked.FORMATS)]]
    names = by_name(part)
    for memory in ("4k", "thp"):
        for pages in asked.CALL_PAGES:
            found = [asked.figure(names, f"{memory}/{way}/{pages}", kernel, "pin_insn", "calls")
                     for kernel, way in (("stock", "pages"), ("patched", "pages"),
                                         *(("patched", way) for way in asked.FORMATS))]
            rows.append([names[f"{memory}/pages/{pages}"]["patched"]["title"], str(pages),
                         *(number(value, 0) for value in found)])
    return guests.markdown(rows, {0}) + (
        "\nInstructions from the call of `pin_user_pages_fast()` or `pin_user_runs_fast()` to its "
        "return, into a chunk that has room for as many runs as there are pages.\n")


def locked_table(part):
    rows = [["memory", "what", "stock", "per page", "patched", "per page"]]
    for name, any_one, stock, patched in pairs(part):
        if any_one["kind"] == "short":
            continue
        ops = ("pin", "unpin") if any_one["kind"] == "whole" else (any_one["way"],)
        for op in ops:
            row = [any_one["title"], f"{op}, {any_one['way']}" if len(ops) > 1 else op]
            for record in (stock, patched):
                value = record.get(f"{op}_locked")
                row += ["", ""] if value is None else [str(value),
                                                       per_page(value, record["pages"])]
            rows.append(row)
    return guests.markdown(rows, {0, 1}) + (
        "\nLocked instructions, all of them, whatever they change: reference counts, counts of "
        "pins (`_pincount`), flags such as PG_referenced, statistics, locks. "
        "64 MiB of each memory.\n")


def counts(record):
    """All of a record that should be small."""
    return {key: value for key, value in record.items() if isinstance(value, int) and
            (key == "insn" or
             key.endswith(("_insn", "_locked", "_per_io", "_usec", "_ref_ops")) or
             key in ("metadata_bytes", "peak_bytes", "beyond_bytes", "times"))}


def worse_table(parts):
    """Where patched takes more than stock, a row for each kind of figure."""
    rows = [["part", "figure", "compared", "more than 1 % worse", "most", "where", "stock",
             "patched"]]
    for name, part in parts.items():
        compared, worse = {}, {}
        for where, _, stock, patched in pairs(part):
            old = counts(stock)
            for key, value in counts(patched).items():
                if key not in old:
                    continue
                compared[key] = compared.get(key, 0) + 1
                if value > 1.01 * old[key]:
                    worse.setdefault(key, []).append((value / max(old[key], 1), where,
                                                      old[key], value))
        for key, found in worse.items():
            most, where, old, new = max(found)
            rows.append([name, key, str(compared[key]), str(len(found)), f"{most:.3f} ×", where,
                         str(old), str(new)])
    return guests.markdown(rows, {0, 1, 5})


# What is asked of the series: a figure of a record on stock over the same on patched, at least.
# A bound that has records of two names compares the first on patched with the second on stock,
# at most. For how long and how often a lock is held is bounded whatever it is on stock.
ABSOLUTE = ("hold_insn", "times")
HOLD_AT_MOST = 100000           # 100 us at 1 ns for each instruction
HOLD_CALLS = ("register", "update", "unregister", "clone", "unregister of a clone",
              "clone with replace", "layout", "fdinfo")
BUFFERS_AT_ONCE = 16            # without letting go of the lock, of many in one call
BOUNDS = {
    "register": (
        ("1g/1098437885952", "register_insn", 20000),
        ("2m/17179869184", "register_insn", 70),
        ("thp/1073741824", "register_insn", 70),
        ("mixed-10/1073741824", "register_insn", 20),
        ("mixed-10/1073741824", "unregister_insn", 200),
        ("64k/1073741824", "register_insn", 8),
        ("thp-ptes/1073741824", "register_insn", 8),
        ("4k/1073741824", "register_insn", 2),
        ("4k/1073741824", "unregister_insn", 1.3),
        ("1g/1073741824", "unregister_insn", 1),
    ),
    "small": tuple((f"{size}K/{nr}/{who}", f"{op}_insn", 1)
                   for size in (4, 8, 16, 64, 256) for nr in (1, 512, 8192)
                   for who in ("charged", "free") for op in ("register", "unregister")),
    "holds": (*((f"{memory}/{call}", "hold_insn", HOLD_AT_MOST)
                for memory in ("4k", "1g") for call in HOLD_CALLS),
              *((f"{nr}/{call}", "times", nr // BUFFERS_AT_ONCE)
                for nr in (512, 8192) for call in ("register", "unregister"))),
    "io": (
        ("thp/null_blk/READ_FIXED/1x4096", "thp/null_blk/READ_FIXED/1x4096", 0.96),
        ("mixed/null_blk/READ_FIXED/1x4096", "thp/null_blk/READ_FIXED/1x4096", 0.96),
        ("mixed/null_blk/READ_FIXED/1x65536", "mixed/null_blk/READ_FIXED/1x65536", 0.81),
        ("mixed/null_blk/READ_FIXED/1x1048576", "mixed/null_blk/READ_FIXED/1x1048576", 0.12),
        *((f"{buffer}/null_blk/READV_FIXED/{segments}x4096",) * 2 + (0.93,)
          for buffer in ("thp", "mixed") for segments in (64, 256, 1024)),
        # Direct I/O that is not registered, whose bvecs are runs
        *((f"thp/{target}/{op}/1x{size}",) * 2 + (bound,)
          for target in ("null_blk", "ext4") for op in ("READ", "WRITE")
          for size, bound in ((4096, 1), (65536, 0.9), (1048576, 0.6))),
        *((f"4k/{target}/{op}/1x{size}",) * 2 + (1,)
          for target in ("null_blk", "ext4") for op in ("READ", "WRITE")
          for size in (4096, 65536, 1048576)),
    ),
    # Where nothing copies
    "files": (
        *((f"thp/{target}/{op}/1x{size}",) * 2 + (bound,)
          for target in ("dm-ext4", "dm-xfs") for op in ("READ", "WRITE")
          for size, bound in ((4096, 1), (65536, 0.9), (1048576, 0.6))),
        *((f"4k/{target}/{op}/1x{size}",) * 2 + (1,)
          for target in ("dm-ext4", "dm-xfs") for op in ("READ", "WRITE")
          for size in (4096, 65536, 1048576)),
    ),
}


def bounds_rows(part, bounds):
    names = by_name(part)
    for patched_name, other, bound in bounds:
        stock_name, key = (other, "insn_per_io") if "/" in other else (patched_name, other)
        stock = names.get(stock_name, {}).get("stock", {}).get(key)
        patched = names.get(patched_name, {}).get("patched", {}).get(key)
        least = stock_name == patched_name and key != "insn_per_io"
        if key in ABSOLUTE and patched:
            least = False
            ratio, met = "", "met" if patched <= bound else "NOT MET"
        elif not stock or not patched:
            ratio, met = "", "not measured"
        elif least:
            times_less = stock / patched
            ratio = f"{times_less:.0f} ×" if times_less > 1000 else f"{times_less:.4g} ×"
            met = "met" if times_less >= bound else "NOT MET"
        else:
            ratio, met = f"{patched / stock:.4f}", "met" if patched <= bound * stock else "NOT MET"
        compared = patched_name if stock_name == patched_name else \
            f"{patched_name}, with {stock_name} on stock"
        yield [compared, key, str(stock or ""), str(patched or ""), ratio,
               f"{'≥' if least else '≤'} {bound}", met]


def most_row(part):
    """No transfer takes more than on stock: the one with the largest ratio."""
    most, where, old, new = max((patched["insn_per_io"] / stock["insn_per_io"], where,
                                 stock["insn_per_io"], patched["insn_per_io"])
                                for where, _, stock, patched in pairs(part) if stock and patched)
    return [f"any transfer, at most: {where}", "insn_per_io", str(old), str(new), f"{most:.4f}",
            "≤ 1", "met" if most <= 1 else "NOT MET"]


def all_bounds_rows(name, part):
    return [*bounds_rows(part, BOUNDS.get(name, ())), *asked.rows(name, by_name(part)),
            *([most_row(part)] if name in ("io", "files") else [])]


def missed(name, part):
    """The bounds that a part does not meet: {(what, figure): sentence}."""
    # Which transfer is the one that takes most is not what the last bound is about.
    return {(what.partition(", at most: ")[0], key):
            f"{name}: {what}: {key} is {patched or 'not known'}, asked {limit}: {met}"
            for what, key, _, patched, _, limit, met in all_bounds_rows(name, part)
            if met != "met"}


def bounds_table(parts):
    rows = [["what", "figure", "stock", "patched", "ratio", "asked", ""]]
    for name, part in parts.items():
        rows += all_bounds_rows(name, part)
    return guests.markdown(rows, {0, 1, 6}) + \
        "\nBounds of pinning are in pin.md; `make run` has some of these of its own.\n"


SECTIONS = {
    "register": (("Registered buffers", register_table), ("How the cost grows", growth_table)),
    "small": (("Small buffers", small_table),),
    "holds": (("The lock of a ring", holds_table),),
    "place": (("By where the memory is", place_table),),
    "count": (("Calls for few pages", short_call_table), ("Locked operations", locked_table)),
    "atomics": (("Atomic operations", atomics_table),),
    "io": (("Instructions for each transfer", io_table),),
    "files": (("Instructions for each transfer of a file, where nothing copies", io_table),),
    "fio": (("Whole processes", process_table),),
    "pin": (("Pinning alone", pin_table),),
}


def make(parts):
    """parts: {name: its file}"""
    text = f"<!-- SPDX-License-Identifier: GPL-2.0 -->\n# Results of make bench\n\n{NOTE}"
    for part, sections in SECTIONS.items():
        if part not in parts:
            continue
        for title, table in sections:
            text += f"\n## {title}\n\n{table(parts[part])}"
    text += f"\n## What was asked\n\n{bounds_table(parts)}"
    return text + f"\n## Where patched takes more than stock\n\n{worse_table(parts)}"


README_SIZES = (1 << 30, 64 << 30, 256 << 30, 1 << 40, 64 << 40)
README_BACKINGS = ("4k", "64k", "thp", "2m", "1g")


def for_readme(parts):
    """What a registration takes and costs, for a few sizes that people ask for."""
    rows = [["buffer", "size", "register, stock", "patched", "ratio", "peak memory, stock",
             "patched", "kept, stock", "patched"]]
    for _, any_one, stock, patched in pairs(parts["register"]):
        if any_one["backing"] not in README_BACKINGS or any_one["bytes"] not in README_SIZES:
            continue
        shown = [r.get("result", "") if r.get("result") != "ok" else insn(r, "register_insn")
                 for r in (stock, patched)]
        rows.append([any_one["title"], size(any_one, "bytes", 0), *shown,
                     times(stock, patched, "register_insn"),
                     *(size(r, key) for key in ("peak_bytes", "metadata_bytes")
                       for r in (stock, patched))])
    return guests.markdown(rows, {0}) + "\n" + NOTE + beside_4k(parts)


def beside_4k(parts):
    """What the row of 4K pages does not show, and is most of the time that it takes."""
    if "count" not in parts:
        return ""
    names = by_name(parts["count"])
    found = [asked.figure(names, "4k/register/all", kernel, "register_locked", "pages")
             for kernel in KERNELS]
    if None in found:
        return ""
    return (f"\n4K pages: instructions are not what takes the time there. Of them {found[0]:.2f} for "
            f"each page are locked on stock, {found[1]:.2f} on patched, and each page's `struct page` "
            "has to come from memory on both.\n")


# What a user of large or scattered transfers has from the series, and where there is nothing
README_TRANSFERS = (
    ("READ 4K, not registered", "READ/1x4096"),
    ("READ 64K, not registered", "READ/1x65536"),
    ("READ 1M, not registered", "READ/1x1048576"),
    ("READ 516K, not registered", "READ/1x528384"),
    ("READ_FIXED 516K", "READ_FIXED/1x528384"),
    ("READ_FIXED 1M", "READ_FIXED/1x1048576"),
    ("READV_FIXED, 64 parts of 4K", "READV_FIXED/64x4096"),
    ("READV_FIXED, 256 parts of 4K", "READV_FIXED/256x4096"),
    ("READ_FIXED 64K", "READ_FIXED/1x65536"),
    ("READ_FIXED 4K", "READ_FIXED/1x4096"),
)


def transfers_for_readme(part):
    names = by_name(part)
    buffers = ("thp", "mixed", "4k")
    rows = [["transfer", *(f"{buffer}, {kernel}" for buffer in
                           ("THP", "THP with odd pages", "4K pages") for kernel in KERNELS)]]
    for title, name in README_TRANSFERS:
        records = [names.get(f"{buffer}/null_blk/{name}", {}) for buffer in buffers]
        rows.append([title, *(insn(record.get(kernel, {}), "insn_per_io")
                              for record in records for kernel in KERNELS)])
    return guests.markdown(rows, {0})
