# SPDX-License-Identifier: Apache-2.0
"""A small part of CPython's own test suite with and without the agent; tests/cpython.py runs all of it."""
import importlib.util
import os
import subprocess

import pytest

from conftest import INTERPRETERS, ROOT, SANITIZED

# What lives near the agent and takes a second or two. PYAUDIT_CPYTHON names others.
FILES = os.environ.get("PYAUDIT_CPYTHON", "test_atexit test_code test_fork1 test_frame test_popen").split()


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("cpython", str(ROOT / "tests/cpython.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def newest():
    """The newest interpreter that has its test suite."""
    for python in sorted(INTERPRETERS, key=lambda i: i.version, reverse=True):
        if subprocess.run([str(python), "-I", "-c", "import test.test_code"], stderr=subprocess.DEVNULL).returncode == 0:
            return python
    return pytest.skip("no interpreter has its test suite")


@pytest.mark.skipif(bool(SANITIZED), reason="the agent in interpreters is the same without sanitizers")
@pytest.mark.parametrize("file", FILES)
def test_the_same_with_the_agent(script, newest, tmp_path, file):
    daemon = script.Record(tmp_path).start()
    try:
        found = script.compare(newest, file, daemon.sides(), again=2)
        daemon.drain()
        n_events = daemon.status()["events"]
    finally:
        daemon.stop()
    known = script.read_list()
    new = {name: sides for name, sides in found["differences"].items()
           if not script.known("differs", known, newest, file + ":" + name)}
    assert new == {}, found["output"][-4000:]
    assert found["tests"] > 3
    assert n_events > 100  # it was there
