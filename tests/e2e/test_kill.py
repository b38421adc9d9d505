# SPDX-License-Identifier: Apache-2.0
"""`kill`: the event is delivered, the process is gone, and nothing of the act has happened."""
import signal

import pytest

from conftest import rule, rules_of, wait_for

KILL = rule("no-exec", "@exec", "exec.name = 'touch'", action="kill", severity="critical")

# Each would leave the file {0}, and go on after a PermissionError.
ACTS = {
    "subprocess": "import subprocess\ntry:\n subprocess.run(['touch', {0!r}])\nexcept PermissionError:\n pass\n",
    "os.execv": "import os\ntry:\n os.execv('/usr/bin/touch', ['touch', {0!r}])\nexcept PermissionError:\n pass\n",
    "posix_spawn": ("import os\ntry:\n os.posix_spawn('/usr/bin/touch', ['touch', {0!r}], os.environ)\n"
                    "except PermissionError:\n pass\n"),
    # Without an audit event: the libc layer ends it, from the child between fork and exec.
    "fork_exec": ("import ctypes, os\n"
                  "child = os.fork()\n"
                  "if child == 0:\n"
                  " words = (ctypes.c_char_p * 3)(b'touch', {0!r}.encode(), None)\n"
                  " ctypes.CDLL(None).execv(b'/usr/bin/touch', words)\n"
                  " os._exit(0)\n"
                  "os.waitpid(child, 0)\n"),
}


@pytest.mark.parametrize("act", sorted(set(ACTS) - {"fork_exec"}))
def test_the_process_ends_and_the_event_is_delivered(ctl_run, python, act, tmp_path):
    mark = tmp_path / "mark"
    code = "import atexit; atexit.register(print, 'handlers ran')\n" + ACTS[act].format(str(mark)) + "print('went on')\n"
    result = ctl_run([python, "-I", "-c", code], KILL)
    assert result.returncode == 128 + signal.SIGKILL, str(result)
    assert result.stdout == "", str(result)
    assert not mark.exists()
    alerts = result.kind("alert")
    assert [a["action"] for a in alerts] == ["kill"], str(result)
    assert rules_of(alerts[0]) == ["no-exec"]
    assert alerts[0]["severity"] == "critical"
    assert "ended the process by rule no-exec" in alerts[0]["message"], alerts[0]


def test_a_native_act_of_a_child_ends_the_child(ctl_run, python_few, tmp_path):
    mark = tmp_path / "mark"
    result = ctl_run([python_few, "-I", "-c", ACTS["fork_exec"].format(str(mark))], KILL)
    assert not mark.exists()
    alerts = result.kind("alert", action="kill")
    assert len(alerts) == 1 and alerts[0]["layer"] == "libc", str(result)


def test_threads_end_with_the_process(ctl_run, python_few, tmp_path):
    code = ("import subprocess, threading, time\n"
            "def act():\n"
            "    try:\n"
            "        subprocess.run(['touch', %r])\n"
            "    except PermissionError:\n"
            "        pass\n"
            "threading.Thread(target=act).start()\n"
            "time.sleep(60)\n" % str(tmp_path / "mark"))
    result = ctl_run([python_few, "-I", "-c", code], KILL)
    assert result.returncode == 128 + signal.SIGKILL, str(result)
    assert len(result.kind("alert", action="kill")) == 1, str(result)


def test_observe_mode_lets_it_live(ctl_run, python_few, tmp_path):
    mark = tmp_path / "mark"
    result = ctl_run([python_few, "-I", "-c", ACTS["subprocess"].format(str(mark)) + "print('went on')\n"],
                     KILL, options=["--observe"])
    assert (result.returncode, result.stdout) == (0, "went on\n"), str(result)
    assert mark.exists()
    alert = result.kind("alert")[0]
    assert (alert["action"], alert["observed"]) == ("alert", True), alert


def test_it_holds_while_the_daemon_is_stopped(daemon, python_few, tmp_path):
    d = daemon(KILL)
    mark = tmp_path / "mark"
    d.signal(signal.SIGSTOP)
    done = d.run([python_few, "-I", "-c", ACTS["subprocess"].format(str(mark))])
    assert done.returncode == -signal.SIGKILL, done
    d.signal(signal.SIGCONT)
    wait_for(lambda: [e for e in d.events() if e.get("action") == "kill"], "the alert")
    assert not mark.exists()
