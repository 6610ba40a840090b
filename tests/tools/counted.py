# SPDX-License-Identifier: GPL-2.0
"""unittest with an end that tests/check understands: each test counts."""

import sys
import unittest


def main():
    result = unittest.main(module="__main__", exit=False, verbosity=2).result
    bad = {test.id().split(" ")[0] for test, _ in result.failures + result.errors}
    skipped = len(result.skipped)
    for test, reason in result.skipped:
        print(f"SKIP {test.id()}: {reason}")
    sys.stderr.flush()
    print(f"{max(result.testsRun - len(bad) - skipped, 0)} passed, {len(bad)} failed, {skipped} skipped")
    sys.exit(0 if result.wasSuccessful() else 1)
