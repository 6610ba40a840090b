# SPDX-License-Identifier: GPL-2.0
"""Two pictures for READMEs: what registering takes (the top one), and what it costs in memory
(tests/bench/README.md).

What is marked in them, and the line that says where nothing is gained, is computed from
the results; nothing is typed.
"""
import os

import guests
import tables
from guests import KERNELS
from pictures import COLOURS, SIZES, gnuplot

MARKED = {64 << 30: "64 GiB", 1 << 40: "1 TiB"}
# Most expensive first
LINES = (("4k", COLOURS[0]), ("2m", COLOURS[3]), ("1g", "#000000"))
BARS = (("4k", 1 << 30), ("2m", 64 << 30), ("1g", 64 << 30), ("2m", 1 << 40), ("1g", 1 << 40))
REFUSED = "#b02000"
KINDS = {"peak_bytes": "while registering", "metadata_bytes": "kept"}
BAR_COLOURS = {"stock": ("#e69f00", "#f5d08a"), "patched": ("#0072b2", "#8ec1e4")}
STYLE = {"stock": "dashtype 2 linewidth 2 pointtype 6",
         "patched": "linewidth 3 pointtype 7"}


def clock(nanoseconds):
    """Of so many instructions, at one in a nanosecond."""
    return guests.scaled(nanoseconds, ("ns", "µs", "ms", "s"), 1000)


def amount(size):
    return guests.scaled(size, ("B", "KiB", "MiB", "GiB", "TiB"), 1024, 0)


def foot(text):
    """Lines below all else"""
    return f'set bmargin 7\nset label "{text}" at screen 0.5,0.07 center' if text else ""


def ratios(part, key, wanted):
    """stock / patched of all that are wanted, sorted."""
    return sorted(guests.ratio(stock, patched, key)
                  for _, record, stock, patched in tables.pairs(part)
                  if wanted(record) and guests.ratio(stock, patched, key) is not None)


def span(values):
    low, high = f"{values[0]:.2f}", f"{values[-1]:.2f}"
    return f"{low} ×" if low == high else f"{low} to {high} ×"


def no_gain(parts):
    """Where nothing, or next to nothing, is gained."""
    found = []
    if "io" in parts:
        by_ratio = {}
        for buffer in {r["buffer"] for k in KERNELS for r in parts["io"][k]}:
            values = ratios(parts["io"], "insn_per_io",
                            lambda r, buffer=buffer: r["op"] == "READ_FIXED" and
                            r["bytes"] == 4096 and r["buffer"] == buffer)
            if values:
                by_ratio.setdefault(span([round(values[0], 2)]), []).append(buffer)
        most = max(by_ratio.values(), key=len, default=[])
        found += [f"READ_FIXED of 4K {ratio}" +
                  ("" if buffers is most else f" ({', '.join(sorted(buffers))})")
                  for ratio, buffers in sorted(by_ratio.items(), key=lambda b: -len(b[1]))]
    gone = ratios(parts["register"], "unregister_insn",
                  lambda r: r["backing"] == "1g" and r["bytes"] >= 1 << 30)
    if gone:
        found.append(f"unregistering 1G pages {span(gone)}")
    return "Little or no gain (stock / patched):\\n" + ", ".join(found) if found else ""


def no_memory_gain(part):
    """Bars that are as high on both kernels"""
    found = []
    for key, what in KINDS.items():
        records = {(r["backing"], r["bytes"], k): r for k in KERNELS for r in part[k] if key in r}
        titles = tables.backings(part)
        same = [f"{amount(size)} of {titles[backing]}" for backing, size in BARS
                if all((backing, size, k) in records for k in KERNELS) and
                guests.ratio(*(records[backing, size, k] for k in KERNELS), key) < 1.01]
        if same:
            found.append(f"{what}: {', '.join(same)}")
    return "No gain\\n" + "; ".join(found) if found else ""


def marks(part):
    """Labels at the marked sizes: figures of each kernel; where it has none, why."""
    text, refused = [], {}
    for size, name in MARKED.items():
        text += [f"set arrow from {size},1e3 to {size},1e10 nohead dashtype 3 "
                 "linecolor rgb '#666666'",
                 f'set label "{name}" at {size},1e10 center offset 0,0.6']
    for backing, colour in LINES:
        for kernel in KERNELS:
            for record in part[kernel]:
                if record["backing"] != backing or record["bytes"] not in MARKED:
                    continue
                size, insn = record["bytes"], record.get("register_insn")
                if record["result"] != "ok":
                    refused[kernel, size] = record["result"]
                elif kernel == "patched" or backing == "1g":    # stock's lines are one
                    where = "right offset -1,0.6" if kernel == "stock" else "left offset 1,-0.5"
                    text.append(f'set label "{guests.insn(record, "register_insn")}, '
                                f'{clock(insn)}" at {size},{insn} {where} '
                                f'textcolor rgb "{colour}"')
    text += [f'set label "{kernel}: {why}" at {size},3e9 left offset 1,0 textcolor rgb "{REFUSED}"'
             for (kernel, size), why in refused.items()]
    return "\n".join(text)


def draw_cost(parts, folder):
    part = parts["register"]
    titles = tables.backings(part)
    data, plots = "", []
    for backing, colour in LINES:
        for kernel in KERNELS:
            points = [(r["bytes"], max(r["register_insn"], 1))
                      for r in tables.of_backing(part, kernel, backing)]
            if not points:
                continue
            name = f"$d{len(plots)}"
            data += f"{name} << end\n" + "".join(f"{x} {y}\n" for x, y in points) + "end\n"
            plots.append(f"{name} with linespoints {STYLE[kernel]} linecolor rgb '{colour}' "
                         f"title '{titles[backing] if kernel == 'patched' else ''}'")
    plots.append(f"NaN with linespoints {STYLE['stock']} linecolor rgb '#666666' "
                 "title 'dashed: stock'")
    gnuplot(f"""{data}
set logscale xy
set grid
set xtics ({SIZES})
set xrange [{1 << 20}:{1 << 49}]
set yrange [1e3:1e10]
set y2range [1e3:1e10]
set logscale y2
set xlabel "size of the buffer"
{foot(no_gain(parts))}
set ylabel "instructions"
set y2label "time at 1 instruction per ns"
set format y "%.0s %c"
set y2tics ("1 µs" 1e3, "10 µs" 1e4, "100 µs" 1e5, "1 ms" 1e6, "10 ms" 1e7, "100 ms" 1e8, "1 s" 1e9, "10 s" 1e10)
set title "Registering a buffer with io_uring\\n" font ",16"
set key left top horizontal maxcols 2 reverse Left samplen 2
{marks(part)}
plot {", ".join(plots)}
""", os.path.join(folder, "readme-cost"))


def draw_memory(parts, folder):
    part = parts["register"]
    titles = tables.backings(part)
    found = {(r["backing"], r["bytes"], k): r for k in KERNELS for r in part[k]}
    boxes, labels, tics = [], [], []
    for group, (backing, size) in enumerate(BARS):
        tics.append(f'"{amount(size)}\\n{titles[backing]}" {group * 5 + 1.5}')
        for i, kernel in enumerate(KERNELS):
            record = found.get((backing, size, kernel), {})
            for j, key in enumerate(KINDS):
                x = group * 5 + i * 2 + j
                if key in record:
                    boxes.append(f"{x} {max(record[key], 1)} {i * 2 + j}")
                    labels.append(f'set label "{guests.size(record, key)}" at {x},{record[key]} '
                                  'left rotate by 60 offset 0,0.5 font ",12"')
            if record.get("result", "ok") != "ok":
                labels.append(f'set label "{kernel}: {record["result"]}" at {group * 5 + 0.5},400 '
                              f'left rotate by 90 textcolor rgb "{REFUSED}"')
    data = "\n".join(boxes)
    kinds = [(f"{kernel}, {what}", BAR_COLOURS[kernel][j]) for kernel in KERNELS
             for j, what in enumerate(KINDS.values())]
    plots = ", ".join(f"$b using 1:($3 == {i} ? $2 : NaN) with boxes linecolor rgb '{colour}' "
                      f"title '{title}'" for i, (title, colour) in enumerate(kinds))
    gnuplot(f"""$b << end
{data}
end
set logscale y 2
set yrange [256:{1 << 37}]
set xrange [-1.5:{len(BARS) * 5 - 0.5}]
set boxwidth 0.9
set style fill solid 1.0 noborder
set grid y
set xtics ({", ".join(tics)}) scale 0
set ytics ("1 KiB" {1 << 10}, "16 KiB" {1 << 14}, "256 KiB" {1 << 18}, "4 MiB" {1 << 22}, "64 MiB" {1 << 26}, "1 GiB" {1 << 30})
set ylabel "bytes of kernel memory"
{foot(no_memory_gain(part))}
set title "What a registered buffer costs in memory" font ",16"
set key left top horizontal maxcols 4
{chr(10).join(labels)}
plot {plots}
""", os.path.join(folder, "readme-memory"))


def draw(parts, folder):
    """parts: {name: its file}"""
    if "register" in parts:
        draw_cost(parts, folder)
        draw_memory(parts, folder)
