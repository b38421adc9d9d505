# SPDX-License-Identifier: Apache-2.0
"""Settings: drop-ins, where each came from, and a reload that takes all of them or none."""
import json
import signal
import subprocess

import pytest

from conftest import CTL, DAEMON, MARKS, NO_EXEC, PATIENCE, clean_env, of_kind, wait_for

ATTEMPT = "import os\ntry: os.system('echo ran')\nexcept PermissionError: print('denied')\n"


def show(*words, code=0):
    done = subprocess.run([str(CTL), "config", "show"] + [str(w) for w in words], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env(), timeout=60 * PATIENCE)
    assert done.returncode == code, done
    return done.stdout.decode(), done.stderr.decode()


def settings(*words):
    return [json.loads(line) for line in show("--json", *words)[0].splitlines()]


def one(rows, key):
    (row,) = [row for row in rows if row["key"] == key]
    return row["value"], row["file"], row["line"]


@pytest.fixture
def tree(tmp_path):
    path = tmp_path / "x.conf"
    path.write_text("# first\nmemory = 4M\nobserve = no\nrules = /a\n")
    folder = tmp_path / "x.conf.d"
    folder.mkdir()
    (folder / "20-b.conf").write_text("observe = yes\n")
    (folder / "10-a.conf").write_text("\nobserve = no\nmemory = 3000\nrules = /b\n")
    (folder / "30-c.conf.bak").write_text("nonsense\n")
    (folder / ".hidden.conf").write_text("nonsense\n")
    return path


def test_drop_ins_are_read_in_the_order_of_their_names(tree):
    rows = settings("--config", tree)
    folder = str(tree) + ".d"
    assert one(rows, "observe") == ("yes", folder + "/20-b.conf", 1)
    assert one(rows, "memory") == ("3000", folder + "/10-a.conf", 3)
    assert one(rows, "drain_ms") == ("3", None, None)
    assert one(rows, "sink_queue") == ("16M", None, None)
    assert one(rows, "ndjson") == (None, None, None)
    assert one(rows, "record") == ("none", None, None)
    assert [(r["value"], r["line"]) for r in rows if r["key"] == "rules"] == [("/a", 4), ("/b", 4)]
    text = show("--config", tree)[0]
    assert "20-b.conf:1" in text and [line for line in text.splitlines() if line.split()[:3] == ["drain_ms", "3", "default"]]


def test_every_mistake_of_every_file_is_said(tree):
    (tree.parent / "x.conf.d/20-b.conf").write_text("observe = maybe\nnonsense\n")
    tree.write_text("memry = 4M\n")
    _, said = show("--config", tree, code=1)
    for place in ("x.conf:1:1: unknown key 'memry'", "20-b.conf:1:11: 'observe': expected yes or no", "20-b.conf:2:"):
        assert place in said, said
    done = subprocess.run([str(DAEMON), "--config", str(tree), "--check-config"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 1 and b"20-b.conf:2:" in done.stderr


def test_drop_ins_alone_are_enough(tree):
    tree.unlink()
    assert one(settings("--config", tree), "observe")[0] == "yes"
    assert "No such file" in show("--config", tree.parent / "missing.conf", code=1)[1]


def test_of_the_daemon_that_runs(daemon):
    server = daemon(NO_EXEC, config="drain_ms = 5")
    rows = settings("--dir", server.dir)
    assert one(rows, "drain_ms") == ("5", str(server.config_path), 6)
    assert one(rows, "dir") == (str(server.dir), str(server.config_path), 1)
    assert one(rows, "max_clients") == ("64", None, None)


def test_without_a_daemon_it_says_so(tmp_path):
    _, said = show("--dir", tmp_path)
    assert "this is what one would begin with" in said


@pytest.mark.parametrize("words,why", [((), "what?"), (("hide",), "unknown word 'hide'"), (("show", "x"), "unexpected"),
                                       (("show", "--wrong"), "unknown option")])
def test_usage(words, why):
    done = subprocess.run([str(CTL), "config"] + list(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 2 and why in done.stderr.decode(), done


def reload(server, how):
    if how == "request":
        return server.request("reload")
    n = len(of_kind(server.events(), "status"))
    server.signal(signal.SIGHUP)
    wait_for(lambda: len(of_kind(server.events(), "status")) > n, "the reload")
    return {"ok": of_kind(server.events(), "status")[-1]["event"] == "daemon.reload"}


@pytest.mark.parametrize("how", ["request", "signal"])
def test_a_reload_takes_settings_too(daemon, system_python, how):
    server = daemon(NO_EXEC, MARKS)
    attempt = [system_python, "-c", ATTEMPT]
    assert server.run(attempt).stdout == b"denied\n"
    folder = server.config_path.parent / "pyauditd.conf.d"
    folder.mkdir()
    (folder / "50-observe.conf").write_text("observe = yes\ndrain_ms = 7\nmax_clients = 9\n")
    assert reload(server, how)["ok"] is True
    assert server.status()["observe"] is True
    assert server.run(attempt).stdout == b"ran\n"
    rows = settings("--dir", server.dir)
    assert one(rows, "drain_ms") == ("7", str(folder / "50-observe.conf"), 2)
    assert one(rows, "max_clients")[0] == "9"
    (folder / "50-observe.conf").unlink()
    assert reload(server, how)["ok"] is True
    assert server.run(attempt).stdout == b"denied\n"
    assert one(settings("--dir", server.dir), "drain_ms") == ("3", None, None)


@pytest.mark.parametrize("where", ["settings", "rules"])
def test_with_a_mistake_in_either_both_stay(daemon, system_python, where):
    server = daemon(NO_EXEC, MARKS)
    attempt = [system_python, "-c", ATTEMPT]
    before = settings("--dir", server.dir), server.status()["generation"]
    folder = server.config_path.parent / "pyauditd.conf.d"
    folder.mkdir()
    (folder / "50-x.conf").write_text("observe = yes\n" + ("drain_ms = 0\n" if where == "settings" else ""))
    if where == "rules":
        server.rules_file.write_text("{")
    answer = server.request("reload")
    assert answer["ok"] is False
    assert [m for m in answer["mistakes"] if ("50-x.conf:2:12: 'drain_ms'" if where == "settings" else "10-test.rules:1:") in m], answer
    assert (settings("--dir", server.dir), server.status()["generation"]) == before
    assert server.run(attempt).stdout == b"denied\n"


def test_what_only_a_start_can_change_is_said(daemon, tmp_path):
    server = daemon(NO_EXEC)
    text = server.config_path.read_text()
    server.config_path.write_text(text.replace("ndjson = ", "ndjson = %s/other.ndjson\n#" % tmp_path) + "memory = 1M\n")
    assert server.request("reload")["ok"] is True
    assert "'ndjson' stays %s until the daemon is started anew" % server.events_path in server.log()
    assert "'memory' stays 8M" in server.log()
    rows = settings("--dir", server.dir)
    assert one(rows, "ndjson")[0] == str(server.events_path) and one(rows, "memory")[0] == "8M"
    assert not (tmp_path / "other.ndjson").exists()
    server.config_path.write_text(text)
    assert server.request("reload")["ok"] is True
    assert server.log().count("until the daemon is started anew") == 2
