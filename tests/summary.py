#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One summary of the builds named: tests/summary.py release asan...

Reads what CTest wrote to build/NAME/tests/junit.xml. A CTest counts as its cases where they are known (the
cmocka output of unit tests, build/NAME/tests/report/*.tsv of end-to-end tests), otherwise as one.
"""
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[1]
CMOCKA = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}


def cmocka_cases(output):
    for state, name in re.findall(r"^\[ +(OK|FAILED|SKIPPED) +\] (\w+)$", output, re.M):
        yield CMOCKA[state], name, "skipped by the test"


def pytest_cases(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        yield tuple((line.split("\t") + ["", ""])[:3])


def ctest_cases(build):
    tree = ElementTree.parse(str(build / "tests/junit.xml"))
    for test in tree.getroot().iter("testcase"):
        name, status = test.get("name"), test.get("status")
        output = test.findtext("system-out") or ""
        report = build / "tests/report" / (name.partition(".")[2] + ".tsv")
        if name.startswith("e2e.") and report.exists():
            cases = list(pytest_cases(report))
        else:
            cases = list(cmocka_cases(output))
        if status == "run" and cases:
            pass
        elif status == "run":
            cases = [("passed", "", "")]
        elif status in ("disabled", "notrun") or test.find("skipped") is not None:
            message = test.find("skipped")
            cases = [("skipped", "", (message.get("message") if message is not None else "") or "not run")]
        elif not any(case[0] == "failed" for case in cases):
            # A crash, a time-out or a sanitizer's verdict after the last case.
            cases.append(("failed", "", "the test program itself"))
        for outcome, case, reason in cases:
            yield outcome, name + (": " + case if case else ""), reason


def main():
    total = dict(passed=0, failed=0, skipped=0)
    failed, skipped = [], {}
    for name in sys.argv[1:]:
        count = dict(passed=0, failed=0, skipped=0)
        try:
            cases = list(ctest_cases(ROOT / "build" / name))
        except (OSError, ElementTree.ParseError) as error:
            cases = [("failed", "CTest", "left no results: %s" % error)]
        for outcome, case, reason in cases:
            count[outcome] += 1
            if outcome == "failed":
                failed.append("%s  %s%s" % (name, case, reason and "  (%s)" % reason))
            elif outcome == "skipped":
                skipped.setdefault((case.split("[")[0], reason), []).append(name)
        print("%-8s %4d passed, %d failed, %d skipped" % (
            name, count["passed"], count["failed"], count["skipped"]))
        for outcome in total:
            total[outcome] += count[outcome]
    for (case, reason), builds in sorted(skipped.items()):
        times = " x%d" % len(builds) if len(builds) > 1 else ""
        print("SKIPPED %s%s: %s" % (case, times, reason))
    for line in failed:
        print("FAILED  %s" % line)
    print("%d passed, %d failed, %d skipped" % (total["passed"], total["failed"], total["skipped"]))
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
