# SPDX-License-Identifier: GPL-2.0
"""A QEMU of qemu/tools/build, talked to by QMP and by qtest."""

import json
import os
import pty
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time
import tty
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


class QMPError(Exception):
    """What QEMU says to a command that it refuses."""


class Lines:
    """A socket on which QEMU listens, read by lines."""

    def __init__(self, path, process):
        self.socket = socket.socket(socket.AF_UNIX)
        for _ in range(600):
            try:
                self.socket.connect(str(path))
                break
            except OSError:
                if process.poll() is not None:
                    raise
                time.sleep(0.1)
        self.socket.settimeout(120)
        self.file = self.socket.makefile("rw", encoding="utf-8")

    def send(self, line):
        self.file.write(line + "\n")
        self.file.flush()

    def receive(self):
        line = self.file.readline()
        if not line:
            raise EOFError("QEMU has gone")
        return line


class Monitor:
    def __init__(self, path, process):
        self.lines = Lines(path, process)
        self.events = []
        self.receive()                          # the greeting
        self("qmp_capabilities")

    def receive(self):
        return json.loads(self.lines.receive())

    def __call__(self, command, **arguments):
        """Run a command. An underscore in an argument's name is a dash."""
        arguments = {k.replace("_", "-"): v for k, v in arguments.items()}
        self.lines.send(json.dumps({"execute": command, "arguments": arguments}))
        while True:
            answer = self.receive()
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise QMPError(answer["error"]["desc"])
            else:
                return answer["return"]

    def wait(self, event):
        """The data of the next event of this name."""
        while True:
            for i, seen in enumerate(self.events):
                if seen["event"] == event:
                    return self.events.pop(i).get("data")
            answer = self.receive()
            if "event" in answer:
                self.events.append(answer)

    def hmp(self, line):
        return self("human-monitor-command", command_line=line)

    def fixed(self, node):
        """The statistics of registered buffers of a node, None if it has none."""
        for stats in self("query-blockstats", query_nodes=True):
            if stats.get("node-name") == node:
                return stats.get("driver-specific", {}).get("fixed-buffers")
        raise KeyError(node)


class Machine:
    """Ends with its context."""

    def __init__(self, *args, program="qemu-system-x86_64", prefix=()):
        self.dir = Path(tempfile.mkdtemp(prefix="qemu-test."))
        self.stderr_path = self.dir / "stderr"
        command = [*prefix, str(TOP / "qemu/tools/run")]
        if os.environ.get("QEMU_BUILD"):
            command += ["--build", os.environ["QEMU_BUILD"]]
        command += [program]
        self.qtest_path = self.dir / "qtest"
        if program == "qemu-system-x86_64":
            command += ["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35",
                        "-accel", "qtest", "-qtest-log", "none",
                        "-qtest", f"unix:{self.qtest_path},server=on,wait=off",
                        "-qmp", f"unix:{self.dir}/qmp,server=on,wait=off"]
        else:
            command += ["--chardev", f"socket,id=qmp,path={self.dir}/qmp,server=on,wait=off",
                        "--monitor", "chardev=qmp"]
        # A terminal, or what is printed would be kept until the end
        self.stdout, stdout = pty.openpty()
        tty.setraw(stdout)
        with open(self.stderr_path, "w") as stderr:
            self.process = subprocess.Popen([*command, *map(str, args)], stdin=subprocess.DEVNULL,
                                            stdout=stdout, stderr=stderr)
        os.close(stdout)
        self.qtest_lines = None
        try:
            self.qmp = Monitor(self.dir / "qmp", self.process)
        except (OSError, EOFError):
            self.process.wait()
            self.qmp = None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            try:
                self.qmp("quit")
            except (OSError, EOFError, AttributeError):
                self.process.kill()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.stdout)
        said = self.stderr()
        shutil.rmtree(self.dir)
        # One that did not start is told of by its test; a bad end would be seen by none
        if self.qmp and kind is None and self.process.returncode:
            raise QMPError(f"QEMU ended with {self.process.returncode}: {said}")

    def stderr(self):
        return self.stderr_path.read_text(errors="replace")

    def says(self, pattern):
        return re.search(pattern, self.stderr()) is not None

    def io(self, node, command):
        """What the monitor's qemu-io says to a read or a write; it does so on stdout."""
        self.qmp.hmp(f'qemu-io {node} "{command}"')
        text = ""
        while not re.search(r"(ops; |failed: ).*\n", text):
            if not select.select([self.stdout], [], [], 60)[0]:
                break
            text += os.read(self.stdout, 4096).decode(errors="replace")
        return text

    def qtest(self, line):
        """A command of the qtest protocol: what a CPU would do."""
        if not self.qtest_lines:
            self.qtest_lines = Lines(self.qtest_path, self.process)
        self.qtest_lines.send(line)
        answer = self.qtest_lines.receive().split()
        while answer[0] == "IRQ":
            answer = self.qtest_lines.receive().split()
        if answer[0] != "OK":
            raise QMPError(" ".join(answer))
        return answer[1:]


class Cases:
    """Counts what passes, and ends as tests/check wants it."""

    def __init__(self):
        self.passed = self.failed = 0

    def __call__(self, what, good, detail=""):
        print(f"{'ok  ' if good else 'FAIL'} {what}", flush=True)
        if good:
            self.passed += 1
        else:
            self.failed += 1
            for line in str(detail).splitlines():
                print(f"     | {line}")

    def refused(self, what, pattern, call, *args, **kwargs):
        try:
            call(*args, **kwargs)
        except QMPError as error:
            self(what, re.search(pattern, str(error)), error)
        else:
            self(what, False, "not refused")

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed, 0 skipped")
        return 1 if self.failed or not self.passed else 0
