# SPDX-License-Identifier: GPL-2.0
"""The series, as its folder has it and as commits have it, and the way between the two."""

import contextlib
import hashlib
import itertools
import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from kgit import HOME, NAME, PART, Index, Refused, commit_tree, commits_between, git

# In the folder, but not files of the series. Tools are the files in tools/ itself.
OURS = re.compile(r"series|cover-letters?(/\w+)?\.txt|README\.md|patches/.*|tools/[^/]+|"
                  r"debian/.*|.*/__pycache__/.*|Documentation/found-in-stock\.md")


@dataclass
class Entry:
    name: str                                       # of the patch file
    patch: bytes                                    # mail, as git format-patch writes it
    brings: list[str] = field(default_factory=list)
    group: str = ""                                 # "" in a series without groups

    @property
    def slug(self):
        """The name without its number: it survives a patch's move."""
        return self.name[5:]


@dataclass
class Series:
    head: str                                       # comment that opens the file series
    entries: list[Entry]
    files: dict[str, tuple[str, bytes]]             # new file: git mode, final content

    def key(self):
        digest = hashlib.sha256()
        for entry in self.entries:
            digest.update(repr((entry.name, entry.patch, entry.brings)).encode())
        digest.update(repr(sorted(self.files.items())).encode())
        return digest.hexdigest()

    def groups(self):
        """(name, entries) of each group, in order."""
        return [(name, list(entries)) for name, entries in
                itertools.groupby(self.entries, key=lambda entry: entry.group)]

    def listing(self):
        text = self.head
        for name, entries in self.groups():
            text += f"\n[{name}]\n" if name else ""
            text += "".join(" ".join([e.name, *e.brings]) + "\n" for e in entries)
        return text


def load_series():
    lines = (HOME / "series").read_text().splitlines()
    head, entries, files, groups = "", [], {}, [""]
    for line in lines:
        if not line.strip():
            continue
        if line.startswith("#"):
            if entries or groups[-1]:
                raise Refused(f"{NAME}/series: comments belong above the first patch")
            head += line + "\n"
            continue
        if opened := re.fullmatch(r"\[(\w+)\]", line.strip()):
            open_group(groups, opened[1], entries)
            continue
        name, *brings = line.split()
        if not re.fullmatch(r"\d{4}-[\w.+-]+\.patch", name):
            raise Refused(f"{NAME}/series: '{name}' is not named NNNN-name.patch")
        if any(name == e.name for e in entries):
            raise Refused(f"{NAME}/series: {name} is listed twice")
        try:
            patch = (HOME / "patches" / name).read_bytes()
            entries.append(Entry(name, patch, brings, groups[-1]))
        except FileNotFoundError:
            raise Refused(f"{NAME}/series lists {name}, which {NAME}/patches lacks") from None
        for path in brings:
            if path in files:
                raise Refused(f"{NAME}/series: {path} is brought twice")
            files[path] = read_new_file(path)
    check_opened(groups, entries)

    listed = {f"patches/{e.name}" for e in entries} | set(files)
    for path in sorted(p.relative_to(HOME).as_posix() for p in HOME.rglob("*")
                       if p.is_symlink() or not p.is_dir()):
        patch = path.startswith("patches/") and path.endswith(".patch")
        if path not in listed and (patch or not OURS.fullmatch(path)):
            raise Refused(f"{NAME}/{path} is not in {NAME}/series")
    return Series(head, entries, files)


def check_opened(groups, entries):
    """The group that was opened last has patches."""
    if groups[-1] and (not entries or entries[-1].group != groups[-1]):
        raise Refused(f"{NAME}/series: the group {groups[-1]} has no patch")


def open_group(groups, name, entries):
    check_opened(groups, entries)
    if name in groups:
        raise Refused(f"{NAME}/series: the group {name} begins twice")
    if entries and not groups[-1]:
        raise Refused(f"{NAME}/series: {entries[0].name} is in no group, others are")
    groups.append(name)


def read_new_file(path):
    real = HOME / path
    if os.path.normpath(path) != path or path.startswith(("/", "../")) or OURS.fullmatch(path):
        raise Refused(f"{NAME}/series: '{path}' is not a path of {PART.title}")
    if real.is_symlink() or not real.is_file():
        raise Refused(f"{NAME}/series lists {path}, but {NAME}/{path} is no regular file")
    return "100755" if os.access(real, os.X_OK) else "100644", real.read_bytes()


def write_if_changed(path, data, mode="100644"):
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != data:
        path.write_bytes(data)
    path.chmod(path.stat().st_mode | 0o111 if mode == "100755" else path.stat().st_mode & ~0o111)


def store_series(new, old):
    for entry in new.entries:
        write_if_changed(HOME / "patches" / entry.name, entry.patch)
    for path, (mode, data) in new.files.items():
        write_if_changed(HOME / path, data, mode)
    write_if_changed(HOME / "series", new.listing().encode())
    gone = {f"patches/{e.name}" for e in old.entries} - {f"patches/{e.name}" for e in new.entries}
    for path in gone | (set(old.files) - set(new.files)):
        (HOME / path).unlink()
        with contextlib.suppress(OSError):          # folders that it leaves empty
            for folder in (HOME / path).parents:
                folder.rmdir()


# --- series to commits -----------------------------------------------------------

@dataclass
class Mail:
    author: str
    date: str
    message: str
    diff: bytes


def parse_mail(entry):
    with tempfile.TemporaryDirectory() as scratch:
        info = git("mailinfo", "-k", f"{scratch}/message", f"{scratch}/diff",
                   cwd=scratch, data=entry.patch)
        body = Path(scratch, "message").read_text()
        diff = Path(scratch, "diff").read_bytes()
    fields = dict(line.split(": ", 1) for line in info.splitlines() if ": " in line)
    try:
        return Mail(f"{fields['Author']} <{fields['Email']}>", fields["Date"],
                    f"{fields['Subject']}\n\n{body}".strip("\n") + "\n", diff)
    except KeyError as missing:
        raise Refused(f"{NAME}/patches/{entry.name}: no {missing} in its mail header") from None


def touched(diff):
    if b"diff --git " not in diff:
        return []
    return git("apply", "--numstat", "-z", "-", data=diff).split("\0")[:-1]


def apply(index, entry, diff, *options):
    try:
        git("apply", "--cached", "--whitespace=nowarn", *options, "-", data=diff, env=index.env)
    except Refused as error:
        raise Refused(f"{NAME}/patches/{entry.name} does not apply\n{error}") from None


def first_forms(series, mails):
    """For each new file its (mode, blob) in the commit that brings it."""
    first = {}
    with Index() as index:
        for path, (mode, data) in series.files.items():
            index.add(path, mode, git("hash-object", "-w", "--stdin", data=data))
        for entry, mail in zip(reversed(series.entries), reversed(mails)):
            for path in entry.brings:
                first[path] = index.entry(path)
                index.remove(path)
            paths = {line.split("\t")[2] for line in touched(mail.diff)}
            later = [p for p in series.files if p in paths and p not in first]
            if later:
                apply(index, entry, mail.diff, "--reverse", *(f"--include={p}" for p in later))
    return first


def commits_from(series, base):
    """The series as commits on top of base: all objects, no checkout."""
    mails = [parse_mail(entry) for entry in series.entries]
    first = first_forms(series, mails)
    commits = []
    with Index(base) as index:
        for entry, mail in zip(series.entries, mails):
            parent = commits[-1] if commits else base
            if b"diff --git " in mail.diff:
                apply(index, entry, mail.diff)
            for path in entry.brings:
                if index.entry(path):
                    raise Refused(f"{NAME}/series: {entry.name} brings {path}, which exists by then")
                index.add(path, *first[path])
            tree = index.write()
            added = set(added_files(parent, tree)) - set(entry.brings)
            if added:
                raise Refused(f"{NAME}/patches/{entry.name} creates {', '.join(sorted(added))}: "
                              f"make it a file in {NAME}/ and list it in {NAME}/series")
            commits.append(commit_tree(tree, [parent], mail.message, mail.author, mail.date))
        for path, (mode, data) in series.files.items():
            blob = git("hash-object", "--stdin", data=data)
            if index.entry(path) != (mode, blob):
                raise Refused(f"{NAME}/{path} is not what the series ends with: "
                              "a patch that edits it no longer fits")
    return commits


def added_files(old, new):
    return git("diff-tree", "-r", "-z", "--no-renames", "--diff-filter=A", "--name-only",
               old, new).split("\0")[:-1]


# --- commits to series -----------------------------------------------------------

def series_from(base, tip, old, worktree):
    """The commits as a series. A group begins with the patch that it began with in the old one."""
    if git("rev-list", "--merges", f"{base}..{tip}"):
        raise Refused("the branch has merges; a series has none: rebase it")
    if git("merge-base", "--is-ancestor", base, tip, check=False) is None:
        raise Refused("the branch does not start from the tag stock: rebase it")
    first = {entries[0].slug: name for name, entries in old.groups() if name}
    entries, files, group = [], {}, None
    for number, commit in enumerate(commits_between(base, tip), 1):
        title, name = git("log", "-1", "--format=%s%n%f", commit).split("\n")
        brings = added_files(f"{commit}^", commit)
        for path in brings:
            mode, kind, blob = (git("ls-tree", tip, "--", path).split() or [None] * 4)[:3]
            if not blob:
                raise Refused(f"'{title}' adds {path}, which a later commit deletes: squash them")
            if mode not in ("100644", "100755"):
                raise Refused(f"'{title}' adds {path}, which is no regular file")
            if path in files or OURS.fullmatch(path) or not re.fullmatch(r"[\w./+-]+", path):
                raise Refused(f"'{title}' adds {path}: this path cannot be a new file in {NAME}/")
            files[path] = mode, git("cat-file", "blob", blob, text=False)
        entry = Entry(f"{number:04d}-{name[:52]}.patch", mail_of(commit, brings, worktree), brings)
        if group is None and first and entry.slug not in first:
            first = {slug: name for slug, name in first.items() if name != old.entries[0].group}
            group = old.entries[0].group
        group = entry.group = first.pop(entry.slug, group or "")
        entries.append(entry)
    for slug, name in first.items():
        raise Refused(f"the group {name} begins with {slug}, which no commit is any more: move the line "
                      f"[{name}] in {NAME}/series to the patch that it now begins with")
    return Series(old.head, entries, files)


def mail_of(commit, without, worktree):
    """The commit as a mail, less the files that it adds."""
    author, date, message = git("log", "-1", "--format=%an <%ae>%n%aD%n%B", commit).split("\n", 2)
    with Index(commit) as index:
        for path in without:
            index.remove(path)
        part = commit_tree(index.write(), [f"{commit}^"], message, author, date)
    # From the worktree: its .gitattributes say how hunks of C name their function.
    return git("format-patch", "-1", "--stdout", "-k", "-p", "--always", "--zero-commit",
               "--no-signature", "--no-renames", "--abbrev=12", "--binary",
               "--diff-algorithm=histogram", part, cwd=worktree, text=False)


def must_be_same(old, new):
    """The commits that a series gives must be those that it was taken from."""
    for before, after in zip(old, new, strict=True):
        what = "%T%n%an%n%ae%n%at%n%B"
        if git("log", "-1", f"--format={what}", before) != git("log", "-1", f"--format={what}", after):
            title = git("log", "-1", "--format=%h '%s'", before)
            raise Refused(f"{title} does not survive as a mail; a line of its message "
                          "probably looks like a diff, a separator or a mail header")
