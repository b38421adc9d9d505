# SPDX-License-Identifier: Apache-2.0
"""Programs that are run twice, without the agent and with it under the shipped rules: the same end, the
same output, and nobody alarmed."""
import re
import subprocess

import pytest

from conftest import PATIENCE, clean_env


def has(python, module):
    return subprocess.run([str(python), "-c", "import " + module], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, env=clean_env()).returncode == 0


def need_module(python, *modules):
    for module in modules:
        if not has(python, module):
            pytest.skip("%s is not installed for %s" % (module, python.tag))


def scrub(text):
    """What differs between any two runs: times, process numbers, temporary names."""
    text = re.sub(r"\d+\.\d+ ?s(econds?)?\b", "N s", text)
    text = re.sub(r"\bpid: ?\d+|\[\d+\]", "pid", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d([.,]\d+)?( ?\+\d{4})?", "TIME", text)
    text = re.sub(r"\d\d/[A-Z][a-z]{2}/\d{4} \d\d:\d\d:\d\d", "TIME", text)
    return re.sub(r"tmp[a-z0-9_]{8}|pip-[a-z-]*[a-z0-9_]{8}", "tmp", text)


@pytest.fixture
def alike(tmp_path, ctl_run):
    """Runs a command without and with the agent, each in a fresh directory made by prepare(path)."""

    def run(command, prepare=lambda path: None, env=None, status=0, text=scrub):
        place = tmp_path / "place"
        results = []
        for with_agent in (False, True):
            if place.exists():
                place.rename(tmp_path / "place-without")
            place.mkdir()
            prepare(place)
            if with_agent:
                result = ctl_run(command, default_rules=True, cwd=str(place), env=clean_env(**(env or {})), timeout=150)
                alerts = result.kind("alert")
                assert not alerts, alerts[:3]
                results.append((result.returncode, text(result.stdout), text(result.stderr)))
                assert result.kind("process"), "nothing was watched"
            else:
                done = subprocess.run([str(w) for w in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, cwd=str(place), env=clean_env(**(env or {})),
                                      timeout=150 * PATIENCE)
                assert done.returncode == status, (done.stdout.decode(), done.stderr.decode())
                results.append((done.returncode, text(done.stdout.decode()), text(done.stderr.decode())))
        assert results[0] == results[1]
        return results[1]

    return run
