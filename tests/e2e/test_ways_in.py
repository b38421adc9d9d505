# SPDX-License-Identifier: Apache-2.0
"""How the agent gets in: libpython that a program loads late, an interpreter that is initialised again, a .pth line,
two ways at once, and a hook that will not have ours."""
import os
import re
import shutil
import subprocess

import pytest

from conftest import AGENT, BUILD, MARK, MARKS, NO_EXEC, PATIENCE, clean_env, of_kind, wait_for

DENIED = "[Errno 1] pyauditd: rule 'no-exec' denied os.system\n"
ACTIVATE = BUILD / "share/pyaudit/activate"

EMBEDDER = r"""
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
static void run(const char *path, int flags, int lives, const char *code)
{
	void *python = dlopen(path, RTLD_NOW | flags);
	void (*initialize)(void), (*finalize)(void);
	int (*execute)(const char *, void *);
	if (python == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		exit(3);
	}
	*(void **)&initialize = dlsym(python, "Py_Initialize");
	*(void **)&finalize = dlsym(python, "Py_Finalize");
	*(void **)&execute = dlsym(python, "PyRun_SimpleStringFlags");
	for (int i = 0; i < lives; i++) {
		initialize();
		execute(code, NULL);
		finalize();
	}
}
int main(int argc, char **argv)
{
	run(argv[1], argv[2][0] == 'g' ? RTLD_GLOBAL : RTLD_LOCAL, atoi(argv[3]), argv[4]);
	return 0;
}
"""
ATTEMPT = "import os\ntry: os.system('true')\nexcept PermissionError as e: print(e, flush=True)\n"


def libpython(python):
    """The shared library of an interpreter, where it has one."""
    code = "import sysconfig as s, os; print(os.path.join(s.get_config_var('LIBDIR') or '', s.get_config_var('INSTSONAME') or ''))"
    path = subprocess.run([str(python), "-I", "-c", code], stdout=subprocess.PIPE).stdout.decode().strip()
    if str(python) == "/usr/bin/python3":  # static itself, the library is a package of its own
        found = [p for p in (path, path.replace("/usr/lib/", "/usr/lib/x86_64-linux-gnu/")) if p.endswith(".so.1.0")]
        path = found[0] if found else path
    if ".so" not in path or not os.path.exists(path):
        pytest.skip("no shared library of %s" % python.tag)
    return path


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    if not shutil.which("cc"):
        pytest.skip("no compiler")
    folder = tmp_path_factory.mktemp("embedder")
    (folder / "embed.c").write_text(EMBEDDER)
    subprocess.run(["cc", "-o", str(folder / "embed"), str(folder / "embed.c"), "-ldl"], check=True)
    return folder / "embed"


@pytest.mark.parametrize("malloc", ["", "debug", "malloc"])
@pytest.mark.parametrize("flags", ["local", "global"])
def test_libpython_loaded_late(daemon, python, embedder, flags, malloc):
    """By dlopen, long after the program began; ended and initialised again, ten times."""
    server = daemon(NO_EXEC)
    home = os.path.dirname(os.path.dirname(os.path.realpath(str(python))))
    done = server.run([embedder, libpython(python), flags, "10", ATTEMPT],
                      env=server.env(PYTHONMALLOC=malloc, PYTHONHOME=home if home != "/usr" else None))
    assert (done.returncode, done.stdout.decode()) == (0, DENIED * 10), done
    events = server.events()
    assert len(of_kind(events, "alert", action="block")) == 10
    assert of_kind(events, "process", event="process.start")[0]["route"] == "late"


def venv_with_agent(python, folder):
    done = subprocess.run([str(python), "-m", "venv", "--without-pip", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=clean_env(), timeout=60 * PATIENCE)
    if done.returncode:
        pytest.skip("no venv for %s: %s" % (python.tag, done.stdout.decode()[-80:]))
    (site,) = folder.glob("lib/python3*/site-packages")
    for name in ("pyaudit_activate.py", "pyaudit.pth", "pyaudit.start"):
        shutil.copy(str(ACTIVATE / name), str(site))
    return folder / "bin/python", site


def test_activated_by_a_pth_line(daemon, python, tmp_path):
    program, _ = venv_with_agent(python, tmp_path / "env")
    server = daemon(NO_EXEC, MARKS)
    env = clean_env(PYAUDIT_DIR=server.dir)
    done = server.run([program, "-I", "-c", ATTEMPT], env=env)
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, DENIED, b""), done
    assert [e["route"] for e in of_kind(server.events(), "process", event="process.start")] == ["import"]
    # -S is beyond it.
    done = server.run([program, "-S", "-c", ATTEMPT], env=env)
    assert (done.returncode, done.stdout) == (0, b""), done


def test_activated_where_the_agent_is_missing(python, tmp_path):
    program, site = venv_with_agent(python, tmp_path / "env")
    loader = site / "pyaudit_activate.py"
    loader.write_text(re.sub('AGENT = ".*"', 'AGENT = "/nowhere/libpyaudit-agent.so"', loader.read_text()))
    done = subprocess.run([str(program), "-c", "print('fine')"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"fine\n", b"")


@pytest.mark.parametrize("copy", [False, True], ids=["same file", "copy"])
def test_both_ways_are_one(daemon, python, tmp_path, copy):
    program, site = venv_with_agent(python, tmp_path / "env")
    server = daemon(NO_EXEC, MARKS)
    preload = AGENT
    if copy:
        preload = tmp_path / "libpyaudit-agent.so"
        shutil.copy(str(AGENT), str(preload))
    code = "import sys\nsys.audit('%s', 'once')\n" % MARK + ATTEMPT
    done = server.run([program, "-c", code], env=server.env(LD_PRELOAD=preload))
    assert (done.returncode, done.stdout.decode()) == (0, DENIED), done
    events = server.events()
    assert [e["route"] for e in of_kind(events, "process", event="process.start")] == ["preload"]
    assert len(of_kind(events, "event", event=MARK)) == 1
    assert len(of_kind(events, "alert", action="block")) == 1


def test_two_copies_preloaded_are_one(daemon, python, tmp_path):
    other = tmp_path / "other.so"
    shutil.copy(str(AGENT), str(other))
    server = daemon(NO_EXEC, MARKS)
    code = "import sys\nsys.audit('%s', 'once')\n" % MARK + ATTEMPT
    for preload in ("%s %s" % (AGENT, other), "%s:%s" % (other, AGENT)):
        done = server.run([python, "-I", "-c", code], env=server.env(LD_PRELOAD=preload))
        assert (done.returncode, done.stdout.decode()) == (0, DENIED), done
    events = server.events()
    assert len(of_kind(events, "process", event="process.start")) == 2
    assert len(of_kind(events, "event", event=MARK)) == 2
    assert len(of_kind(events, "alert", action="block")) == 2


def test_a_hook_that_will_not_have_ours(daemon, python, tmp_path):
    """One that was there before, and refuses sys.addaudithook: noticed, told, and the program goes on."""
    program, site = venv_with_agent(python, tmp_path / "env")
    (site / "a_first.pth").write_text("import a_first\n")
    (site / "a_first.py").write_text("import sys\ndef hook(name, args):\n"
                                     "    if name == 'sys.addaudithook': raise RuntimeError('no')\nsys.addaudithook(hook)\n")
    (site / "pyaudit.start").unlink()  # the order of .pth files is that of their names
    server = daemon(NO_EXEC, MARKS, config="verify_ms = 100")
    done = server.run([program, "-c", "print('goes on')"], env=clean_env(PYAUDIT_DIR=server.dir))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"goes on\n", b""), done
    program = server.spawn([program, "-c", "input()"], env=clean_env(PYAUDIT_DIR=server.dir))
    if python.version >= (3, 15):  # nobody is asked before `site` is done: ours is there
        wait_for(lambda: [p["hook"] for p in server.status()["processes"]] == ["listed"], "the agent")
        return
    (alert,) = wait_for(lambda: of_kind(server.events(), "alert", event="pyaudit.hook_refused"), "the finding", 15)
    assert (alert["severity"], alert["pid"]) == ("error", program.pid)
    assert [p["hook"] for p in server.status()["processes"]] == ["refused"]
