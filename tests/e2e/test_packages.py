# SPDX-License-Identifier: Apache-2.0
"""Packages: a rule about an installed distribution is kept by its code, however it was installed, from the first event
on, in the calling thread; and told in alerts, captures and reports. tests/unit/test_packages.c has what listings say."""
import json
import subprocess

import pytest

from conftest import CTL, PATIENCE, clean_env, rule, rules_of, write_rules

ACT = """
def run():
    import os
    return os.system("true")
def connect():
    import socket
    s = socket.socket()
    try:
        s.connect(("127.0.0.1", 9))
    except ConnectionError:
        pass
def through(act):
    return act()
"""
TRY = """
import importlib, os, sys
sys.path[:0] = {path!r}
def refused(act, *args):
    try:
        return "passed" if act(*args) in (None, 0) else "failed"
    except PermissionError as error:
        return "denied" if "rule 'p' denied" in str(error) else "failed"
"""
NO_PROGRAMS = rule("p", ["@exec", "@network"], "caller.package = 'wanted-package'")


def install(directory, dist, *files, listed=None, info="dist-info"):
    """Code in @directory, and what says whose it is."""
    for name in files:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ACT)
    made = directory / ("%s-1.0.%s" % (dist, info))
    made.mkdir(parents=True)
    files = files if listed is None else listed
    if info == "dist-info":
        (made / "RECORD").write_text("".join("%s,sha256=x,1\n" % name for name in files))
    else:
        (made / "top_level.txt").write_text("".join("%s\n" % n.split("/")[0].replace(".py", "") for n in files))
    return made


def has_gil(python):
    return not python.tag.split("@")[0].endswith("t")


def test_however_it_was_installed(ctl_run, python_few, tmp_path):
    python = python_few
    site = tmp_path / "venv" / "lib" / "site-packages"
    dist = tmp_path / "usr" / "lib" / "python3" / "dist-packages"
    target, tree = tmp_path / "pip-target", tmp_path / "work tree"
    (tree / "src").mkdir(parents=True)
    (tree / "src" / "linked.py").write_text(ACT)
    info = install(site, "Wanted_Package", "rec/__init__.py", "rec/deep.py", "single.py", "space/wanted/m.py")
    (info / "direct_url.json").write_text(json.dumps(
        {"dir_info": {"editable": True}, "url": "file://" + str(tree).replace(" ", "%20")}))
    (site / "rec" / "unlisted.py").write_text(ACT)
    install(site, "other", "other.py", "space/other/m.py")
    # It says that another's file is its own, and keeps code that says it is another's.
    install(site, "liar", "lies.py", "lies/site-packages/honest.py", listed=["lies.py", "rec/deep.py",
                                                                             "lies/site-packages/honest.py"])
    install(site / "lies" / "site-packages", "other", listed=["honest.py"])
    install(dist, "wanted.package", "debian/__init__.py", info="egg-info")
    install(target, "wanted_package", "flat.py")
    wanted = ["rec", "rec.deep", "rec.unlisted", "single", "space.wanted.m", "debian", "flat", "linked"]
    if not has_gil(python):
        wanted = wanted[:-2]  # sys.path is not looked at
    paths = [site, dist, target, tree / "src", site / "lies" / "site-packages"]
    code = TRY.format(path=[str(p) for p in paths]) + """
import threading
seen, barrier, first = [], threading.Barrier(4), importlib.import_module("rec")
def ask():
    barrier.wait()
    seen.append(refused(first.run))
threads = [threading.Thread(target=ask) for i in range(4)]
for t in threads: t.start()
for t in threads: t.join()
if os.fork() == 0:
    os._exit(0 if refused(first.run) == "denied" else 1)
print(*(set(seen), os.wait()[1]))
for name in %r:
    m = importlib.import_module(name)
    print(name, refused(m.run), refused(m.connect))
""" % (wanted + ["other", "space.other.m", "lies", "honest"],)
    result = ctl_run([python, "-c", code], NO_PROGRAMS)
    expected = ["{'denied'} 0"] + [name + " denied denied" for name in wanted] + [
        name + " passed passed" for name in ("other", "space.other.m", "lies", "honest")]
    assert result.stdout.splitlines() == expected, str(result)
    named = {e["caller"]["file"].rsplit("/", 1)[1]: e["caller"]["package"] for e in result.kind("alert", action="block")}
    assert named["single.py"] == ["wanted-package"]
    assert sorted(named["deep.py"]) == ["liar", "wanted-package"]


def test_between_fork_and_exec(ctl_run, system_python, tmp_path):
    """The libc layer knows the package, though it may not look at Python there."""
    if not has_gil(system_python):
        pytest.skip("without a GIL sys.path is not looked at: links into other trees are not known")
    site, tree = tmp_path / "site-packages", tmp_path / "tree"
    tree.mkdir()
    (tree / "linked.py").write_text(ACT)
    info = install(site, "wanted_package")
    (info / "direct_url.json").write_text(json.dumps({"dir_info": {"editable": True}, "url": "file://%s" % tree}))
    code = TRY.format(path=[str(site), str(tree)]) + """
import ctypes, linked
print(refused(linked.run), refused(linked.connect))
libc = ctypes.CDLL(None, use_errno=True)
ctypes.set_errno(77)
sys.audit("my.event")
print(ctypes.get_errno())
"""
    libc = rule("p", ["libc.exec", "libc.posix_spawn", "libc.system", "libc.connect"], "stack.package = 'wanted-package'")
    asked = rule("asked", "custom:my.event", "stack.package = 'x'", action="alert")
    result = ctl_run([system_python, "-c", code], libc, asked)
    assert result.stdout.splitlines() == ["failed failed", "77"], str(result)
    assert {e["event"] for e in result.kind("alert", action="block")} == {"libc.system", "libc.connect"}


def test_captured_replayed_and_counted(ctl_run, system_python, tmp_path):
    site, capture, report = tmp_path / "site-packages", tmp_path / "x.capture", tmp_path / "events.ndjson"
    install(site, "wanted_package", "inner.py")
    install(site, "other", "other.py")
    code = TRY.format(path=[str(site)]) + (
        "import inner, other\nprint(refused(inner.run), refused(other.run), refused(inner.through, other.run))")
    rules = [NO_PROGRAMS, rule("watch", "@exec", "exists caller.package", action="alert"),
             rule("stack", "@exec", "stack.package = 'wanted-package' and caller.package = 'other'")]
    result = ctl_run([system_python, "-c", code], *rules, options=["--capture", str(capture)])
    assert result.stdout == "denied passed failed\n", str(result)
    told = [(rules_of(e), e["rules"], e["action"], e["caller"]) for e in result.kind("alert")]
    assert [(t[0], t[3]["package"]) for t in told] == [
        (["p"], ["wanted-package"]), (["watch"], ["other"]), (["stack"], ["other"])]
    path = write_rules(tmp_path / "again.json", *rules)
    done = subprocess.run([str(CTL), "replay", str(capture), "--no-default-rules", "--rules", str(path), "--json"],
                          stdout=subprocess.PIPE, timeout=60 * PATIENCE, env=clean_env(), check=True)
    again = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(rules_of(e), e["rules"], e["action"], e["caller"]) for e in again if e.get("kind") == "alert"] == told
    report.write_text("".join(json.dumps(e) + "\n" for e in result.kind("alert")))
    done = subprocess.run([str(CTL), "report", "--file", str(report), "--by", "package", "--csv"],
                          stdout=subprocess.PIPE, timeout=60 * PATIENCE, env=clean_env(), check=True)
    assert b"wanted-package" in done.stdout and b"other" in done.stdout, done.stdout
    done = subprocess.run([str(CTL), "rules", "explain", "--no-default-rules", "--rules", str(path), "os.system", "id",
                           "--caller", "package=wanted-package"], stdout=subprocess.PIPE, timeout=60 * PATIENCE,
                          env=clean_env(), check=True)
    assert b"block" in done.stdout, done.stdout
