# SPDX-License-Identifier: Apache-2.0
"""One user's connections, rings and frames, however many and whatever is in them, harm no other user: they are
refused with a reason, and a program of another user is watched as if they were not there.

The hostile user is 65534, for whom the tests have to run as root.

PYAUDIT_TRANSPORT=full connects 10,000 times; an ordinary run 1,500 times."""
import contextlib
import ctypes
import json
import os
import pathlib
import resource
import socket
import tempfile
import time

import pytest

from conftest import MARK, MARKS, NO_EXEC, PATIENCE, SYSTEM, hear, say, wait_for

FULL = os.environ.get("PYAUDIT_TRANSPORT") == "full"
OTHER = 65534

# Has the runtime directory as its own: the way there may be closed to this user.
HOSTILE = r"""
import array, fcntl, json, mmap, os, random, resource, socket, struct, sys, time
os.setgroups([]); os.setgid(%(uid)d); os.setuid(%(uid)d)

def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(20)
    s.connect('agent.sock')
    return s

def frame(type, payload=b'', length=None, major=1):
    return struct.pack('<2sBBHHI', b'PA', major, 1, type, 0, len(payload) if length is None else length) + payload

STRINGS = b'3.11\0/usr/bin/forged\0/\0\0\0forged\0'
def hello(pid=None, strings=STRINGS, n_argv=1, length=None):
    return frame(1, struct.pack('<IIIIQQBBHI', os.getpid() if pid is None else pid, 1, 0, 0, time.time_ns(), 0, 1, 1, n_argv,
                                len(strings) if length is None else length) + strings)

def ring(seal=True, size=13312, words=(0x31524150, 2, 5120, 9216, 4096, 4096, 4096, 4608, 64, 64)):
    fd = os.memfd_create('ring', os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    os.pwrite(fd, struct.pack('<10I', *words), 0)
    if seal:
        fcntl.fcntl(fd, 1033, 1 | 2 | 4)  # F_ADD_SEALS: SEAL, SHRINK, GROW
    return fd

def send(s, packet, *fds):
    try:
        s.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else [])
    except BrokenPipeError:  # refused before it was sent
        pass

def answer(s):
    # What the daemon says: why it refuses, 'policy', or '' where it closed.
    data = b''
    for i in range(2):
        try:
            data = s.recv(8192)
            break
        except ConnectionResetError:  # told first where the daemon closed with something unread
            pass
    if len(data) < 12:
        return ''
    return data[12:].decode() if data[4] == 17 else 'policy'

# Until the test is over: a child never comes back to the loop that made it.
def rest():
    sys.stdin.read()
    os._exit(0)

def tell(what):
    print(json.dumps(what), flush=True)

# What so many children say, a line each, by the pipe.
def tell_of(pipe, n):
    text = ''
    while text.count('\n') < n:
        text += os.read(pipe, 65536).decode()
    tell(sorted(set(text.split('\n')) - {''}))
""" % {"uid": OTHER}


def hostile(server, code):
    if os.geteuid() != 0:
        pytest.skip("another user is wanted: run as root")
    return server.spawn([SYSTEM, "-I", "-c", HOSTILE + code], env={"PATH": "/usr/bin:/bin"}, cwd=str(server.dir))


def told(program, seconds=60):
    return json.loads(hear(program, seconds=seconds))


def check_other(server):
    """A program of root's is attached, its denials are told, and its events are all there."""
    program = server.spawn([SYSTEM, "-I", "-c",
                            "import os, sys\n"
                            "for i in range(500): sys.audit('%s', 'x')\n"
                            "try: os.system('id')\n"
                            "except PermissionError: print('refused', flush=True)\n"
                            "sys.stdin.readline()\n" % MARK])
    hear(program, "refused")
    wait_for(lambda: program.pid in [p["pid"] for p in server.status()["processes"]], "root's program to be attached")
    events = [e for e in server.events() if e.get("pid") == program.pid]
    assert sum(e.get("event") == MARK for e in events) == 500
    assert [e["action"] for e in events if e["kind"] == "alert"] == ["block"]
    assert not any(e["kind"] == "loss" for e in events)
    say(program, "end")
    program.wait(30)


def test_agents_of_one_user_are_limited(daemon):
    server = daemon(NO_EXEC, MARKS, config="max_agents = 40\nuser_agents = 25\n")
    program = hostile(server, """
said, kids = [], []
for i in range(35):
    r, w = os.pipe()
    if os.fork() == 0:
        s = connect()
        send(s, hello(), ring())
        os.write(w, answer(s).encode() or b'closed')
        os.close(w)
        rest()
    os.close(w)
    said.append(os.read(r, 4096).decode())
tell(said)
sys.stdin.readline()
""")
    said = told(program)
    assert said.count("policy") == 25 and said.count("too many agents of this user") == 10, said
    check_other(server)
    assert "too many agents of this user" in server.log()


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400))
    ctypes.CDLL(None).prctl(24, 24, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_SYS_RESOURCE: and no more are to be had


def pidfds_of(pid):
    links = []
    for fd in os.listdir("/proc/%d/fd" % pid):
        # The process goes on meanwhile and may close what was listed (the connection of the status just asked for).
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink("/proc/%d/fd/%s" % (pid, fd)))
    return sum(link == "anon_inode:[pidfd]" or link.startswith("pidfd:") for link in links)


def test_where_descriptors_are_few_connections_come_first(daemon):
    """A process has a connection or a pidfd then, and nothing is lost by that."""
    server = daemon(MARKS, config="max_agents = 250\nuser_events = 200\n", begin=few_descriptors)
    assert "400 descriptors (RLIMIT_NOFILE, LimitNOFILE= of the unit) are enough for 186 agents" in server.log()
    program = hostile(server, """
r, w = os.pipe()
for i in range(180):
    if os.fork() == 0:
        s = connect()
        send(s, hello(), ring())
        os.write(w, (answer(s) or 'closed').encode() + b'\\n')
        rest()
tell_of(r, 180)
sys.stdin.readline()
""")
    assert told(program) == ["policy"]
    assert len(server.status()["processes"]) == 180 and 100 < pidfds_of(server.process.pid) < 160
    before = pidfds_of(server.process.pid)
    # More than the user may raise in a second: what is in its ring is read after its end.
    raises = server.spawn([SYSTEM, "-I", "-c", "import sys\nfor i in range(900): sys.audit('%s', i)" % MARK])
    raises.wait(30)
    # Another program in the same process: the connection is closed, the process goes on.
    becomes = server.spawn([SYSTEM, "-I", "-c", "import os; os.execv('/bin/cat', ['cat'])"])
    say(becomes, "here")
    hear(becomes, "here")

    def of(pid, kind):
        return sum(e.get("pid") == pid and e["kind"] == kind for e in server.events())

    wait_for(lambda: of(raises.pid, "event") == 900, "all that was raised")
    wait_for(lambda: pidfds_of(server.process.pid) == before + 1, "the end of what became another to be waited for")
    assert of(raises.pid, "loss") == 0
    events = [e for e in server.events() if e.get("pid") == becomes.pid]
    assert not any(e.get("event") == "process.exit" or e["kind"] == "process.exit" for e in events), events
    becomes.stdin.close()
    becomes.wait(30)
    program.stdin.close()
    wait_for(lambda: not server.status()["processes"], "their ends to be seen")


def test_one_process_connects_again_and_again(daemon):
    server = daemon(NO_EXEC, MARKS)
    n = 10000 if FULL else 1500
    program = hostile(server, """
kept, why = [], set()
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
for i in range(%d):
    s = connect()
    if i >= 8:
        why.add(answer(s))
    if len(kept) < 500:
        kept.append(s)
tell(sorted(why))
sys.stdin.readline()
""" % n)
    assert told(program, 120) == ["too many connections of this process"]
    check_other(server)


def test_connections_that_say_nothing_are_limited_and_end(daemon):
    server = daemon(NO_EXEC, MARKS)
    program = hostile(server, """
r, w = os.pipe()
for i in range(48):
    if os.fork() == 0:
        held = [connect() for k in range(7)]
        held[-1].setblocking(True)
        os.write(w, (answer(held[-1]) or 'closed').encode() + b'\\n')
        rest()
tell_of(r, 48)
sys.stdin.readline()
""")
    check_other(server)
    why = told(program)
    assert why == ["no hello in time", "too many connections of this user say nothing"], why


def test_memory_of_one_user_is_limited(daemon):
    server = daemon(NO_EXEC, MARKS, config="user_memory = 70M\n")
    program = hostile(server, """
size = 16 << 20
words = (0x31524150, 2, 4096 + 1024, 4096 + 1024 + size, size, size, 4096, 4608, 64, 64)
s = [connect() for i in range(3)]
said = []
for one in s:
    send(one, hello(), ring(size=4096 + 1024 + 2 * size, words=words))
    said.append(answer(one))
tell(said)
sys.stdin.readline()
""")
    assert told(program) == ["policy", "policy", "the rings of this user take too much memory"]
    check_other(server)


FRAMES = {
    "no frame": ("send(s, b'x')", "not a frame"),
    "another magic": ("send(s, b'XX' + hello()[2:])", "not a frame"),
    "another version": ("send(s, frame(1, major=9))", "another version of the protocol"),
    "cut": ("send(s, hello()[:30])", "not a frame"),
    "too long": ("send(s, frame(1, bytes(60000)))", "not a frame"),
    "lies about its length": ("send(s, frame(1, b'x' * 10, 4000))", "not a frame"),
    "hello cut short": ("send(s, frame(1, b'x' * 10))", "the hello is malformed"),
    "strings beyond the frame": ("send(s, hello(length=6000))", "the hello is malformed"),
    "strings without an end": ("send(s, hello(strings=b'x' * 100))", "the hello is malformed"),
    "more arguments than there are": ("send(s, hello(n_argv=60))", "the hello is malformed"),
    "a record before hello": ("send(s, frame(3, bytes(64)))", "the first packet is no hello"),
    "a loss before hello": ("send(s, frame(4, bytes(8)))", "the first packet is no hello"),
    "a policy from an agent": ("send(s, frame(16, bytes(16)))", "the first packet is no hello"),
    "a pipe for a ring": ("send(s, hello(), os.pipe()[0])", "the ring is not a memfd sealed against resizing"),
    "a directory": ("send(s, hello(), os.open('/', os.O_RDONLY))", "the ring is not a memfd sealed against resizing"),
    "a socket": ("send(s, hello(), s.fileno())", "the ring is not a memfd sealed against resizing"),
    "a file": ("send(s, hello(), os.open('/etc/passwd', os.O_RDONLY))", "the ring is not a memfd sealed against resizing"),
    "not sealed": ("send(s, hello(), ring(seal=False))", "the ring is not a memfd sealed against resizing"),
    "a ring too small": ("send(s, hello(), ring(size=100))", "the ring's size is out of bounds"),
    "another ring version": ("send(s, hello(), ring(words=(0x31524150, 9) + (0,) * 8))", "the ring is of another version"),
    "lanes elsewhere": ("send(s, hello(), ring(words=(0x31524150, 2, 0, 9216, 4096, 4096, 4096, 4608, 64, 64)))",
                        "a lane is not where it belongs"),
    "twenty descriptors": ("send(s, hello(), *[os.open('/', os.O_RDONLY) for i in range(20)])",
                           "no descriptor is left for its ring"),
    "hello twice": ("send(s, hello(), ring()); answer(s); send(s, hello(), ring())", "the hello is malformed"),
}


def test_frames_that_are_none_are_refused_with_a_reason(daemon):
    server = daemon(NO_EXEC, MARKS)
    program = hostile(server, "said = {}\n" + "".join(
        "s = connect(); %s; said[%r] = answer(s); s.close()\n" % (code, name) for name, (code, _) in FRAMES.items()) +
        "tell(said)\nsys.stdin.readline()\n")
    assert told(program) == {name: why for name, (_, why) in FRAMES.items()}
    check_other(server)


def test_a_forged_process_is_known_by_the_socket(daemon):
    server = daemon(NO_EXEC, MARKS)
    program = hostile(server, """
s = connect()
send(s, hello(pid=1), ring())
answer(s)
tell(os.getpid())
sys.stdin.readline()
""")
    pid = told(program)
    process = [p for p in server.status()["processes"] if p["uid"] == OTHER]
    assert [(p["pid"], p["exe"]) for p in process] == [(pid, os.path.realpath(str(SYSTEM)))], process
    check_other(server)


def test_a_ring_that_is_rewritten_while_it_is_read(daemon):
    server = daemon(NO_EXEC, MARKS)
    program = hostile(server, """
import threading
choose = random.Random(5)
tell('ready')
end = time.monotonic() + 3
while time.monotonic() < end:
    pids = []
    for i in range(4):
        pid = os.fork()
        if pid == 0:
            fd, s = ring(), connect()
            memory = mmap.mmap(fd, 13312)
            send(s, hello(), fd)
            answer(s)
            s.settimeout(.01)
            for k in range(4000):
                at = choose.choice((64, 72, 192, 200, 208, 216, 224, 232, 4096 + choose.randrange(130) * 8, 5120 +
                                    choose.randrange(1000) * 8))
                value = choose.choice((0, 1, 2, 3, 1 << 63, choose.getrandbits(64), 4 << 2 | 2, choose.getrandbits(14)))
                memory[at:at + 8] = struct.pack('<Q', value)
                if k % 500 == 0:
                    send(s, frame(2))
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
tell('done')
sys.stdin.readline()
""")
    assert told(program) == "ready"
    check_other(server)
    assert told(program) == "done"
    check_other(server)


def test_a_client_that_never_reads_harms_no_other(daemon):
    server = daemon(NO_EXEC, MARKS, config="client_buffer = 64K\n")
    deaf = socket.socket(socket.AF_UNIX)
    deaf.connect(str(server.dir / "control.sock"))
    deaf.sendall(b'{"request":"tail"}\n')
    with server.tail("event = '%s'" % MARK) as reader:
        check_other(server)
        seen = 0
        while seen < 500:
            line = reader.line()  # what comes while it does not read, it misses as well, and is told so
            seen += line["lost"] if line["kind"] == "loss" else 1
    deaf.close()


def test_events_of_one_user_are_limited_and_counted(daemon):
    server = daemon(MARKS, config="user_events = 500\n")
    n = 6000
    program = server.spawn([SYSTEM, "-I", "-c", "import sys\nfor i in range(%d): sys.audit('%s', 'x')\n"
                                                "print('done', flush=True)\nsys.stdin.readline()\n" % (n, MARK)])
    hear(program, "done")

    def all_told():
        found = [p for p in server.status()["processes"] if p["pid"] == program.pid]
        return found and found[0]["events"] + found[0]["lost"] >= n and found[0]
    process = wait_for(all_told, "what was raised to be read or told as lost", 60)
    assert process["events"] + process["lost"] == n, process
    assert set(process["losses"]) == {"user-limit"} and process["events"] >= 500, process


# Raises events as fast as it can, as the user who is its argument.
FLOOD = """
import os, select, sys
uid = int(sys.argv[1])
if os.fork():
    os.wait()
    os._exit(0)
if uid:
    os.setgroups([]); os.setgid(uid); os.setuid(uid)
print('ready', flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for i in range(1000):
        sys.audit('%s', 'x')
print('done', flush=True)
""" % MARK


def test_room_of_a_sink_is_shared_among_users(daemon):
    """Rings of one user are full all the while, and the event file's queue has room for a part of one turn."""
    if os.geteuid() != 0:
        pytest.skip("another user is wanted: run as root")
    server = daemon(MARKS, config="sink_queue = 64K\n")
    for folder in server.dir, *server.dir.parents:  # the other one has to come to the socket
        if pathlib.Path(tempfile.gettempdir()) in folder.parents:
            folder.chmod(folder.stat().st_mode | 0o011)
    programs = [server.spawn([SYSTEM, "-I", "-c", FLOOD, uid]) for uid in (0, 0, OTHER, 0, 0)]
    for program in programs:
        hear(program, "ready")
    time.sleep(2 * PATIENCE)
    events = {}
    for process in server.status()["processes"]:
        events[process["uid"]] = events.get(process["uid"], 0) + process["events"]
    for program in programs:
        say(program, "stop")
        hear(program, "done")
    assert events.get(OTHER, 0) > sum(events.values()) // 6, events
