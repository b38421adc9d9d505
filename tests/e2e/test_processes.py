# SPDX-License-Identifier: Apache-2.0
"""Programs of many processes: servers with workers, pools, daemons, storms of children. The events of each process
arrive with its own pid and its parent's, and nothing hangs.

PYAUDIT_REPEATS  how often each program is run (default: once)
"""
import os
import pwd
import shutil
import signal
import socket
import subprocess
import urllib.request

import pytest

from alike import need_module
from conftest import MARK, MARKS, PATIENCE, SYSTEM, clean_env, lost_of, of_kind, wait_for

REPEATS = int(os.environ.get("PYAUDIT_REPEATS") or 1)

# tell(n) raises an event that says which process raised it, as that process sees it.
TELL = "import os, sys\ndef tell(n):\n    sys.audit('%s', 'who:%%d:%%d:%%d' %% (os.getpid(), os.getppid(), n))\n" % MARK


def told(events):
    """(pid, parent, number) as said, for events that stand under that pid."""
    said = []
    for event in of_kind(events, "event", event=MARK):
        if str(event["args"][0]).startswith("who:"):
            pid, parent, number = map(int, event["args"][0].split(":")[1:])
            assert event["pid"] == pid, (event["pid"], event["args"])
            said.append((pid, parent, number))
    return said


def check_lineage(events, said):
    """Each process that told is known, with the parent that it had."""
    known = {}
    for event in of_kind(events, "process"):
        known.setdefault(event["pid"], set()).add(event["ppid"])
    for pid, parent, _ in said:
        assert parent in known.get(pid, ()), "process %d, child of %d, is known as %r" % (pid, parent, known.get(pid))


def all_told(server, expected, processes=1, seconds=30):
    """Waits for all; every event told was delivered or is in a loss report."""

    def arrived():
        events = server.events()
        said = told(events)
        return (events, said) if len(said) + lost_of(events) >= expected else None

    events, said = wait_for(arrived, "%d events" % expected, seconds)
    assert len(said) + lost_of(events) == expected
    assert len(set(said)) == len(said), "an event came twice"
    check_lineage(events, said)
    assert len({pid for pid, _, _ in said}) >= processes
    return events, said


# Pools of the standard library

POOL = TELL + """
import multiprocessing as mp
from concurrent.futures import ProcessPoolExecutor
def work(n):
    tell(n)
    return os.getpid()
if __name__ == '__main__':
    mp.set_start_method(sys.argv[1])
    with mp.Pool(3) as pool:
        pool.map(work, range(200), chunksize=5)
        pool.close(); pool.join()
    with ProcessPoolExecutor(3) as pool:
        list(pool.map(work, range(200, 400)))
    children = [mp.Process(target=work, args=(400 + n,)) for n in range(10)]
    [c.start() for c in children]; [c.join() for c in children]
    tell(410)
    print(sum(c.exitcode for c in children))
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools(daemon, python, tmp_path, method):
    (tmp_path / "pool.py").write_text(POOL)
    for _ in range(REPEATS):
        server = daemon(MARKS)
        done = server.run([python, "-W", "ignore", str(tmp_path / "pool.py"), method], timeout=90)
        assert (done.returncode, done.stdout) == (0, b"0\n"), done.stderr
        all_told(server, 411, processes=5)
        server.stop()


# Storms

def test_two_thousand_children(daemon, python):
    """A bounded fork bomb: each child makes two more, until there are two thousand."""
    children = 200 if PATIENCE > 1 else 2000
    code = TELL + ("def bomb(number):\n"
                   "    tell(number)\n"
                   "    bad = 0\n"
                   "    pids = []\n"
                   "    for child in (2 * number + 1, 2 * number + 2):\n"
                   "        if child < %d:\n"
                   "            pid = os.fork()\n"
                   "            if pid == 0: os._exit(bomb(child))\n"
                   "            pids.append(pid)\n"
                   "    for pid in pids: bad |= os.waitpid(pid, 0)[1]\n"
                   "    return int(bad != 0)\n"
                   "print(bomb(0))\n" % children)
    for _ in range(REPEATS):
        server = daemon(MARKS)
        done = server.run([python, "-I", "-c", code], timeout=120)
        assert (done.returncode, done.stdout) == (0, b"0\n"), done.stderr
        all_told(server, children, processes=children, seconds=60)
        wait_for(lambda: server.status()["agents"] == 0, "the daemon to see them all end", 30)
        server.stop()


def test_forks_from_eight_threads(daemon, python):
    """Every thread forks while all of them raise events; children raise some and make a child of their own."""
    code = TELL + ("import threading\n"
                   "bad = []\n"
                   "def busy(k):\n"
                   "    for n in range(20):\n"
                   "        for i in range(20): tell(k * 100000 + n * 1000 + i)\n"
                   "        pid = os.fork()\n"
                   "        if pid == 0:\n"
                   "            for i in range(20, 30): tell(k * 100000 + n * 1000 + i)\n"
                   "            if n % 5 == 0:\n"
                   "                grandchild = os.fork()\n"
                   "                tell(k * 100000 + n * 1000 + (30 if grandchild else 31))\n"
                   "                if grandchild: os.waitpid(grandchild, 0)\n"
                   "            os._exit(0)\n"
                   "        bad.append(os.waitpid(pid, 0)[1])\n"
                   "threads = [threading.Thread(target=busy, args=(k,)) for k in range(8)]\n"
                   "[t.start() for t in threads]; [t.join() for t in threads]\n"
                   "print(len(bad), sum(bad))\n")
    for _ in range(REPEATS):
        server = daemon(MARKS)
        done = server.run([python, "-I", "-W", "ignore", "-c", code], timeout=90)
        assert (done.returncode, done.stdout) == (0, b"160 0\n"), done.stderr
        all_told(server, 8 * 20 * 30 + 8 * 4 * 2, processes=161)
        server.stop()


DAEMON = TELL + """
import resource, time
tell(1)
if os.fork(): os._exit(0)
os.setsid()
tell(2)
if os.fork(): os._exit(0)
os.closerange(0, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
for n in (0, 1, 2): os.open(os.devnull, os.O_RDWR)
os.chdir('/'); os.umask(0)
for n in range(3, 100):
    tell(n)
    if n % 25 == 0:
        pid = os.fork()
        tell(n * 1000 + (pid == 0))
        if pid == 0: os._exit(0)
        os.waitpid(pid, 0)
open(sys.argv[1], 'w').close()
"""


def test_a_daemon_that_closes_everything(daemon, python, tmp_path):
    for n in range(REPEATS):
        server, done = daemon(MARKS), tmp_path / ("done%d" % n)
        server.run([python, "-I", "-c", DAEMON, str(done)])
        wait_for(done.exists, "the daemonised program to end")
        said = wait_for(lambda: told(server.events()), "events")
        # The first process may be gone before its child asks for its parent: the child is then the reaper's.
        events, said = server.events(), told(server.events())
        assert len(said) + lost_of(events) == 2 + 97 + 3 * 2, len(said)
        assert len({pid for pid, _, _ in said}) == 3 + 3
        server.stop()


# Servers of the distribution

APP = TELL + """
def app(environ, start_response):
    n = int(environ['QUERY_STRING'])
    tell(n)
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'%d' % n]
application = app
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(server, port, n, log):
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d/?%d" % (port, n), timeout=20) as answer:
            return answer.read()
    except OSError:
        assert server.poll() is None, log.read_text()
        return None


def serve(server, tmp_path, command, requests, ends=True, conf=""):
    """Runs a web server under the daemon's agent, asks it @requests times, ends it; by force if it not always @ends."""
    port, log = free_port(), tmp_path / "log"
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "conf").write_text(conf.replace("PORT", str(port)))
    with open(str(log), "ab") as out:
        web = subprocess.Popen([w.replace("PORT", str(port)) for w in command], cwd=str(tmp_path), stdout=out, stderr=out,
                               stdin=subprocess.DEVNULL, env=server.env(), start_new_session=True)
    try:
        wait_for(lambda: ask(web, port, 0, log), "the server to answer", 30, log)
        for n in range(1, requests):
            assert ask(web, port, n, log) == b"%d" % n
        web.send_signal(signal.SIGTERM)
        try:
            web.wait(timeout=(40 if ends else 5) * PATIENCE)
        except subprocess.TimeoutExpired:
            assert not ends, log.read_text()
    finally:
        if web.poll() is None:
            os.killpg(web.pid, signal.SIGKILL)
            web.wait()


@pytest.mark.parametrize("kind", ["sync", "threads", "preload"])
def test_gunicorn(daemon, tmp_path, kind):
    need_module(SYSTEM, "gunicorn")
    more = {"sync": [], "threads": ["--threads", "4"], "preload": ["--preload"]}[kind]
    for _ in range(REPEATS):
        server = daemon(MARKS)
        serve(server, tmp_path, [str(SYSTEM), "-m", "gunicorn", "-w", "2", "-b", "127.0.0.1:PORT"] + more + ["app:app"], 50)
        all_told(server, 50)
        server.stop()


CELERY = TELL + """
from celery import Celery
for d in ('q', 'p', 'r'): os.makedirs(d, exist_ok=True)
app = Celery('tasks', broker='filesystem://', backend='file://' + os.getcwd() + '/r')
app.conf.broker_transport_options = {'data_folder_in': 'q', 'data_folder_out': 'q', 'processed_folder': 'p',
                                     'control_folder': 'c'}
@app.task
def work(n):
    tell(n)
    return n
"""


def test_celery_prefork(daemon, tmp_path):
    need_module(SYSTEM, "celery")
    for repeat in range(REPEATS):
        server, place = daemon(MARKS), tmp_path / ("celery%d" % repeat)
        place.mkdir()
        (place / "tasks.py").write_text(CELERY)
        (place / "ask.py").write_text("from tasks import work\nr = [work.delay(n) for n in range(30)]\n"
                                      "print(sum(a.get(timeout=60) for a in r))\n")
        with open(str(place / "log"), "wb") as log:
            worker = subprocess.Popen([str(SYSTEM), "-m", "celery", "-A", "tasks", "worker", "-c", "3", "-P", "prefork",
                                       "--without-mingle", "--without-gossip"], cwd=str(place), stdin=subprocess.DEVNULL,
                                      stdout=log, stderr=log, env=server.env(), start_new_session=True)
        try:
            asked = subprocess.run([str(SYSTEM), "ask.py"], cwd=str(place), stdout=subprocess.PIPE, env=clean_env(),
                                   timeout=90 * PATIENCE)
            assert asked.stdout == b"435\n", (place / "log").read_text()
            worker.send_signal(signal.SIGTERM)
            worker.wait(timeout=40 * PATIENCE)
        finally:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()
        all_told(server, 30)
        server.stop()


def test_uwsgi(daemon, tmp_path):
    """An embedder that loads libpython long after it began."""
    uwsgi = shutil.which("uwsgi")
    if uwsgi is None or not os.path.exists("/usr/lib/uwsgi/plugins/python3_plugin.so"):
        pytest.skip("uwsgi with its Python plugin is not installed")
    for _ in range(REPEATS):
        server = daemon(MARKS)
        serve(server, tmp_path, [uwsgi, "--plugin", "python3", "--http-socket", "127.0.0.1:PORT", "--master", "--processes", "2",
                                 "--wsgi-file", "app.py", "--die-on-term"], 50,
              ends=False)  # one in some twenty does not, with the agent and without
        all_told(server, 50)
        server.stop()


APACHE = """ServerRoot "%(place)s"
ServerName localhost
DefaultRuntimeDir "%(place)s"
PidFile "%(place)s/pid"
ErrorLog "%(place)s/log"
Listen 127.0.0.1:PORT
%(modules)s
WSGISocketPrefix "%(place)s/wsgi"
WSGIScriptAlias / "%(place)s/app.py"
<IfModule mpm_prefork_module>
StartServers 2
</IfModule>
"""


def apache():
    """The program and the folder of its modules, or a skipped test."""
    program = shutil.which("apache2") or shutil.which("httpd")
    for folder in ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules"):
        for wsgi in ("mod_wsgi.so", "mod_wsgi_python3.so"):
            if program and os.path.exists(os.path.join(folder, wsgi)):
                return program, folder, wsgi
    pytest.skip("Apache's server with mod_wsgi is not installed")


def as_no_root():
    """What makes this user's program believe that it is another one: Apache serves nothing as root."""
    if os.getuid() != 0:
        return []
    # mod_wsgi wants one that has a home directory.
    user = next(user for user in pwd.getpwall() if user.pw_uid and os.path.isdir(user.pw_dir))
    command = ["unshare", "--user", "--map-user=%d" % user.pw_uid, "--map-group=%d" % user.pw_gid]
    done = subprocess.run(command + ["true"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        pytest.skip("Apache does not serve as root, and there is no user namespace: %s" % done.stderr.decode().strip())
    return command


@pytest.mark.parametrize("kind", ["embedded", "daemon"])
def test_mod_wsgi(daemon, tmp_path, kind):
    """A library that loads libpython into children of a server, and into processes that it starts for applications."""
    program, folder, wsgi = apache()
    command = as_no_root() + [program, "-DFOREGROUND", "-f"]
    for repeat in range(REPEATS):
        server, place = daemon(MARKS), tmp_path / ("apache%d" % repeat)
        place.mkdir()
        names = [name for name in ("mpm_prefork", "unixd", "authz_core") if os.path.exists("%s/mod_%s.so" % (folder, name))]
        modules = ["LoadModule %s_module %s/mod_%s.so" % (name, folder, name) for name in names]
        modules.append("LoadModule wsgi_module %s/%s" % (folder, wsgi))
        if kind == "daemon":
            modules += ["WSGIDaemonProcess apart processes=2 threads=3", "WSGIProcessGroup apart"]
        serve(server, place, command + [str(place / "conf")], 50,
              conf=APACHE % {"place": place, "modules": "\n".join(modules)})
        all_told(server, 50)
        server.stop()
