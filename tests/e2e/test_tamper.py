# SPDX-License-Identifier: Apache-2.0
"""The hook taken out of the interpreter's list, by code that was allowed to write to memory: the libc layer goes on
and says so, and the daemon finds out by itself."""
import pytest

from conftest import MARK, MARKS, NO_EXEC, hear, of_kind, say, wait_for

# Finds the head of the list as an attacker would: in _PyRuntime, the word that leads to an entry with a function of
# the agent's in it. How the memory is written is the argument.
UNHOOK = r"""
import ctypes, os, re, struct, subprocess, sys
agent = [tuple(int(x, 16) for x in line.split()[0].split('-')) for line in open('/proc/self/maps')
         if 'libpyaudit-agent' in line and 'x' in line.split()[1]]
runtime = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, '_PyRuntime'))
memory = open('/proc/self/mem', 'r+b', buffering=0)
def word(address):
    memory.seek(address)
    return struct.unpack('Q', memory.read(8))[0]
def is_entry(address):
    try:
        function = word(address + 8)
    except (OSError, OverflowError, ValueError):
        return False
    return any(low <= function < high for low, high in agent)
head = next(a for a in range(runtime, runtime + 400000, 8) if word(a) > 4096 and word(a) % 8 == 0 and is_entry(word(a)))
def unhook(way):
    entry = word(head)
    if way == 'ctypes':
        ctypes.c_void_p.from_address(head).value = 0
    elif way == 'mem':
        memory.seek(head); memory.write(bytes(8))
    else:
        harmless = ctypes.cast(ctypes.pythonapi.PyErr_Occurred, ctypes.c_void_p).value
        memory.seek(entry + 8); memory.write(struct.pack('Q', harmless))
print('ready', flush=True)
for line in sys.stdin:
    way = line.strip()
    if way == 'exec':
        try:
            subprocess.run(['true']); print('ran', flush=True)
        except PermissionError as error:
            print(error.errno, flush=True)
    elif way == 'mark':
        sys.audit('%s', 1); print('marked', flush=True)
    elif way:
        unhook(way); print('unhooked', flush=True)
""" .replace("%s", MARK)


@pytest.fixture
def victim(daemon, python):
    server = daemon(NO_EXEC, MARKS, config="verify_ms = 100")
    program = server.spawn([python, "-I", "-c", UNHOOK])
    hear(program, "ready")
    say(program, "mark")
    hear(program, "marked")
    return server, program


@pytest.mark.parametrize("way", ["ctypes", "mem", "function"])
def test_the_daemon_finds_out(victim, way):
    server, program = victim
    wait_for(lambda: server.status()["processes"][0]["hook"] == "listed", "the daemon to look", 15)
    say(program, way)
    hear(program, "unhooked")
    wait_for(lambda: server.status()["processes"][0]["hook"] == "removed", "the daemon to find out", 15)
    (alert,) = of_kind(server.events(), "alert", event="pyaudit.hook_removed")
    assert (alert["layer"], alert["severity"], alert["pid"]) == ("daemon", "error", program.pid)


def test_the_libc_layer_goes_on_and_says_so(victim):
    server, program = victim
    say(program, "ctypes")
    hear(program, "unhooked")
    for _ in range(2):
        say(program, "exec")
        hear(program, "1")
    alerts = of_kind(server.events(), "alert")
    assert [a["event"] for a in alerts if a["layer"] == "libc"].count("pyaudit.hook_removed") == 1, alerts
    assert len([a for a in alerts if a["action"] == "block" and a["layer"] == "libc"]) >= 2, alerts


def test_an_honest_program_is_not_accused(daemon, python):
    """Ends its interpreter, forks, becomes another program, closes what it has: none of it is a finding."""
    server = daemon(MARKS, config="verify_ms = 100")
    code = ("import os, sys, time\nsys.audit('%s', 1)\n"
            "pid = os.fork()\n"
            "if pid == 0:\n    sys.audit('%s', 2)\n    time.sleep(2)\n    os.execvp('sleep', ['sleep', '3'])\n"
            "os.closerange(3, 4096)\nos.waitpid(pid, 0)\n" % (MARK, MARK))
    done = server.run([python, "-I", "-c", code])
    assert done.returncode == 0, done
    assert not of_kind(server.events(), "alert")
