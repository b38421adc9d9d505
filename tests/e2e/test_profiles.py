# SPDX-License-Identifier: Apache-2.0
"""What each profile lets pass and refuses, by real programs."""
import subprocess
import tarfile

import pytest

from conftest import CTL, DAEMON, PATIENCE, SYSTEM, clean_env, rule, wait_for

# Computing: what it may do is told nobody.
PLAIN = r"""
import asyncio, collections, csv, dataclasses, decimal, hashlib, json, logging, os, pathlib, re, sqlite3
import statistics, tempfile, threading, zipfile
with open("result.json", "w") as file:
    json.dump({"a": statistics.mean([1, 2])}, file)
os.makedirs("out/sub", exist_ok=True)
pathlib.Path("out/sub/x..txt").write_text("y")
os.rename("out/sub/x..txt", "out/sub/z")
os.chdir("out")
with tempfile.TemporaryDirectory() as folder:
    with zipfile.ZipFile(os.path.join(folder, "a.zip"), "w") as archive:
        archive.writestr("x", "y")
sqlite3.connect(":memory:").execute("select 1")
async def later():
    await asyncio.sleep(0.01)
asyncio.run(later())
thread = threading.Thread(target=lambda: None)
thread.start(); thread.join()
import ctypes
try:
    import numpy
    assert numpy.linalg.inv(numpy.eye(2))[0][0] == 1
except ImportError:
    pass
print("done")
"""

# Each has to end in PermissionError and to leave nothing behind.
REFUSED = {
    "system": "import os; os.system('touch {mark}')",
    "subprocess": "import subprocess; subprocess.run(['touch', '{mark}'])",
    "posix_spawn": "import os; os.posix_spawn('/usr/bin/touch', ['touch', '{mark}'], {{}})",
    "exec": "import os; os.execv('/usr/bin/touch', ['touch', '{mark}'])",
    "connect": "import socket; socket.create_connection(('127.0.0.1', 9))",
    "unix socket": "import socket; socket.socket(socket.AF_UNIX).connect('/run/docker.sock')",
    "lookup": "import socket; socket.getaddrinfo('example.org', 80)",
    "listen": "import socket; socket.socket().bind(('127.0.0.1', 0))",
    "urllib": "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/')",
    "write": "open('{mark}', 'w')",
    "write above": "open('../mark', 'w')",
    "write roundabout": "open('/tmp/../{mark}', 'w')",
    "rename": "import os; open('x', 'w').close(); os.rename('x', '{mark}')",
    "link": "import os; os.symlink('/', 'x')",
    "chdir": "import os; os.chdir('/')",
    "ctypes libc": "import ctypes; ctypes.CDLL('libc.so.6').syscall(59, b'/usr/bin/touch', None, None)",
    "ctypes self": "import ctypes; ctypes.CDLL(None).syscall(59, b'/usr/bin/touch', None, None)",
    "ctypes handle": "import _ctypes; _ctypes.dlsym(_ctypes.dlopen('libc.so.6', 0), 'syscall')",
    "ctypes pythonapi": "import ctypes; ctypes.pythonapi.PyMemoryView_FromMemory",
    "ctypes memory": "import ctypes; (ctypes.c_char * 8).from_address(id(1))[0]",
    "extension": "import sys, importlib.machinery as m; m.ExtensionFileLoader('own', './own.so').create_module("
                 "m.ModuleSpec('own', None, origin='./own.so'))",
    "memory file": "open('/proc/self/mem', 'r+b')",
    "shadow": "open('/etc/shadow')",
    "kill": "import os; os.kill(os.getppid(), 15)",
}


@pytest.fixture
def workspace(tmp_path):
    folder = tmp_path / "space/work"
    folder.mkdir(parents=True)
    return folder


def test_agent_lets_code_compute(ctl_run, python_few, workspace):
    done = ctl_run([python_few, "-c", PLAIN], options=["--profile", "agent"], default_rules=True, cwd=str(workspace))
    assert done.returncode == 0 and done.stdout == "done\n", done
    assert not done.kind("alert"), done.kind("alert")
    assert (workspace / "result.json").exists()


def test_agent_refuses_all_else(ctl_run, python_few, workspace, tmp_path):
    # One process for all of them: each alone would be an interpreter's start.
    mark = "/var/lib/pyaudit-test-mark"
    acts = "".join("try:\n    exec(%r)\n    print('ran:', %r)\nexcept PermissionError as e:\n    said[%r] = str(e)\n"
                   "except BaseException as e:\n    print('other:', %r, repr(e))\n"
                   % (act.format(mark=mark), name, name, name) for name, act in REFUSED.items())
    script = workspace / "untrusted.py"
    # What fails in a child after fork is told nobody but the rules; from 3.14 on there is an event before.
    acts += ("import multiprocessing.util as u, os\ntry: os.waitpid(u.spawnv_passfds(b'/usr/bin/touch', "
             "[b'touch', b'%s'], []), 0)\nexcept PermissionError: pass\n" % mark)
    script.write_text("said = {}\n" + acts + "print(len(said))\n")
    done = ctl_run([python_few, script], options=["--profile", "agent"], default_rules=True, cwd=str(workspace),
                   env=clean_env(TMPDIR=workspace))
    assert done.returncode == 0 and done.stdout == "%d\n" % len(REFUSED), done
    import os
    assert not os.path.exists(mark) and not (workspace.parent / "mark").exists()
    assert {r for e in done.kind("alert", action="block") for r in e["rules"]} >= {
        "agent-program", "agent-network", "agent-write", "agent-chdir", "agent-link", "agent-library",
        "agent-extension", "agent-signal"}


SETUP = """
from setuptools import setup
%s
setup(name="quietpkg", version="1.0", py_modules=["quietpkg"])
"""


def make_sdist(folder, extra=""):
    folder.mkdir()
    (folder / "setup.py").write_text(SETUP % extra)
    (folder / "quietpkg.py").write_text("x = 1\n")
    (folder / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: quietpkg\nVersion: 1.0\n")
    path = folder.parent / (folder.name + ".tar.gz")
    with tarfile.open(str(path), "w:gz") as archive:
        archive.add(str(folder), "quietpkg-1.0")
    return path


@pytest.fixture
def pip(ctl_run, tmp_path):
    """pip(archive): installs it under the profile `build`."""
    if subprocess.run([str(SYSTEM), "-c", "import setuptools, wheel, pip"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("%s has no pip, setuptools and wheel" % SYSTEM.path)

    def install(archive):
        return ctl_run([SYSTEM, "-m", "pip", "install", "--quiet", "--no-index", "--no-build-isolation", "--no-deps",
                        "--disable-pip-version-check", "--no-cache-dir", "--target", tmp_path / "target", archive],
                       options=["--profile", "build"], default_rules=True, timeout=120,
                       env=clean_env(HOME=tmp_path))

    return install


def test_build_lets_pip_install_quietly(pip, tmp_path):
    done = pip(make_sdist(tmp_path / "quiet"))
    assert done.returncode == 0 and (tmp_path / "target/quietpkg.py").exists(), done
    assert not done.kind("alert"), done.kind("alert")


def test_build_refuses_a_setup_script_that_does_more(pip, tmp_path):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id_ed25519").write_text("secret")
    extra = ("import os, socket\ntry:\n    open(os.path.expanduser('~/.ssh/id_ed25519'))\n"
             "except PermissionError:\n    pass\nsocket.create_connection(('198.51.100.7', 9), 2)\n")
    done = pip(make_sdist(tmp_path / "evil", extra))
    assert done.returncode != 0 and not (tmp_path / "target/quietpkg.py").exists(), done
    assert {r for e in done.kind("alert", action="block") for r in e["rules"]} >= {
        "build-reads-credentials", "installer-connects"}, done


def test_audit_records_everything_and_refuses_nothing(ctl_run, python_few):
    done = ctl_run([python_few, "-I", "-c", "import os; os.system('true'); open('/etc/hostname').close()"],
                   rule("no-exec", "@exec"), options=["--profile", "audit"], default_rules=True)
    assert done.returncode == 0, done
    assert {"open", "os.system", "import"} <= {e["event"] for e in done.kind("event") + done.kind("alert")}
    assert done.kind("alert", rule="no-exec")[0]["observed"] and not done.kind("alert", action="block")


def test_a_daemon_takes_its_profile_from_its_settings(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir(mode=0o755)
    conf = tmp_path / "pyauditd.conf"
    conf.write_text("dir = %s\njournal = no\nprofile = agent\n" % folder)
    daemon = subprocess.Popen([str(DAEMON), "--config", str(conf)], stderr=subprocess.PIPE, env=clean_env())
    try:
        def status():
            return subprocess.run([str(CTL), "status", "--json", "--dir", str(folder)], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, env=clean_env()).stdout
        assert b"profiles/agent.json" in wait_for(status, "the daemon to answer")
    finally:
        daemon.terminate()
        daemon.communicate(timeout=20 * PATIENCE)
    conf.write_text("dir = %s\njournal = no\nprofile = agent\ndefault_rules = no\n" % folder)
    done = subprocess.run([str(DAEMON), "--config", str(conf)], stderr=subprocess.PIPE, env=clean_env(),
                          timeout=30 * PATIENCE)
    assert done.returncode != 0 and b"the profile agent stands on the shipped rules" in done.stderr, done


def test_unknown_profiles_are_mistakes():
    done = subprocess.run([str(CTL), "run", "--profile", "agnet", "true"], stderr=subprocess.PIPE, env=clean_env())
    assert done.returncode == 2 and b"unknown profile 'agnet', did you mean 'agent'?" in done.stderr
    done = subprocess.run([str(CTL), "run", "--profile", "agent", "--no-default-rules", "true"],
                          stderr=subprocess.PIPE, env=clean_env())
    assert done.returncode == 2 and b"a profile stands on the shipped rules" in done.stderr


@pytest.mark.parametrize("profile", ("server", "build", "agent", "audit"))
def test_rules_of_profiles_are_tested_themselves(profile):
    from conftest import ROOT
    paths = [str(ROOT / "config/rules.d"), str(ROOT / "config/profiles" / (profile + ".json"))]
    for command in (["check", "--strict"], ["test"]):
        done = subprocess.run([str(CTL), "rules"] + command + paths, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=clean_env(), timeout=60 * PATIENCE)
        assert done.returncode == 0, done.stdout.decode()
