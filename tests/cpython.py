#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""CPython's own test suite with and without the agent, compared test by test.

    tests/cpython.py [--python PATH]... [--jobs N] [--keep FOLDER] [--ignore PATTERN]... [TEST...]

Each test file runs in a process of its own, in a folder of its own, once as it is and at once after that
under the agent while every event is recorded (`on: @all`) and a daemon reads along. Where a test gave
something else, its file runs again on both sides: what both sides can give is a flake, and what one side never
gives is a difference. tests/cpython.txt lists the differences that are in the nature of things, each with its
reason, and the files that are left out, with theirs. Any other difference fails the script.

The interpreters are those of the end-to-end tests that have their test suite (Debian: libpython3.N-testsuite);
--python names others. PYAUDIT_BUILD is the build under test (build/release).

A whole suite takes an hour or more for each interpreter; with --keep what was found stays in FOLDER, and what is
there is not run again: a run that was ended goes on. Exit status: 0 the same, 1 differences, 2 it could not run.
"""
import argparse
import collections
import concurrent.futures
import fnmatch
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "e2e"))
ASKED = os.environ.get("PYAUDIT_INTERPRETERS", "all")
os.environ["PYAUDIT_INTERPRETERS"] = "one"
import conftest  # noqa: E402: the interpreters, the build, a daemon

LIST = HERE / "cpython.txt"
AGAIN = 2  # times that a file is run again on both sides
FILE_SECONDS = 900  # of one test file
ALL = conftest.rule("all", "@all", action="record")
WHOLE = "(the file)"
NOTHING = "no results"


# What is known

Known = collections.namedtuple("Known", "kind versions pattern reason")


def read_list(path=LIST):
    """Lines of `differs|omitted VERSIONS PATTERN: REASON`; VERSIONS is `all` or numbers joined by commas."""
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = re.match(r"(differs|omitted) +(\S+) +(\S+): +(.+)$", line)
        if not match:
            sys.exit("%s:%d: expected 'differs|omitted VERSIONS TEST: REASON'" % (path, number))
        found.append(Known(match[1], match[2].split(","), match[3], match[4]))
    return found


def known(kind, known_ones, python, test):
    version = "%d.%d" % python.version[:2]
    for one in known_ones:
        if one.kind == kind and (one.versions == ["all"] or version in one.versions) and \
                fnmatch.fnmatchcase(test, one.pattern):
            return one
    return None


# One run of one file

def read_results(path, returncode):
    """{test: outcome}, from what regrtest wrote; the file's own outcome is among them."""
    results = {}
    try:
        root = ElementTree.parse(str(path)).getroot()
    except (OSError, ElementTree.ParseError):
        return {WHOLE: "%s, exit status %d" % (NOTHING, returncode)}
    for case in root.iter("testcase"):
        name = re.sub(r" at 0x[0-9a-f]+", "", case.get("name", "?"))
        outcome = "ok"
        for child in case:
            if child.tag in ("error", "failure", "skipped"):
                outcome = child.tag
        while name in results:  # doctests and generated classes may share a name
            name += "'"
        results[name] = outcome
    results[WHOLE] = "exit status %d" % returncode
    return results


def run_once(python, test, env, ignored=()):
    """Runs a test file by regrtest. In a session of its own, so that nothing of it stays behind."""
    folder = tempfile.mkdtemp(prefix="pyaudit-cpython-")
    report = os.path.join(folder, "results.xml")
    home = os.path.join(folder, "home")
    os.mkdir(home)
    command = [python.path, "-u", "-m", "test", "-v", "--timeout", str(FILE_SECONDS), "--junit-xml", report,
               "--tempdir", folder, test]
    for pattern in ignored:
        command[-1:-1] = ["-i", pattern]
    with open(os.path.join(folder, "output"), "w+b") as output:
        process = subprocess.Popen(command, cwd=home, env=dict(env, HOME=home, TMPDIR=folder), stdout=output,
                                   stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            process.wait(FILE_SECONDS + 60)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    results = read_results(report, process.returncode)
    subprocess.run(["chmod", "-R", "u+rwX", folder], stderr=subprocess.DEVNULL)
    shutil.rmtree(folder, ignore_errors=True)
    return results, text


# Both sides

def differing(plain, under):
    return sorted(test for test in set(plain) | set(under) if plain.get(test) != under.get(test))


def compare(python, test, sides, ignored=(), again=AGAIN):
    """{"tests": N, "silent": TEXT, "flakes": [...], "differences": {test: [plain, under]}, "output": ...} of one file;
    silent: how it ended where it gave no results either way."""
    runs = [[run_once(python, test, env, ignored)] for env in sides]
    differ = differing(*[run[0][0] for run in runs])
    suspects = differ
    for _ in range(again):
        if not suspects:
            break
        for run, env in zip(runs, sides):
            run.append(run_once(python, test, env, ignored))
        seen = {name: [{run.get(name) for run, _ in side} for side in runs] for name in suspects}
        suspects = [name for name in suspects if not seen[name][0] & seen[name][1]]
    plain, under = [side[0][0] for side in runs]
    silent = plain[WHOLE] if plain == under and plain[WHOLE].startswith(NOTHING) else ""
    return {"tests": len(plain) - 1, "silent": silent, "flakes": [name for name in differ if name not in suspects],
            "differences": {name: [plain.get(name, "not run"), under.get(name, "not run")] for name in suspects},
            "output": runs[1][0][1] if suspects else ""}


def list_tests(python, env):
    done = subprocess.run([python.path, "-m", "test", "--list-tests"], env=env, cwd="/", stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout.decode().split() if done.returncode == 0 else []


def plain_env():
    env = {k: os.environ[k] for k in ("PATH", "USER", "LOGNAME") if k in os.environ}
    return dict(env, LANG="C.UTF-8", PYTHONDONTWRITEBYTECODE="1")


class Record(conftest.Daemon):
    """A daemon that records everything of everyone, and keeps nothing."""

    def __init__(self, folder):
        super().__init__(folder, ALL)
        self.config_path.write_text("dir = %s\nrules = %s\ndefault_rules = no\njournal = no\n" % (
            self.dir, self.rules_dir))

    def sides(self):
        plain = plain_env()
        return plain, dict(plain, LD_PRELOAD=str(conftest.AGENT), PYAUDIT_DIR=str(self.dir))


# All of it

def kept_path(keep, python, test):
    return keep / python.tag / (test + ".json") if keep else None


def judge_file(python, test, sides, options):
    path = kept_path(options.keep, python, test)
    if path and path.exists():
        return json.loads(path.read_text())
    found = compare(python, test, sides, options.ignore)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        output = found.pop("output")
        if output:
            path.with_suffix(".log").write_text(output)
        path.write_text(json.dumps(found, indent=1) + "\n")
    return found


def judge_interpreter(python, wanted, sides, options, known_ones):
    """One row of the table, and the differences that are not listed."""
    there = list_tests(python, sides[0])
    chosen = [t for t in wanted if t in there] or ([] if wanted else there)
    omitted = [t for t in chosen if not wanted and known("omitted", known_ones, python, t)]
    chosen = [t for t in chosen if t not in omitted]
    row = collections.Counter(files=len(chosen), omitted=len(omitted))
    unlisted, lock = [], threading.Lock()

    def one(test):
        found = judge_file(python, test, sides, options)
        with lock:
            row["tests"] += found["tests"]
            row["flaky"] += len(found["flakes"])
            if found["silent"]:
                row["silent"] += 1
                print("%s %s: %s, with the agent or without" % (python.tag, test, found["silent"]), flush=True)
            differences = found["differences"]
            expected = {name: known("differs", known_ones, python, test + ":" + name) for name in differences}
            if len(differences) > 1 and all(one for name, one in expected.items() if name != WHOLE):
                expected[WHOLE] = Known("differs", ["all"], "*", "follows from its tests")
            for name, (plain, under) in sorted(differences.items()):
                where, listed = test + ":" + name, expected[name]
                row["listed" if listed else "unlisted"] += 1
                print("%s %s: %s without, %s with the agent%s" % (
                    python.tag, where, plain, under, " (%s)" % listed.reason if listed else ""), flush=True)
                if not listed:
                    unlisted.append(where)

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(one, chosen))
    row["same"] = row["tests"] - row["flaky"] - row["listed"] - row["unlisted"]
    return row, unlisted


def print_table(rows):
    columns = ("files", "omitted", "silent", "tests", "same", "flaky", "listed", "unlisted")
    print("\n%-12s" % "CPython" + "".join("%9s" % c for c in columns))
    for tag, row in rows:
        print("%-12s" % tag + "".join("%9d" % row[c] for c in columns))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0],
                                     epilog="Details: the head of tests/cpython.py")
    parser.add_argument("--python", action="append", metavar="PATH", help="an interpreter; may be repeated")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="files at a time")
    parser.add_argument("--keep", type=pathlib.Path, metavar="FOLDER", help="keeps results, and uses those there")
    parser.add_argument("--ignore", action="append", default=[], metavar="PATTERN",
                        help="tests that cannot run on this machine either way; as regrtest's -i")
    parser.add_argument("tests", nargs="*", metavar="TEST", help="test files, such as test_os (default: all)")
    options = parser.parse_args()

    os.environ["PYAUDIT_INTERPRETERS"] = ":".join(options.python or []) or ASKED
    missing = [str(p) for p in (conftest.DAEMON, conftest.AGENT) if not p.exists()]
    if missing:
        print("cpython.py: not built: %s (PYAUDIT_BUILD=%s)" % (", ".join(missing), conftest.BUILD), file=sys.stderr)
        return 2
    known_ones = read_list()
    rows, unlisted = [], []
    with tempfile.TemporaryDirectory(prefix="pyaudit-cpython-") as folder:
        os.chmod(folder, 0o755)
        daemon = Record(pathlib.Path(folder)).start()
        try:
            for python in conftest.find_interpreters():
                begun = time.monotonic()
                row, more = judge_interpreter(python, options.tests, daemon.sides(), options, known_ones)
                if row["files"] == 0:
                    print("%s: no test suite (%s)" % (python.tag, python.path), flush=True)
                    continue
                rows.append((python.tag, row))
                unlisted += more
                print("%s: %d s" % (python.tag, time.monotonic() - begun), flush=True)
            daemon.drain()
            n_events = daemon.status()["events"]
        finally:
            daemon.stop()
    print_table(rows)
    print("\n%d events were recorded meanwhile" % n_events)
    if not rows:
        print("cpython.py: no interpreter has its test suite", file=sys.stderr)
        return 2
    return 1 if unlisted else 0


if __name__ == "__main__":
    sys.exit(main())
