# SPDX-License-Identifier: GPL-2.0
"""What is asked of the patched kernel: a figure at most, or at most so many times another."""
from guests import insn

CALL_PAGES = (1, 4, 16, 64, 256)
FORMATS = ("pfn", "bvec", "phys")

# part: (record, figure, for each of what, limit). The limit is a number, or a factor, a kernel
# and a record of it that has the same figure. What was asked for as a number, in a configuration
# that nobody runs, is the same part of what stock takes.
ASKED = {
    "place": (
        ("nodes", "register_insn", "pages", (140 / 274.8, "stock", "nodes")),
        ("nodes", "unregister_insn", "pages", (45 / 78.7, "stock", "nodes")),
        ("cma", "register_insn", "pages", (145 / 274.8, "stock", "cma")),
        ("absent-512", "register_insn", None, (50 / 146.9, "stock", "absent-512")),
        ("absent-2", "register_insn", None, (1.03, "stock", "absent-2")),
        ("1g-ro", "register_insn", None, (3, "patched", "1g")),
        ("2m-ro", "register_insn", None, (3, "patched", "2m")),
        ("shmem-4k-ro", "register_insn", None, (3, "patched", "shmem-4k")),
    ),
    "count": (
        *((f"4k/{way}/{pages}", "pin_insn", "calls", (1.05, "patched", f"4k/pages/{pages}"))
          for way in FORMATS for pages in CALL_PAGES),
        *((f"thp/{way}/{pages}", "pin_insn", "calls", (560 / 515, "stock", "thp/pages/1"))
          for way in FORMATS for pages in CALL_PAGES),
        ("4k/pfn/all", "pin_locked", "pages", 1.01),
    ),
}


def figure(names, name, kernel, key, each):
    record = names.get(name, {}).get(kernel, {})
    if key not in record:
        return None
    return record[key] / (record[each] if each else 1)


def shown(value):
    if value is None:
        return ""
    return insn({"n": round(value)}, "n") if value >= 1000 else f"{value:.4g}"


def rows(part, names):
    """Of the table of bounds: what, figure, stock, patched, ratio, asked, whether met."""
    for name, key, each, limit in ASKED.get(part, ()):
        stock, patched = (figure(names, name, kernel, key, each) for kernel in ("stock", "patched"))
        what, asked, most = name, shown(limit) if not isinstance(limit, tuple) else "", limit
        if isinstance(limit, tuple):
            factor, kernel, other = limit
            most = figure(names, other, kernel, key, each)
            what += f", with {other} on {kernel}" if (kernel, other) != ("stock", name) else ""
            asked = f"{factor:.4g} × {shown(most)}"
            most = most and factor * most
        met = "not measured" if patched is None or most is None else \
            "met" if patched <= most else "NOT MET"
        yield [what, f"{key} per {each[:-1]}" if each else key, shown(stock), shown(patched),
               f"{patched / most:.4f} of it" if patched is not None and most else "",
               f"≤ {asked}", met]
