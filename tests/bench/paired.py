# SPDX-License-Identifier: Apache-2.0
"""Whole programs with the agent and without, in pairs: one after the other, so that both meet the same
machine; the ratio is the median of the pairs' ratios."""
import os
import shutil
import statistics
import subprocess
import sys
import time

from servers import base_env

IMPORTS = """
import importlib
for name in ("numpy", "django.conf", "django.db.models", "django.forms", "django.template", "django.http",
             "django.contrib.auth.hashers", "django.core.management", "asyncio", "http.server", "xml.dom.minidom",
             "multiprocessing.pool", "unittest.mock", "email.mime.multipart", "sqlite3", "ssl", "pydoc"):
    try:
        importlib.import_module(name)
    except ImportError:
        print(name)
"""

SUBPROCESSES = """
import subprocess
for _ in range(40):
    subprocess.run(["/bin/true"], check=True)
"""

# name: (turns, arguments of the interpreter)
PROGRAMS = {"startup": (60, ["-I", "-c", "pass"]), "imports": (12, ["-B", "-c", IMPORTS]),
            "subprocesses": (12, ["-I", "-c", SUBPROCESSES])}


def run_once(command, env):
    """Wall time and CPU time, children's included, in milliseconds."""
    begun = time.perf_counter()
    pid = os.posix_spawn(command[0], command, env, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - begun
    if status:
        sys.exit("%s: status %d" % (" ".join(command)[:80], status))
    return wall * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3


def ratios(python, name, cases, factor):
    """{case: (wall ms, CPU ms, wall ratio, CPU ratio)}, to the first of the cases."""
    turns, arguments = PROGRAMS[name]
    command = [python] + arguments
    found = {case: [] for case in cases}
    for turn in range(max(3, int(turns * factor)) + 1):
        # Turn about, so that none is always the one that runs behind another.
        for case in list(cases) if turn % 2 else list(cases)[::-1]:
            taken = run_once(command, base_env(cases[case]))
            if turn > 0:
                found[case].append(taken)
    plain = found[next(iter(cases))]
    return {case: tuple([statistics.median(t[i] for t in times) for i in (0, 1)] +
                        [statistics.median(t[i] / p[i] for t, p in zip(times, plain)) for i in (0, 1)])
            for case, times in found.items()}


def missing_imports(python):
    done = subprocess.run([python, "-B", "-c", IMPORTS], stdout=subprocess.PIPE, env=base_env({}), check=True)
    return done.stdout.decode().split()


def instructions(env):
    """Instructions of /bin/true, by perf or callgrind."""
    if shutil.which("perf"):
        counts = []
        for _ in range(5):
            done = subprocess.run(["perf", "stat", "-x,", "-e", "instructions:u", "--", "/bin/true"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=base_env(env))
            field = done.stderr.decode().splitlines()[-1].split(",")[0] if done.stderr else ""
            if not field.isdigit():
                break
            counts.append(int(field))
        if counts:
            return min(counts), "perf"
    if shutil.which("valgrind"):
        done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "/bin/true"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=base_env(env))
        for line in done.stderr.decode().splitlines():
            if "Collected :" in line:
                return int(line.split()[-1]), "callgrind"
    return None, None
