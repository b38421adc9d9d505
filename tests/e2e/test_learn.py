# SPDX-License-Identifier: Apache-2.0
"""A draft of rules from traffic: the same traffic raises nothing, what was injected raises one alert."""
import json
import subprocess

from conftest import CTL, PATIENCE, SYSTEM, clean_env, of_kind, rule, wait_for, write_rules

# A small shop: a page from a template, an order in a database and a temporary file, a program, a host.
SHOP = r"""
import os, sqlite3, socket, subprocess, sys, tempfile, threading
from flask import Flask, render_template, request
app = Flask(__name__)
here = os.path.dirname(os.path.abspath(__file__))

@app.route("/")
def index():
    return render_template("index.html", name=request.args.get("name", "you"))

@app.route("/order/<int:number>")
def order(number):
    with tempfile.NamedTemporaryFile("w", dir=here, suffix=".txt") as file:
        file.write("order %d" % number)
    with open(os.path.join(here, "orders", "order-%04d.txt" % (1000 + number)), "w") as file:
        file.write("done")
    with sqlite3.connect(os.path.join(here, "shop.db")) as db:
        db.execute("create table if not exists orders (n)")
        db.execute("insert into orders values (?)", (number,))
    return "%d" % number

@app.route("/thumbnail/<int:number>")
def thumbnail(number):
    subprocess.run(["/bin/echo", "thumbnail", str(number)], stdout=subprocess.DEVNULL)
    subprocess.run(["echo", "by name"], stdout=subprocess.DEVNULL)
    subprocess.run("true --shell %d" % number, shell=True)
    os.system("true --size %d" % number)
    with socket.socket() as s:
        s.connect_ex(("127.0.0.1", 9))
    return "ok"

@app.route("/debug")
def debug():
    return str(os.system(request.args["c"]))

client = app.test_client()
for path in sys.argv[1:]:
    print(path, client.get(path).status_code, flush=True)
"""
TRAFFIC = ["/", "/?name=a", "/order/1", "/order/22", "/thumbnail/3", "/thumbnail/4711", "/none"]


def ctl(*arguments, code=0):
    done = subprocess.run([str(CTL)] + [str(a) for a in arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120 * PATIENCE, env=clean_env())
    assert done.returncode == code, done
    return done.stdout.decode(), done.stderr.decode()


def make_shop(folder):
    import pytest
    if subprocess.run([str(SYSTEM), "-c", "import flask"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("flask is not installed for %s" % SYSTEM.tag)
    (folder / "templates").mkdir(parents=True)
    (folder / "orders").mkdir()
    (folder / "templates/index.html").write_text("<p>Hello {{ name }}</p>")
    (folder / "shop.py").write_text(SHOP)
    return folder / "shop.py"


def test_learned_traffic_raises_nothing_and_an_injected_shell_one_alert(ctl_run, tmp_path):
    shop = make_shop(tmp_path / "shop")
    capture, draft = tmp_path / "shop.capture", tmp_path / "draft.json"
    done = ctl_run([SYSTEM, shop] + TRAFFIC, options=["--record", "all", "--capture", str(capture)])
    assert done.returncode == 0 and done.stdout.count(" 200") == 6, done
    ctl("learn", capture, "--script", "**/shop.py", "--output", draft)
    checked = json.loads(ctl("rules", "check", "--json", draft)[0])
    assert checked["errors"] == checked["warnings"] == 0, checked
    ids = {r["id"].rsplit("-", 1)[1] for r in json.loads(ctl("rules", "list", "--json", draft)[0])}
    assert {"programs", "commands", "hosts", "reads", "writes", "extensions", "code", "pickles"} <= ids
    text = draft.read_text()
    assert text.startswith("// A draft of what programs may do") and "tmp*.txt" in text and "order-*.txt" in text
    assert "'/bin/echo'" in text or '"/bin/echo"' in text

    # The traffic it was learned from, by replay.
    lines = ctl("replay", "--json", "--no-default-rules", "--rules", draft, capture)[0].splitlines()
    assert len(lines) > 100 and not of_kind([json.loads(line) for line in lines], "alert")
    # The like of it, live: other numbers, other temporary names.
    live = ["--rules", str(draft)]
    done = ctl_run([SYSTEM, shop, "/?name=b", "/order/333", "/thumbnail/99", "/none"], options=live)
    assert done.returncode == 0 and not done.kind("alert"), done.kind("alert")
    # And with a shell injected.
    done = ctl_run([SYSTEM, shop, "/?name=b", "/debug?c=id", "/order/5"], options=live)
    alerts = done.kind("alert")
    assert [(a["rule"], a["event"], a["args"]) for a in alerts] == [
        ("learned-shop-commands", "os.system", ["id"])], alerts
    # One that is like a command that is allowed, but goes on.
    done = ctl_run([SYSTEM, shop, "/debug?c=true --size 3; id", "/debug?c=true --size 55"], options=live)
    assert len(done.kind("alert")) == 1, done.kind("alert")


def test_what_was_not_recorded_gets_no_rule(ctl_run, tmp_path):
    script = tmp_path / "job 1.py"
    script.write_text("import subprocess\nsubprocess.run(['/bin/true'])\n")
    capture = tmp_path / "c.capture"
    ctl_run([SYSTEM, script], options=["--record", "exec", "--capture", str(capture)])
    text, said = ctl("learn", capture)
    assert "2 rules for 1 scripts" in said
    assert "not recorded, so without a rule: hosts" in text and "learned-job_1-programs" in text
    assert "nothing to learn from" in ctl("learn", capture, "--script", "/srv/*", code=1)[1]
    ctl("learn", code=2)
    ctl("learn", "--live", code=2)
    ctl("learn", tmp_path / "none", code=1)


def test_a_running_daemon_is_learned_from(daemon, tmp_path):
    one = daemon(rule("marks", "webbrowser.open", action="record"), config="record = exec")
    script = tmp_path / "job.py"
    script.write_text("import subprocess\nsubprocess.run(['/bin/true'])\n")
    learn = subprocess.Popen([str(CTL), "learn", "--live", "--for", "2s", "--dir", str(one.dir)],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
    wait_for(lambda: one.status()["clients"] == 1, "the capture to begin")
    one.run([SYSTEM, script])
    out, said = learn.communicate(timeout=30 * PATIENCE)
    assert learn.returncode == 0, said
    assert b'"/bin/true"' in out and b"learned-job-programs" in out


# A script, and two distributions that it uses; what one of them does, the other and the script do not.
COURIER = "import os, socket, subprocess\ndef ship(n):\n    subprocess.run(['/bin/echo', 'parcel', str(n)], stdout=subprocess.DEVNULL)\n" \
          "    with socket.socket() as s:\n        s.connect_ex(('127.0.0.1', 9))\n    eval(compile('1 + 1', '<label>', 'eval'))\n"
OTHER = "import subprocess\ndef act(*words):\n    subprocess.run(words, stdout=subprocess.DEVNULL)\n"
STORE = """
import os, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "site-packages"))
import courier, other_thing
subprocess.run(["/bin/true"])
other_thing.act("/bin/uname")
for word in sys.argv[1:]:
    if word == "other":
        other_thing.act("/bin/echo", "parcel")
    elif word == "own":
        subprocess.run(["/bin/echo", "parcel"], stdout=subprocess.DEVNULL)
    elif word == "shell":
        os.system("id")
    else:
        courier.ship(int(word))
"""
WHO = rule("who-acts", ["@exec", "@network", "@code"], "exists caller.package", action="record")


def test_what_a_package_did_only_that_package_may(ctl_run, tmp_path):
    script = tmp_path / "store.py"
    script.write_text(STORE)
    for dist, module, text in (("Parcel_Courier", "courier", COURIER), ("other-thing", "other_thing", OTHER)):
        info = tmp_path / "site-packages" / (dist + "-1.0.dist-info")
        info.mkdir(parents=True)
        (info.parent / (module + ".py")).write_text(text)
        (info / "RECORD").write_text(module + ".py,,\n")
    capture, draft = tmp_path / "c.capture", tmp_path / "draft.json"
    done = ctl_run([SYSTEM, script, 1, 22], WHO, options=["--record", "exec,network,code", "--capture", str(capture)])
    assert done.returncode == 0, done
    ctl("learn", capture, "--script", "**/store.py", "--output", draft)
    text = draft.read_text()
    checked = json.loads(ctl("rules", "check", "--json", draft)[0])
    assert checked["errors"] == checked["warnings"] == 0, (checked, text)
    assert "// By code of the package parcel-courier." in text and "caller.package = 'parcel-courier'" in text, text
    assert "caller.package = 'other-thing'" in text and "caller.package in ['parcel-courier']" in text, text
    lines = ctl("replay", "--json", "--no-default-rules", "--rules", draft, capture)[0].splitlines()
    assert lines and not of_kind([json.loads(line) for line in lines], "alert")
    for words, wanted in ((["3"], []), (["other"], [["/bin/echo", "parcel"]]), (["own"], [["/bin/echo", "parcel"]]),
                          (["4", "shell", "5"], [None])):
        done = ctl_run([SYSTEM, script] + words, options=["--rules", str(draft)])
        alerts = [a["args"][1] if len(a["args"]) > 1 else None for a in done.kind("alert")]
        assert done.returncode == 0 and alerts == wanted, (words, done.kind("alert"))


def test_without_packages_in_the_capture_the_draft_has_none(ctl_run, tmp_path):
    script = tmp_path / "job.py"
    script.write_text("import subprocess\nsubprocess.run(['/bin/true'])\n")
    capture = tmp_path / "c.capture"
    ctl_run([SYSTEM, script], options=["--record", "exec", "--capture", str(capture)])
    text = ctl("learn", capture)[0]
    assert "caller.package" not in text and "By code of" not in text and '"/bin/true"' in text
