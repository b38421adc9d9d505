# SPDX-License-Identifier: Apache-2.0
"""Ways around a denial, or to lose an event, that once worked."""
import pytest

from conftest import lost_of, rule

MARK = "attack.mark"
NO_SYSTEM = rule("no-system", ["os.system"])


def test_a_collection_inside_the_hook_hides_nothing(ctl_run, python, tmp_path):
    """Where the hook's own calls can start a garbage collection, what finalisers and callbacks do is judged."""
    ran = tmp_path / "ran"
    code = ("import gc, os\n"
            "armed = False\n"
            "def callback(phase, info):\n"
            "    if armed and phase == 'start':\n"
            "        try: os.system('touch %s')\n"
            "        except PermissionError: pass\n"
            "gc.callbacks.append(callback)\n"
            "for n in range(1, 200):\n"
            "    gc.set_threshold(n, 1000, 1000)\n"
            "    gc.disable(); gc.collect(); armed = True; gc.enable()\n"
            "    try: os.system('true')\n"
            "    except PermissionError: pass\n"
            "    armed = False\n" % ran)
    result = ctl_run([python, "-I", "-c", code], NO_SYSTEM, options=["--record", "exec"])
    assert result.returncode == 0, str(result)[:2000]
    assert not ran.exists()


def test_events_of_finalisers_are_all_there(ctl_run, python):
    code = ("import gc, sys\n"
            "class Thing:\n"
            "    def __init__(self): self.me = self\n"
            "    def __del__(self): sys.audit('%s', 'del')\n"
            "def raised(): sys.audit('%s', 'ev')\n"
            "for i in range(3000):\n"
            "    Thing(); raised()\n"
            "gc.collect()\n" % (MARK, MARK))
    result = ctl_run([python, "-I", "-c", code], options=["--record", "all"])
    marks = [e["args"][0] for e in result.events if e.get("event") == MARK]
    assert len(marks) + lost_of(result.events) >= 6000
    assert lost_of(result.events) > 0 or (marks.count("del"), marks.count("ev")) == (3000, 3000)


def test_a_limit_on_file_sizes_kills_nobody(ctl_run, python):
    code = "import subprocess, sys\nprint(1)\n" \
           "sys.exit(subprocess.call(['/bin/sh', '-c', 'ulimit -f 100; \"$0\" -I -c \"print(2)\"', sys.executable]))"
    result = ctl_run([python, "-I", "-c", code])
    assert (result.returncode, sorted(result.stdout.split())) == (0, ["1", "2"]), str(result)


OPEN = rule("no-secret", ["open"], ["file.path under '/etc/secret'"])
CONNECT = rule("no-net", ["socket.connect"], ["net.port = 9"])
UNIX = rule("no-unix", ["socket.connect"], ["net.path startswith '/run/'"])
FORMS = {
    "str subclass": "class S(str): pass\nopen(S('/' + './' * 1800 + 'etc/secret/f'))",
    "not ASCII": "open('/tmp/\\xe9/../' + './' * 1600 + '../etc/secret/f')",
    "bytearray": "import os\nos.open(bytearray(b'/etc/secret/f'), 0)",
    "host as bytearray": "import socket\nsocket.socket().connect((bytearray(b'127.0.0.1'), 9))",
    "unix path as bytearray": "import socket\nsocket.socket(socket.AF_UNIX).connect(bytearray(b'/run/x'))",
}


@pytest.mark.parametrize("form", FORMS)
def test_other_forms_of_an_argument_are_judged(ctl_run, python, form):
    result = ctl_run([python, "-I", "-c", FORMS[form]], OPEN, CONNECT, UNIX)
    last = result.stderr.strip().splitlines()[-1]
    if last.startswith("TypeError"):
        pytest.skip("this version takes no such argument: " + last)
    assert "PermissionError" in last and "pyauditd" in last, str(result)


def test_an_announced_act_covers_no_other(ctl_run, python):
    code = ("import os, sys\n"
            "from multiprocessing import util\n"
            "sys.audit('os.system', b'harmless')\n"
            "os.waitpid(util.spawnv_passfds(b'/bin/echo', [b'echo', b'hidden'], ()), 0)\n"
            "os.system('true')\n"
            "os.waitpid(util.spawnv_passfds(b'/bin/echo', [b'echo', b'again'], ()), 0)\n")
    result = ctl_run([python, "-I", "-c", code], options=["--record", "exec"])
    told = str([e["args"] for e in result.kind("event")])
    assert "hidden" in told and "again" in told, told


def test_a_killed_vfork_child_leaves_its_parent_judged(ctl_run, python):
    """The child of fork_exec shares the thread's memory with its parent; here it dies at many moments."""
    code = ("import os, signal, sys, threading, time\n"
            "from multiprocessing import util\n"
            "me = os.getpid()\n"
            "killer = os.fork()\n"
            "if killer == 0:\n"
            "    stop = time.monotonic() + 1.5\n"
            "    while time.monotonic() < stop:\n"
            "        try:\n"
            "            with open('/proc/%d/task/%d/children' % (me, me)) as f:\n"
            "                pids = [int(p) for p in f.read().split()]\n"
            "            [os.kill(p, signal.SIGKILL) for p in pids if p != os.getpid()]\n"
            "        except OSError: pass\n"
            "    os._exit(0)\n"
            "words = [b'true'] + [b'x' * 4000] * 60\n"
            "end = time.monotonic() + 1\n"
            "while time.monotonic() < end:\n"
            "    try: os.waitpid(util.spawnv_passfds(b'/bin/true', words, ()), 0)\n"
            "    except OSError: pass\n"
            "    try: os.system('true')\n"
            "    except PermissionError: continue\n"
            "    print('not judged'); break\n"
            "os.waitpid(killer, 0)\n")
    result = ctl_run([python, "-I", "-c", code], NO_SYSTEM, rule("seen", ["libc.exec"], action="record"), timeout=90)
    assert result.returncode == 0 and result.stdout == "", str(result)[:2000]


def test_a_long_first_path_hides_no_second_one(ctl_run, python, tmp_path):
    """Text that is not ASCII is copied: there is room for two paths of the kernel's length."""
    code = ("import os\n"
            "os.chdir(%r)\n"
            "open('x', 'w').close()\n"
            "os.rename('./' * 1000 + '\\xe9/../' * 250 + 'x', '/' + './' * 1000 + '\\xe9/../' * 250 + 'etc/secret/f')\n"
            % str(tmp_path))
    result = ctl_run([python, "-I", "-c", code], rule("first", ["os.rename"], ["file.path endswith '/y'"]),
                     rule("no-secret", ["os.rename"], ["file.target under '/etc/secret'"]))
    assert result.returncode == 1 and "rule 'no-secret' denied os.rename" in result.stderr, str(result)[:2000]
