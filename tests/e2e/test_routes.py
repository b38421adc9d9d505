# SPDX-License-Identifier: Apache-2.0
"""Every way to start a program from Python, each with a denial that holds and one alert."""
import subprocess

import pytest

from conftest import AGENT, clean_env, need, rule, rules_of

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
    if route == "cffi" and subprocess.run([str(python_few), "-I", "-c", "import cffi, _cffi_backend"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("cffi is not installed for %s" % python_few.tag)
    body = "\n".join("    " + line.strip() for line in ROUTES[route].strip().splitlines())
    result = ctl_run([python_few, "-I", "-c", PROGRAM % body, str(extension)], NO_ID)
    assert "uid=" not in result.stdout and result.returncode == 0, str(result)
    assert result.stdout.strip() not in ("returned 0", "returned True"), str(result)
    alerts = [rules_of(a) for a in result.kind("alert", action="block")]
    # os.execvp tries each directory of PATH, two of which may be one (/bin, /usr/bin): one act all the same.
    assert alerts == [["no-id"]], str(result)


SEARCHES = """
import os
os.environ['PATH'] = %r
for act in (lambda: os.execvp('tool', ['tool']), lambda: os.execvp('tool', ['tool']), lambda: os.execvp('nothing', ['nothing']),
            lambda: os.execv('/nowhere/tool', ['tool'])):
    try:
        act()
    except OSError as error:
        print(type(error).__name__, error.errno, error.filename, flush=True)
"""


@pytest.mark.parametrize("action", ["block", "alert"])
def test_search_of_path(ctl_run, python, tmp_path, action):
    """Where there is no file nothing is told, and the program hears what it hears without us; one file is told once for
    each search, two files are two."""
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "b/tool").write_text("no program\n")
    (tmp_path / "c/tool").symlink_to(tmp_path / "b/tool")
    program = [python, "-I", "-c", SEARCHES % ":".join(str(tmp_path / name) for name in "abc")]
    bare = subprocess.run([str(w) for w in program], stdout=subprocess.PIPE).stdout.decode().splitlines()
    result = ctl_run(program, rule("tools", ["@exec"], ["exec.name = 'tool' or exec.name = 'nothing'"], action=action))
    heard = result.stdout.splitlines()
    told = [a["args"][0] for a in result.kind("alert") if a["layer"] == "audit"]
    assert len(heard) == len(bare) == 4 and heard[2:] == bare[2:], str(result)
    assert heard[2].startswith("FileNotFoundError 2 "), heard
    if action == "block":
        assert heard[0] == heard[1] == "PermissionError 1 None", heard
    else:
        assert heard == bare
    # That a file is no program is known to the kernel alone, so an attempt that was let pass counts for itself.
    assert told == [str(tmp_path / "b/tool")] * 2, told
    assert [a for a in result.kind("alert") if a["layer"] == "libc"] == [], str(result)


@pytest.mark.parametrize("way", ["execv", "execve"])
def test_what_is_not_there_is_refused(tmp_path, way, daemon, system_python):
    """It may come to be there between the look and the act."""
    need("strace")
    server = daemon(rule("tools", ["os.exec"], ["exec.name = 'nothing'"]))
    trace = tmp_path / "trace"
    code = "import os\ntry: os.%s('/nowhere/nothing', ['x']%s)\nexcept FileNotFoundError: print('no')" % (
        way, ", {}" if way == "execve" else "")
    done = server.run(["strace", "-f", "-e", "trace=execve", "-o", trace, "env", "LD_PRELOAD=%s" % AGENT, system_python, "-I", "-c", code],
                      env=clean_env(PYAUDIT_DIR=server.dir))
    assert done.stdout == b"no\n", done
    assert "python3" in trace.read_text() and "/nowhere/nothing" not in trace.read_text()
