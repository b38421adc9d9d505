# SPDX-License-Identifier: Apache-2.0
"""Ordinary programs under the shipped rules end as without the agent, and nobody is alarmed."""
import os
import signal
import socket
import subprocess
import urllib.request
import zipfile

import pytest

from alike import alike, need_module  # noqa: F401
from conftest import CTL, PATIENCE, clean_env, lines_of, of_kind, wait_for


def django_project(path):
    (path / "settings.py").write_text(
        "SECRET_KEY = 'x'\nDEBUG = True\nALLOWED_HOSTS = ['*']\nROOT_URLCONF = 'urls'\nUSE_TZ = True\n"
        "DEFAULT_AUTO_FIELD = 'django.db.models.AutoField'\n"
        "INSTALLED_APPS = ['django.contrib.auth', 'django.contrib.contenttypes', 'django.contrib.sessions']\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'db.sqlite3'}}\n")
    (path / "urls.py").write_text("urlpatterns = []\n")
    (path / "manage.py").write_text("import os, sys\nos.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\n"
                                    "from django.core.management import execute_from_command_line\n"
                                    "execute_from_command_line(sys.argv)\n")


@pytest.mark.parametrize("command", [["check"], ["migrate", "--no-color"], ["shell", "-c", "print(6 * 7)"]],
                         ids=lambda c: c[0])
def test_django(alike, python, command):
    need_module(python, "django", "sqlite3")
    alike([python, "manage.py"] + command, prepare=django_project)


FLASK_APP = """
from flask import Flask, request, jsonify, render_template_string
app = Flask(__name__)
@app.route('/')
def index():
    return render_template_string('hello {{ name }}', name=request.args.get('name', 'world'))
@app.route('/json')
def as_json():
    return jsonify(ok=True)
"""


def test_flask_request(alike, python):
    need_module(python, "flask")

    def prepare(path):
        (path / "app.py").write_text(FLASK_APP)
        (path / "client.py").write_text("from app import app\nclient = app.test_client()\n"
                                        "print(client.get('/?name=you').data, client.get('/json').json)\n")

    assert "hello you" in alike([python, "client.py"], prepare=prepare)[1]


def test_flask_server(alike, python):
    """A real server in a thread, asked over TCP."""
    need_module(python, "flask", "werkzeug")

    def prepare(path):
        (path / "app.py").write_text(FLASK_APP)
        (path / "server.py").write_text(
            "import threading, urllib.request\nfrom werkzeug.serving import make_server\nfrom app import app\n"
            "server = make_server('127.0.0.1', 0, app)\n"
            "thread = threading.Thread(target=server.serve_forever)\nthread.start()\n"
            "for i in range(10):\n    print(urllib.request.urlopen('http://127.0.0.1:%d/' % server.port).read())\n"
            "server.shutdown(); thread.join(); server.server_close()\n")

    alike([python, "server.py"], prepare=prepare)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_gunicorn_serves_100_requests(tmp_path, python):
    need_module(python, "gunicorn", "flask")
    (tmp_path / "app.py").write_text(FLASK_APP)
    for with_agent in (False, True):
        port, events = free_port(), tmp_path / "events.ndjson"
        command = [str(python), "-m", "gunicorn", "-w", "2", "-b", "127.0.0.1:%d" % port, "app:app"]
        if with_agent:
            command = [str(CTL), "run", "--quiet", "--json", str(events), "--"] + command
        log = open(str(tmp_path / "log"), "wb")
        server = subprocess.Popen(command, cwd=str(tmp_path), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  env=clean_env(), start_new_session=True)
        try:
            def ask(path="/?name=x"):
                try:
                    return urllib.request.urlopen("http://127.0.0.1:%d%s" % (port, path), timeout=10).read()
                except OSError:
                    assert server.poll() is None, (tmp_path / "log").read_text()
                    return None

            wait_for(ask, "gunicorn to answer", 30)
            assert [ask() for _ in range(100)] == [b"hello x"] * 100
            server.send_signal(signal.SIGTERM)
            status = server.wait(timeout=40 * PATIENCE)
            assert status == 0, (with_agent, status, (tmp_path / "log").read_text())
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()
            log.close()
    seen = lines_of(events)
    assert not of_kind(seen, "alert"), of_kind(seen, "alert")[:3]
    assert len({e["pid"] for e in of_kind(seen, "process")}) >= 3, "master and two workers"


def make_wheel(path):
    """A wheel is a zip file with three files of metadata."""
    name = path / "harmless-1.0-py3-none-any.whl"
    with zipfile.ZipFile(str(name), "w") as wheel:
        wheel.writestr("harmless/__init__.py", "def main():\n    print('harmless')\n")
        info = "harmless-1.0.dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: harmless\nVersion: 1.0\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(info + "entry_points.txt", "[console_scripts]\nharmless = harmless:main\n")
        wheel.writestr(info + "RECORD", "harmless/__init__.py,,\n%sMETADATA,,\n%sWHEEL,,\n%sentry_points.txt,,\n%sRECORD,,\n"
                       % (info, info, info, info))
    return name


def test_pip_install_of_a_wheel(alike, python):
    need_module(python, "pip")

    def prepare(path):
        make_wheel(path)

    alike([python, "-m", "pip", "install", "--no-index", "--no-deps", "--disable-pip-version-check", "--no-cache-dir",
           "--root-user-action=ignore" if pip_is_new(python) else "--no-color", "--target", "site",
           "harmless-1.0-py3-none-any.whl"], prepare=prepare, env={"PIP_CONFIG_FILE": os.devnull})


def pip_is_new(python):
    done = subprocess.run([str(python), "-m", "pip", "install", "--help"], stdout=subprocess.PIPE, env=clean_env())
    return b"--root-user-action" in done.stdout


def test_pip_install_in_a_venv(alike, python):
    python = python
    need_module(python, "venv", "ensurepip")

    def prepare(path):
        make_wheel(path)
        (path / "go.sh").write_text(
            "set -e\n" + str(python) + " -m venv env\n"
            "env/bin/python -m pip install -q --no-index --no-deps --disable-pip-version-check "
            "harmless-1.0-py3-none-any.whl\nenv/bin/harmless\n")

    status, out, _ = alike(["sh", "go.sh"], prepare=prepare, env={"PIP_CONFIG_FILE": os.devnull})
    assert out == "harmless\n"


def test_pytest_run(alike, python):
    need_module(python, "pytest")

    def prepare(path):
        (path / "test_it.py").write_text(
            "import pytest\n@pytest.fixture\ndef two(tmp_path):\n    (tmp_path / 'f').write_text('2')\n"
            "    return int((tmp_path / 'f').read_text())\n"
            "@pytest.mark.parametrize('n', range(20))\ndef test_n(n, two): assert n * two == n + n\n"
            "def test_fails(): assert [1, 2] == [1, 3]\n"
            "def test_capture(capfd):\n    print('x')\n    assert capfd.readouterr().out == 'x\\n'\n")

    alike([python, "-m", "pytest", "-p", "no:cacheprovider", "--basetemp", "base", "-q", "test_it.py"], prepare=prepare, status=1)


def test_unittest_run(alike, python):
    def prepare(path):
        (path / "test_it.py").write_text("import unittest\nclass T(unittest.TestCase):\n"
                                         "    def test_one(self): self.assertEqual(1, 1)\n")

    alike([python, "-m", "unittest", "-v"], prepare=prepare)


MULTI = """
import multiprocessing as mp, os, sys
def work(n):
    with open(os.devnull) as f: f.read()
    return n * n
def send(pipe):
    pipe.send({'pid': os.getpid() > 0}); pipe.close()
if __name__ == '__main__':
    mp.set_start_method(sys.argv[1])
    with mp.Pool(3) as pool:
        print(pool.map(work, range(50)))
    ours, theirs = mp.Pipe()
    process = mp.Process(target=send, args=(theirs,)); process.start()
    print(ours.recv()); process.join(); print(process.exitcode)
    queue, lock = mp.Queue(), mp.Lock()
    queue.put('x'); print(queue.get())
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(2) as pool:
        print(list(pool.map(work, range(5))))
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(alike, python, method):
    alike([python, "-W", "ignore", "multi.py", method], prepare=lambda path: (path / "multi.py").write_text(MULTI))


STANDARD = [
    ("asyncio", "import asyncio\nasync def main():\n"
     "    s = await asyncio.start_server(lambda r, w: (w.write(b'hi'), w.close()), '127.0.0.1', 0)\n"
     "    r, w = await asyncio.open_connection(*s.sockets[0].getsockname()[:2])\n"
     "    print(await r.read()); w.close(); s.close()\n"
     "    p = await asyncio.create_subprocess_exec('/bin/echo', 'x', stdout=asyncio.subprocess.PIPE)\n"
     "    print(await p.communicate())\nasyncio.run(main())\n"),
    ("subprocess", "import subprocess, sys\nprint(subprocess.check_output(['/bin/echo', 'x']))\n"
     "print(subprocess.run([sys.executable, '-c', 'print(1)'], stdout=subprocess.PIPE).stdout)\n"),
    ("stdlib", "import json, sqlite3, tempfile, shutil, pickle, csv, zipfile, logging, decimal, re, http.client, ssl\n"
     "d = tempfile.mkdtemp(); open(d + '/x', 'w').write('{}'); shutil.make_archive(d + '/a', 'zip', d)\n"
     "c = sqlite3.connect(d + '/db'); c.execute('create table t (x)'); c.commit(); c.close()\n"
     "print(json.load(open(d + '/x')), pickle.loads(pickle.dumps(decimal.Decimal(1)))); shutil.rmtree(d)\n"),
    ("ctypes", "import ctypes, ctypes.util\nprint(ctypes.CDLL(None).getpid() > 0, ctypes.util.find_library('c'))\n"),
    ("compileall", "import compileall, os\nos.mkdir('m'); open('m/x.py', 'w').write('x = 1')\n"
     "print(compileall.compile_dir('m', quiet=1))\n"),
]


@pytest.mark.parametrize("name, code", STANDARD, ids=[name for name, _ in STANDARD])
def test_standard_library(alike, python, name, code):
    if name == "stdlib":
        need_module(python, "sqlite3", "ssl")
    if name == "ctypes":
        need_module(python, "ctypes")
    alike([python, "-W", "ignore", "prog.py"], prepare=lambda path: (path / "prog.py").write_text(code))
