# SPDX-License-Identifier: Apache-2.0
"""Ordinary programs of the distribution, each run for real on its Python under the shipped rules: they end as
without the agent, and nobody is alarmed. The frameworks and servers of test_programs.py are beside them."""
import os
import re
import shutil

import pytest

from alike import alike, need_module, scrub  # noqa: F401
from conftest import SYSTEM

RAN = []
NOTHING = {"it.py": "import os\n\n\ndef double(number):\n    \"\"\"Twice the number.\"\"\"\n    return 2 * number\n\n\n"
                    "print(double(21), os.sep)\n"}
SHOP = {"shop.py": "import click\n@click.command()\n@click.option('--n', default=3)\ndef main(n):\n"
                   "    click.echo('x' * n)\nmain()\n"}
PACKAGE = {
    "pyproject.toml": "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n"
                      "[project]\nname = 'harmless'\nversion = '1.0'\n",
    "harmless/__init__.py": "def main():\n    print('harmless')\n",
}
SERVE = """
import asyncio, threading, urllib.request, socket, sys
def free():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]
port = free()
def ask(path='/'):
    for _ in range(200):
        try:
            return urllib.request.urlopen('http://127.0.0.1:%d%s' % (port, path), timeout=10).read()
        except OSError:
            import time; time.sleep(0.05)
"""

# Name, what must be there (a command on PATH, or a module), files, command ({python} is the
# distribution's).
PROGRAMS = [
    # Tools for programmers
    ("black", "black", {"it.py": "x = {  'a':1 }\n"}, "black -q it.py && cat it.py"),
    ("flake8", "flake8", NOTHING, "flake8 --exit-zero it.py && echo looked"),
    ("mypy", "mypy", NOTHING, "mypy --no-incremental it.py"),
    ("pylint", "pylint", NOTHING, "pylint -E it.py && echo looked"),
    ("isort", "isort", {"it.py": "import sys\nimport os\n"}, "isort -q it.py && cat it.py"),
    ("coverage", "python3-coverage", NOTHING, "python3-coverage run it.py && python3-coverage report"),
    ("tox", "tox", {"tox.ini": "[tox]\nskipsdist = true\nenvlist = x\n"}, "tox -l"),
    ("pre-commit", "pre-commit", {}, "git init -q . && pre-commit sample-config"),
    ("cython", "cython3", {"it.pyx": "def double(int n):\n    return 2 * n\n"}, "cython3 it.pyx && test -s it.c && echo made"),
    ("setuptools", "module=build", PACKAGE, "{python} -m build --no-isolation --wheel . >/dev/null && ls dist"),
    ("virtualenv", "virtualenv", {}, "virtualenv -q --no-download env && env/bin/python -c 'print(1)'"),
    ("poetry", "poetry", {}, "poetry new -q thing && ls thing"),
    ("cookiecutter", "cookiecutter", {"t/cookiecutter.json": "{\"name\": \"x\"}", "t/{{cookiecutter.name}}/a": "{{cookiecutter.name}}\n"},
     "cookiecutter --no-input ./t && cat x/a"),
    ("meson", "meson", {"meson.build": "project('x')\nmessage('found')\n"}, "meson setup b >/dev/null && ls b/build.ninja"),
    ("scons", "scons", {"SConstruct": "Command('out', [], 'echo made > $TARGET')\n"}, "scons -Q && cat out"),
    ("mercurial", "hg", {"a": "x\n"}, "hg init . && hg add -q a && hg commit -q -u me -d '0 0' -m first && hg log"),
    ("ipython", "ipython3", {}, "ipython3 --colors=NoColor -c 'print([n * n for n in range(5)])'"),
    ("pdb", "python3", NOTHING, "echo q | {python} -m pdb it.py"),
    # Documents
    ("sphinx", "sphinx-build", {"conf.py": "project = 'x'\n", "index.rst": "X\n=\n\nText.\n"}, "sphinx-build -q . out && ls out/index.html"),
    ("mkdocs", "mkdocs", {"mkdocs.yml": "site_name: X\n", "docs/index.md": "# X\n"}, "mkdocs build -q && ls site/index.html"),
    ("docutils", "rst2html", {"a.rst": "X\n=\n\n*text*\n"}, "rst2html a.rst | grep -c em"),
    ("pygments", "pygmentize", NOTHING, "pygmentize -f html it.py"),
    ("nbconvert", "module=nbconvert", {"n.ipynb": '{"cells": [{"cell_type": "code", "execution_count": null, "metadata": {}, "outputs": [], '
     '"source": ["print(6 * 7)"]}], "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}, '
     '"nbformat": 4, "nbformat_minor": 4}'},
     "{python} -m nbconvert --to script --stdout n.ipynb 2>/dev/null"),
    # Sciences
    ("numpy", "module=numpy", {}, "{python} -c 'import numpy as n; print(n.linalg.inv(n.eye(3)).sum())'"),
    ("scipy", "module=scipy", {}, "{python} -c 'from scipy import optimize; print(round(optimize.brentq(lambda x: x * x - 2, 0, 2), 6))'"),
    ("pandas", "module=pandas", {"a.csv": "a,b\n1,2\n3,4\n"}, "{python} -c 'import pandas; print(pandas.read_csv(\"a.csv\").describe())'"),
    ("matplotlib", "module=matplotlib", {}, "{python} -c 'import matplotlib; matplotlib.use(\"Agg\"); import matplotlib.pyplot as p; "
     "p.plot([1, 2]); p.savefig(\"x.png\")' 2>/dev/null && ls x.png"),
    ("sklearn", "module=sklearn", {}, "{python} -c 'from sklearn.cluster import KMeans; "
     "print(KMeans(2, n_init=2, random_state=0).fit([[0], [1], [9]]).labels_)'"),
    ("sympy", "module=sympy", {}, "{python} -c 'import sympy; print(sympy.factor(\"x**2 - 1\"))'"),
    ("networkx", "module=networkx", {}, "{python} -c 'import networkx as n; print(n.shortest_path(n.path_graph(5), 0, 4))'"),
    ("joblib", "module=joblib", {}, "{python} -c 'from joblib import Parallel, delayed; print(Parallel(2)(delayed(abs)(i) for i in range(4)))'"),
    ("dask", "module=dask", {}, "{python} -c 'import dask; print(dask.compute(dask.delayed(sum)([1, 2])))'"),
    ("pillow", "module=PIL", {}, "{python} -c 'from PIL import Image; Image.new(\"RGB\", (9, 9)).save(\"x.png\"); print(Image.open(\"x.png\").size)'"),
    # Data, web, hosts
    ("sqlalchemy", "module=sqlalchemy", {}, "{python} -c 'import sqlalchemy as s; e = s.create_engine(\"sqlite:///x.db\"); "
     "print(e.connect().execute(s.text(\"select 1\")).fetchall())'"),
    ("alembic", "alembic", {}, "alembic init m >/dev/null && ls m"),
    ("lxml", "module=lxml", {}, "{python} -c 'from lxml import etree; print(etree.tostring(etree.fromstring(\"<a><b/></a>\")))'"),
    ("yaml", "module=yaml", {}, "{python} -c 'import yaml; print(yaml.safe_load(\"a: [1, 2]\"))'"),
    ("jinja2", "module=jinja2", {}, "{python} -c 'import jinja2; print(jinja2.Template(\"{{ a }}\").render(a=1))'"),
    ("mako", "module=mako", {}, "{python} -c 'from mako.template import Template; print(Template(\"${a}\").render(a=1))'"),
    ("click", "module=click", SHOP, "{python} shop.py --n 4"),
    ("psutil", "module=psutil", {}, "{python} -c 'import psutil; print(psutil.Process().name(), len(list(psutil.process_iter())) > 1)'"),
    ("watchdog", "module=watchdog", {}, "{python} -c 'from watchdog.observers import Observer as O; o = O(); o.start(); o.stop(); o.join(); print(o.name[:6])'"),
    ("apscheduler", "module=apscheduler", {}, "{python} -W ignore -c 'from apscheduler.schedulers.background import BackgroundScheduler as B; import time; "
     "b = B(timezone=\"UTC\"); b.add_job(print, args=[1]); b.start(); time.sleep(0.3); b.shutdown()'"),
    ("tornado", "module=tornado", {"s.py": SERVE + "import tornado.web\nclass H(tornado.web.RequestHandler):\n"
     "    def get(self): self.write('hi')\nasync def main():\n"
     "    tornado.web.Application([('/', H)]).listen(port, '127.0.0.1')\n"
     "    print(await asyncio.get_running_loop().run_in_executor(None, ask))\nasyncio.run(main())\n"}, "{python} s.py"),
    ("aiohttp", "module=aiohttp", {"s.py": SERVE + "from aiohttp import web\nasync def hi(request):\n    return web.Response(text='hi')\n"
     "async def main():\n    app = web.Application(); app.add_routes([web.get('/', hi)])\n"
     "    runner = web.AppRunner(app); await runner.setup(); await web.TCPSite(runner, '127.0.0.1', port).start()\n"
     "    print(await asyncio.get_running_loop().run_in_executor(None, ask)); await runner.cleanup()\nasyncio.run(main())\n"}, "{python} s.py"),
    ("uvicorn", "module=uvicorn", {"s.py": SERVE + "import uvicorn\nfrom fastapi import FastAPI\napp = FastAPI()\n@app.get('/')\n"
     "def hi(): return {'a': 1}\nserver = uvicorn.Server(uvicorn.Config(app, port=port, log_level='error'))\n"
     "thread = threading.Thread(target=server.run); thread.start(); print(ask()); server.should_exit = True; thread.join()\n"}, "{python} s.py"),
    ("bottle", "module=bottle", {"s.py": SERVE + "import bottle\n@bottle.route('/')\ndef hi(): return bottle.template('{{a}}', a=1)\n"
     "threading.Thread(target=lambda: bottle.run(port=port, quiet=True), daemon=True).start(); print(ask())\nsys.stdout.flush(); import os; os._exit(0)\n"},
     "{python} s.py 2>/dev/null"),
    ("twisted", "module=twisted", {"s.py": SERVE + "from twisted.web import server, resource\nfrom twisted.internet import reactor, threads\n"
     "class R(resource.Resource):\n    isLeaf = True\n    def render_GET(self, request): return b'hi'\n"
     "reactor.listenTCP(port, server.Site(R()), interface='127.0.0.1')\n"
     "threads.deferToThread(ask).addCallback(lambda r: (print(r), reactor.stop()))\nreactor.run()\n"}, "{python} s.py"),
    ("gevent", "module=gevent", {"s.py": "from gevent import monkey; monkey.patch_all()\nimport gevent\n"
     "print([j.get() for j in [gevent.spawn(abs, -n) for n in range(3)]])\n"}, "{python} s.py"),
    ("requests", "module=requests", {"s.py": SERVE + "import http.server, requests\n"
     "s = http.server.HTTPServer(('127.0.0.1', port), http.server.SimpleHTTPRequestHandler)\n"
     "threading.Thread(target=s.serve_forever, daemon=True).start(); print(requests.get('http://127.0.0.1:%d/s.py' % port).status_code)\n"},
     "{python} s.py 2>/dev/null"),
    ("httpie", "http", {"s.py": SERVE + "import http.server, subprocess\n"
     "s = http.server.HTTPServer(('127.0.0.1', port), http.server.SimpleHTTPRequestHandler)\n"
     "threading.Thread(target=s.serve_forever, daemon=True).start()\n"
     "print(subprocess.run(['http', '--ignore-stdin', '--print=b', 'http://127.0.0.1:%d/a.txt' % port], stdout=subprocess.PIPE).stdout)\n",
     "a.txt": "text\n"}, "{python} s.py 2>/dev/null"),
    ("paramiko", "module=paramiko", {}, "{python} -W ignore -c 'import paramiko, io; k = paramiko.RSAKey.generate(1024); f = io.StringIO(); "
     "k.write_private_key(f); print(f.getvalue()[:10])'"),
    ("borg", "borg", {"a": "x\n"}, "export BORG_BASE_DIR=$PWD; borg init -e none r && borg create r::one a && borg list --short r"),
    ("ansible", "ansible", {}, "HOME=$PWD ansible localhost -c local -m command -a 'echo done' 2>/dev/null"),
    ("supervisor", "supervisord", {"s.conf": "[supervisord]\nnodaemon=true\nlogfile=log\npidfile=pid\n[program:x]\ncommand=sh -c 'echo x > made; kill -TERM $(cat pid)'\nstartsecs=0\n"
     "autorestart=false\n"}, "supervisord -c s.conf -u root >/dev/null 2>&1; cat made"),
    ("certbot", "certbot", {}, "certbot --config-dir c --work-dir w --logs-dir l plugins 2>/dev/null | sed -n 1,3p"),
    ("yt-dlp", "yt-dlp", {}, "HOME=$PWD yt-dlp --ignore-config --list-extractors | sed -n 1,3p"),
    ("celery", "module=celery", {"tasks.py": "import os\nfrom celery import Celery\nfor d in ('q', 'p', 'r'):\n    os.makedirs(d, exist_ok=True)\n"
     "app = Celery('tasks', broker='filesystem://', backend='file://' + os.getcwd() + '/r')\n"
     "app.conf.broker_transport_options = {'data_folder_in': 'q', 'data_folder_out': 'q', 'processed_folder': 'p', 'control_folder': 'c'}\n"
     "@app.task\ndef add(a, b): return a + b\n",
     "ask.py": "from tasks import add\nprint([add.delay(n, n).get(timeout=60) for n in range(5)])\n"},
     "{python} -m celery -A tasks worker -c 2 -P prefork --without-mingle --without-gossip >log 2>&1 & w=$!; {python} ask.py; kill $w; wait $w 2>/dev/null; true"),
]


def available(needed):
    if needed.startswith("module="):
        need_module(SYSTEM, needed[len("module="):])
    elif shutil.which(needed, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin") is None:
        pytest.skip("%s is not installed" % needed)


def flat(text):
    """Also without the names of directories that are made anew, and hashes of contents."""
    return re.sub(r"\b[0-9a-f]{8,64}\b", "HASH", scrub(text))


@pytest.mark.parametrize("name, needed, files, command", PROGRAMS, ids=[p[0] for p in PROGRAMS])
def test_ordinary_program(alike, name, needed, files, command):  # noqa: F811
    available(needed)

    def prepare(path):
        for where, text in files.items():
            (path / where).parent.mkdir(parents=True, exist_ok=True)
            (path / where).write_text(text)

    # The distribution's tools are written for its Python, not for another on PATH.
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONDONTWRITEBYTECODE": "", "LC_ALL": "C.UTF-8"}
    _, said, _ = alike(["bash", "-o", "pipefail", "-c", command.replace("{python}", str(SYSTEM))], prepare=prepare,
                       text=flat, env=env)


    assert said.strip(), "%s said nothing: did it run?" % name
    RAN.append(name)


def test_there_are_forty():
    assert len(PROGRAMS) >= 40 and len({p[0] for p in PROGRAMS}) == len(PROGRAMS)


def test_forty_really_ran(record_property):
    """tests/run.sh asks for it where the distribution has them all; elsewhere those that are not installed are skipped."""
    record_property("programs", " ".join(RAN))
    print("%d of %d programs ran" % (len(RAN), len(PROGRAMS)))
    wanted = int(os.environ.get("PYAUDIT_PROGRAMS", "0"))
    assert len(RAN) >= wanted, "%d of %d programs ran: not %s" % (
        len(RAN), len(PROGRAMS), ", ".join(sorted({p[0] for p in PROGRAMS} - set(RAN))))
