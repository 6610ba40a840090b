# SPDX-License-Identifier: GPL-2.0
"""The pictures of a bench, drawn by gnuplot as SVG and PNG."""
import os
import subprocess

import tables
from guests import KERNELS, Failure, say

# White, or a dark page shows through
FORMATS = {"svg": "svg size 900,560 dynamic font 'sans,13' noenhanced background '#ffffff'",
           "png": "pngcairo size 900,560 noenhanced"}
# Few enough to be told apart
SHOWN = ("4k", "64k", "thp-ptes", "2m", "1g")
COLOURS = ("#d55e00", "#cc79a7", "#009e73", "#0072b2", "#000000")
DASHES = {"stock": "dashtype 2 linewidth 1.5 pointtype 6",
          "patched": "linewidth 2.5 pointtype 7"}
SIZES = ", ".join(f'"{label}" {1 << power}' for label, power in
                  (("1 MiB", 20), ("16 MiB", 24), ("256 MiB", 28), ("4 GiB", 32),
                   ("64 GiB", 36), ("1 TiB", 40), ("16 TiB", 44)))
LOG_LOG = f"""
set logscale xy
set grid
set xtics rotate by -30 ({SIZES})
set xlabel "size of the buffer"
set key outside right top
"""


def tidy(path):
    """What this project asks of each of its files, and gnuplot does not do."""
    with open(path, encoding="utf-8") as f:
        first, *lines = (line.rstrip() for line in f)
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join([first, "<!-- SPDX-License-Identifier: GPL-2.0 -->", *lines, ""]))


def gnuplot(script, path):
    for suffix, terminal in FORMATS.items():
        command = f"set terminal {terminal}\nset output '{path}.{suffix}'\n{script}"
        try:
            subprocess.run(["gnuplot"], input=command, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Failure(f"gnuplot: {error}") from error
    tidy(f"{path}.svg")
    say(f"bench: {path}.svg, .png")


def curves(part, key):
    """A line of each shown backing on each kernel: data blocks, and how to plot them."""
    data, plots = "", []
    titles = tables.backings(part)
    for backing, colour in zip(SHOWN, COLOURS):
        for kernel in KERNELS:
            records = [r for r in tables.of_backing(part, kernel, backing) if key in r]
            if not records:
                continue
            name = f"$d{len(plots)}"
            points = "\n".join(f"{r['bytes']} {max(r[key], 1)}" for r in records)
            data += f"{name} << end\n{points}\nend\n"
            plots.append(f"{name} with linespoints {DASHES[kernel]} linecolor rgb '{colour}' "
                         f"title '{titles[backing]}, {kernel}'")
    return data, ", ".join(plots)


def draw_sizes(part, folder, name, key, title, unit):
    data, plots = curves(part, key)
    if plots:
        gnuplot(f"{data}{LOG_LOG}set title '{title}'\nset ylabel '{unit}'\n"
                f"set format y '%.0s %c'\nplot {plots}\n", os.path.join(folder, name))


def draw_bars(path, title, unit, rows, columns, more=""):
    """rows: '"NAME" NUMBER...', a number for each of columns: (name, colour)"""
    data = "\n".join(rows)
    plots = ", ".join(f"$bars using {n}:xtic(1) title '{name}' linecolor rgb '{colour}'"
                      for n, (name, colour) in enumerate(columns, 2))
    gnuplot(f"""$bars << end
{data}
end
set style data histogram
set style histogram clustered
set style fill solid 0.8
set grid y
set key outside center top horizontal
set yrange [0:*]
set xtics rotate by -30
set format y '%.0s %c'
set title '{title}'
set ylabel '{unit}'
{more}
plot {plots}
""", path)


def draw_io(part, folder):
    """Bars: instructions for a READ_FIXED of null_blk."""
    rows = []
    for _, record, stock, patched in tables.pairs(part):
        if record["op"] == "READ_FIXED" and record["target"] == "null_blk" and \
           record["bytes"] in (4 << 10, 64 << 10, 1 << 20):
            rows.append(f"\"{record['buffer']}, {record['bytes'] >> 10}K\" "
                        f"{stock.get('insn_per_io', 'NaN')} {patched.get('insn_per_io', 'NaN')}")
    if not rows:
        return
    draw_bars(os.path.join(folder, "io"), "READ_FIXED, null_blk", "instructions for each transfer",
              rows, (("stock", COLOURS[0]), ("patched", COLOURS[3])))


def draw(parts, folder):
    """parts: {name: its file}"""
    if "register" in parts:
        for name, key, title, unit in (
                ("register", "register_insn", "Registering a buffer", "instructions"),
                ("peak", "peak_bytes", "Kernel memory while registering", "bytes, at most"),
                ("unregister", "unregister_insn", "Unregistering a buffer", "instructions")):
            draw_sizes(parts["register"], folder, name, key, title, unit)
    if "io" in parts:
        draw_io(parts["io"], folder)
