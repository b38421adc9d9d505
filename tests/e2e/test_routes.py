# SPDX-License-Identifier: Apache-2.0
"""Every way to start a program from Python, each with a denial that holds and one alert."""
import subprocess

import pytest

from conftest import rule, rules_of

NO_ID = rule("no-id", ["@exec"], ["exec.name = 'id' or exec.cmdline matches '(^|-c )(exec )?id( |$)' or exec.path startswith '/memfd:'"],
             severity="critical")

# The body of a function that returns or raises; `child` runs what becomes another program in a forked child.
ROUTES = {
    "subprocess": "return subprocess.run(['id'], stdout=OUT).returncode",
    "subprocess posix_spawn": "return subprocess.run(['/usr/bin/id'], stdout=OUT, close_fds=False).returncode",
    "subprocess shell": "return subprocess.run('id', shell=True, stdout=OUT).returncode",
    "subprocess preexec_fn": "return subprocess.run(['id'], stdout=OUT, preexec_fn=lambda: None).returncode",
    "os.system": "return os.system('id')",
    "posix.system": "import posix; return posix.system('id')",
    "os.popen": "return os.popen('id').read()",
    "os.execv": "return child(lambda: os.execv('/usr/bin/id', ['id']))",
    "os.execvp": "return child(lambda: os.execvp('id', ['id']))",
    "os.execve": "return child(lambda: os.execve('/usr/bin/id', ['id'], {}))",
    "os.execlp": "return child(lambda: os.execlp('id', 'id'))",
    "os.execve by descriptor": "return child(lambda: os.execve(os.open('/usr/bin/id', os.O_RDONLY), ['x'], {}))",
    "memfd": """
        fd = os.memfd_create('x')
        os.write(fd, open('/usr/bin/id', 'rb').read())
        return child(lambda: os.execve(fd, ['x'], {}))""",
    "os.posix_spawn": "return os.waitpid(os.posix_spawn('/usr/bin/id', ['id'], os.environ), 0)[1]",
    "os.posix_spawnp": "return os.waitpid(os.posix_spawnp('id', ['id'], os.environ), 0)[1]",
    "os.spawnv": "return os.spawnv(os.P_WAIT, '/usr/bin/id', ['id'])",
    "os.spawnlp": "return os.spawnlp(os.P_WAIT, 'id', 'id')",
    "pty.spawn": "import pty; return pty.spawn(['id'])",
    "asyncio exec": "import asyncio; return asyncio.new_event_loop().run_until_complete(asyncio.create_subprocess_exec('id'))",
    "asyncio shell": "import asyncio; return asyncio.new_event_loop().run_until_complete(asyncio.create_subprocess_shell('id'))",
    "multiprocessing": "from multiprocessing import util; return os.waitpid(util.spawnv_passfds(b'/usr/bin/id', [b'id'], ()), 0)[1]",
    "webbrowser": "import webbrowser; return webbrowser.get('id %s').open('http://127.0.0.1/')",
    "pager": "import pydoc; return pydoc.pipepager('text', 'id')",
    "ctypes system": "import ctypes; return ctypes.CDLL(None).system(b'id')",
    "ctypes execve": """
        import ctypes
        words = (ctypes.c_char_p * 2)(b'id', None)
        return child(lambda: ctypes.CDLL(None).execve(b'/usr/bin/id', words, None))""",
    "extension": "import acts",
    "cffi": "import cffi; ffi = cffi.FFI(); ffi.cdef('int system(const char *);'); return ffi.dlopen(None).system(b'id')",
}
SEARCHED = {"os.execvp", "os.execlp", "os.spawnlp"}
PROGRAM = """
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
OUT = None
def child(act):
    pid = os.fork()
    if pid == 0:
        try:
            act()
        finally:
            os._exit(9)
    return os.waitpid(pid, 0)[1]
def route():
%s
try:
    print('returned', route())
except (PermissionError, ImportError) as error:
    print('refused', error)
"""
# An extension module that needs no headers, and so works in every version.
EXTENSION = """
#include <unistd.h>
extern void *PyExc_ImportError;
extern void PyErr_SetString(void *, const char *);
void *PyInit_acts(void)
{
	char *words[] = {"id", NULL};
	execvp("id", words);
	PyErr_SetString(PyExc_ImportError, "not executed");
	return NULL;
}
"""


@pytest.fixture(scope="module")
def extension(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extension")
    (folder / "acts.c").write_text(EXTENSION)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(folder / "acts.so"), str(folder / "acts.c")], check=True)
    return folder


@pytest.mark.parametrize("route", ROUTES)
def test_refused_and_told_once(ctl_run, python_few, extension, route):
    if route == "cffi" and subprocess.run([str(python_few), "-I", "-c", "import cffi"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("cffi is not installed for %s" % python_few.tag)
    body = "\n".join("    " + line.strip() for line in ROUTES[route].strip().splitlines())
    result = ctl_run([python_few, "-I", "-c", PROGRAM % body, str(extension)], NO_ID)
    assert "uid=" not in result.stdout and result.returncode == 0, str(result)
    assert result.stdout.strip() not in ("returned 0", "returned True"), str(result)
    alerts = [rules_of(a) for a in result.kind("alert", action="block")]
    # os.execvp goes on with the next directory of PATH, and each is an event of CPython's.
    assert alerts == [["no-id"]] * (len(alerts) if route in SEARCHED else 1) != [], str(result)
