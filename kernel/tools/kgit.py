# SPDX-License-Identifier: GPL-2.0
"""git for a tree in the cache: trees and commits without a checkout.

Two parts of the project are kept as a series on top of somebody else's source:
kernel/ and qemu/. FOLIO_RUNS_PART says which one it is about.
"""

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Part:
    title: str                  # what the series is for
    repo: str                   # in the cache: the git repository
    worktrees: str              # and the folder of its worktrees and builds
    override: str               # variable that names another source
    author: str                 # of the commit that the series starts from


PARTS = {
    "kernel": Part("Linux", "linux.git", "k", "LINUX_SRC", "Linux <linux@kernel.invalid>"),
    "qemu": Part("QEMU", "qemu.git", "q", "QEMU_SRC", "QEMU <qemu@qemu.invalid>"),
}
NAME = os.environ.get("FOLIO_RUNS_PART") or "kernel"
PART = PARTS[NAME]

TOP = Path(__file__).resolve().parents[2]
HOME = TOP / NAME
CACHE = Path(os.environ.get("FOLIO_RUNS_CACHE") or
             Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "folio-runs")
REPO = CACHE / PART.repo


class Refused(Exception):
    """What was asked for cannot be done; the message says why and what helps."""


def say(*words):
    print("tree:", *words, file=sys.stderr, flush=True)


def git(*args, cwd=None, data=None, env=None, text=True, check=True, quiet=False):
    """Run git, deaf to the user's configuration, and return what it prints."""
    full_env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    full_env |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8"}
    full_env |= env or {}
    command = ["git"] + (["-C", str(cwd)] if cwd else [f"--git-dir={REPO}"])
    if isinstance(data, str):
        data = data.encode()
    done = subprocess.run(command + list(map(str, args)), input=data, env=full_env,
                          stdin=None if data is not None else subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    errors = done.stderr.decode(errors="replace").strip()
    if check and done.returncode:
        raise Refused(f"git {args[0]}: {errors or 'failed'}")
    if errors and not quiet and check:
        say(errors)
    if not check and done.returncode:
        return None
    return done.stdout.decode().rstrip("\n") if text else done.stdout


class Index:
    """A git index of its own, so that a tree is put together without a checkout."""

    def __init__(self, tree=None):
        self.dir = tempfile.TemporaryDirectory(prefix="index.", dir=REPO)
        self.env = {"GIT_INDEX_FILE": f"{self.dir.name}/index"}
        git("read-tree", *([tree] if tree else ["--empty"]), env=self.env)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.dir.cleanup()

    def add(self, path, mode, blob):
        git("update-index", "-z", "--index-info", data=f"{mode} {blob}\t{path}\0", env=self.env)

    def remove(self, path):
        self.add(path, "0", "0" * 40)

    def entry(self, path):
        """(mode, blob) of a path, or None."""
        line = git("ls-files", "-s", "--", path, env=self.env)
        return tuple(line.split()[:2]) if line else None

    def write(self):
        return git("write-tree", env=self.env)


def commit_tree(tree, parents, message, author, date):
    name, email = re.fullmatch(r"(.*) <(.*)>", author).groups()
    who = {}
    for role in ("AUTHOR", "COMMITTER"):    # the same twice: commits come out the same everywhere
        who |= {f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": email, f"GIT_{role}_DATE": date}
    return git("commit-tree", tree, *(f"-p{p}" for p in parents), "-F", "-", data=message, env=who)


def rev(name):
    return git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", check=False)


def commits_between(base, tip):
    return git("rev-list", "--reverse", f"{base}..{tip}").split()
