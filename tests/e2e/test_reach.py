# SPDX-License-Identifier: Apache-2.0
"""The libc layer beyond programs: native code that connects, maps executable memory, traces, writes into other
processes or makes files without a name."""
import subprocess

import pytest

from conftest import clean_env, of_kind, rule, rules_of

LIBC = "libc = ctypes.CDLL(None, use_errno=True)"
PRELUDE = """
import ctypes, mmap, os, socket, struct
%s
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long] + [ctypes.c_void_p] * 3
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen(8)
port = server.getsockname()[1]
plain = socket.socket()
def native(family=socket.AF_INET, packed=None):
    address = struct.pack("=H", family) + (packed or struct.pack("!H4s8x", port, bytes([127, 0, 0, 1])))
    return libc.connect(plain.fileno(), address, len(address)), ctypes.get_errno()
""" % LIBC
page = "libc.mmap(None, 4096, 3, 0x22, -1, 0)"
ACTS = {
    "libc.connect": ("native()", lambda args: args[1] == ["127.0.0.1", args[1][1]]),
    "libc.mmap": ("libc.mmap(None, 4096, 7, 0x22, -1, 0) not in (None, 2 ** 64 - 1)", lambda args: args == [4096, 7, 34, -1]),
    "libc.mprotect": ("libc.mprotect(%s, 4096, 5), ctypes.get_errno()" % page, lambda args: args == [4096, 5]),
    "libc.ptrace": ("libc.ptrace(16, 999999999, None, None), ctypes.get_errno()", lambda args: args == [16, 999999999]),
    "libc.process_vm_writev": (
        "libc.process_vm_writev(999999999, (ctypes.c_size_t * 2)(0, 0), 1, (ctypes.c_size_t * 2)(4096, 5), 1, 0), "
        "ctypes.get_errno()", lambda args: args == [999999999, 5]),
    "libc.memfd_create": ("libc.memfd_create(b'name', 1) > 2", lambda args: args == ["name", 1]),
}


@pytest.mark.parametrize("event", ACTS)
def test_works_as_without_and_is_told(ctl_run, python_few, event):
    act, check = ACTS[event]
    code = PRELUDE + "print(%s)" % act
    alone = subprocess.run([str(python_few), "-I", "-c", code], stdout=subprocess.PIPE, env=clean_env())
    result = ctl_run([python_few, "-I", "-c", code], rule("told", event, action="record"))
    assert result.stdout == alone.stdout.decode() != "", str(result)
    told = [e for e in result.kind("event") if e["event"] == event]
    if event == "libc.mmap" and python_few.version >= (3, 14):  # which maps such memory for itself, too
        told = told[-1:]
    assert len(told) == 1 and told[0]["layer"] == "libc" and check(told[0]["args"]), str(result)


@pytest.mark.parametrize("library, known", [("PyDLL", True), ("CDLL", False)])
def test_the_caller_is_named_where_the_thread_holds_the_interpreter(ctl_run, python_few, library, known):
    code = PRELUDE.replace("CDLL", library) + "libc.memfd_create(b'name', 1)"
    result = ctl_run([python_few, "-I", "-c", code], rule("told", "libc.memfd_create", action="record"))
    (told,) = result.kind("event", event="libc.memfd_create")
    assert (told["caller"]["file"] == "<string>") if known else (told["caller"] is None), told


@pytest.mark.parametrize("event", ACTS)
def test_refused(ctl_run, python_few, event):
    code = PRELUDE + "print(%s, ctypes.get_errno())" % ACTS[event][0]
    result = ctl_run([python_few, "-I", "-c", code], rule("refused", event))
    assert result.stdout.rstrip().endswith("1") and ("-1" in result.stdout or "False" in result.stdout), str(result)
    alerts = [rules_of(a) for a in result.kind("alert", action="block")]
    assert alerts == [["refused"]] * (2 if event == "libc.mmap" and python_few.version >= (3, 14) else 1), str(result)


def test_a_connection_is_one_event_and_one_alert(ctl_run, python_few):
    """Where both layers see it: by name, by address, over IPv6, over a Unix socket, by asyncio, refused or not."""
    code = PRELUDE + r"""
import asyncio, tempfile, threading
socket.create_connection(("localhost", port)).close()
plain.connect(("127.0.0.1", port))
path = tempfile.mkdtemp() + "/s"
un = socket.socket(socket.AF_UNIX); un.bind(path); un.listen(4)
socket.socket(socket.AF_UNIX).connect(path)
abstract = socket.socket(socket.AF_UNIX); abstract.bind(b"\0pyaudit" + path.encode()); abstract.listen(4)
socket.socket(socket.AF_UNIX).connect(b"\0pyaudit" + path.encode())
async def main():
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
asyncio.new_event_loop().run_until_complete(main())
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.connect(("127.0.0.1", 9))
"""
    result = ctl_run([python_few, "-I", "-c", code], options=["--record", "network"])
    assert result.returncode == 0, str(result)
    connects = [e for e in result.kind("event") if e["event"] in ("socket.connect", "libc.connect")]
    assert len(connects) >= 6 and {e["event"] for e in connects} == {"socket.connect"}, connects


def test_the_finding_alone_is_quiet_where_python_told(ctl_run, python_few):
    """A rule that asks for native connections only: Python's own are not among them."""
    code = PRELUDE + "plain.connect(('127.0.0.1', port)); plain.close(); plain = socket.socket(); print(native()[0])"
    result = ctl_run([python_few, "-I", "-c", code], rule("native", "libc.connect", "not announced", action="alert"))
    assert result.stdout == "0\n", str(result)
    (alert,) = result.kind("alert")
    assert alert["event"] == "libc.connect", alert


def test_what_a_name_led_to_is_judged(ctl_run, python_few):
    """Python told a name; the address it has is the libc layer's to judge."""
    code = PRELUDE + ("try: plain.connect(('localhost', port)); print('connected')\n"
                      "except PermissionError as error: print(error.errno)")
    result = ctl_run([python_few, "-I", "-c", code], rule("no-loopback", "@network", "net.ip cidr '127.0.0.0/8'"))
    assert result.stdout == "" or "1" in result.stdout, str(result)  # bind is refused by the same rule
    code = code.replace('server.bind(("127.0.0.1", 0))', 'server.bind(("", 0))')
    result = ctl_run([python_few, "-I", "-c", code], rule("no-loopback", "@network", "net.ip cidr '127.0.0.0/8'"))
    assert result.stdout == "1\n", str(result)
    (alert,) = result.kind("alert", action="block")
    assert (alert["event"], alert["args"][1][0]) == ("libc.connect", "127.0.0.1"), alert


def test_other_families_and_bad_addresses_go_to_the_kernel(ctl_run, python_few):
    code = PRELUDE + r"""
for address in (b"", b"\1", struct.pack("=H", 0), struct.pack("=H", 999) + b"x" * 20, struct.pack("=H", 2),
                struct.pack("=H", 16) + b"\0" * 10, b"\2\0" + b"x" * 300):
    print(libc.connect(plain.fileno(), address, len(address)), ctypes.get_errno())
print(libc.connect(-1, None, 0), ctypes.get_errno(), libc.connect(plain.fileno(), None, 16), ctypes.get_errno())
print(libc.memfd_create(None, 0), ctypes.get_errno(), libc.mprotect(1, 4096, 7), ctypes.get_errno())
print(libc.mmap(None, 0, 7, 0x22, -1, 0) == 2 ** 64 - 1, ctypes.get_errno(), mmap.mmap(-1, 4096, prot=7) is not None)
"""
    alone = subprocess.run([str(python_few), "-I", "-c", code], stdout=subprocess.PIPE, env=clean_env())
    result = ctl_run([python_few, "-I", "-c", code], options=["--record", "all"])
    assert result.stdout == alone.stdout.decode() != "", str(result)


def test_programs_that_are_not_python_connect_as_ever(ctl_run):
    result = ctl_run(["/bin/sh", "-c", "perl -MSocket -e 'socket(S, AF_INET, SOCK_STREAM, 0); "
                      "connect(S, pack_sockaddr_in(1, inet_aton(\"127.0.0.1\"))); print $!+0' || echo 111"],
                     rule("refused", "@network"))
    assert result.stdout.strip() == "111" and not result.kind("alert"), str(result)
