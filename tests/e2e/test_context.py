# SPDX-License-Identifier: Apache-2.0
"""What a process had done before an alert stands with it, whether it was recorded or not."""
import json
import pathlib

import pytest

from conftest import NO_EXEC, of_kind, rule, wait_for

LOOKED_AT = rule("never", "open", ["file.path = '/nonexistent'"], action="alert")
SCHEMA = pathlib.Path(__file__).resolve().parents[2] / "docs/event.schema.json"
REFUSED = """
import os, sys
def refused(command):
    try:
        os.system(command)
    except PermissionError:
        pass
"""


def alerts_of(server, program, python="/usr/bin/python3", n=1):
    server.run([python, "-I", "-c", REFUSED + program])
    return wait_for(lambda: (lambda found: found if len(found) >= n else None)(of_kind(server.events(), "alert")),
                    "the alerts")


def told(alert):
    return [(past["event"], past["action"], past["text"]) for past in alert.get("context", [])]


def test_what_rules_looked_at_stands_with_the_alert(daemon, python_few):
    server = daemon(NO_EXEC, LOOKED_AT, config="context = 4")
    alerts = alerts_of(server, """
for name in ("first", "second", "second", "second"):
    sys.audit("open", "/srv/" + name, "r", 0)
sys.audit("open", "https://user:not-a-word@host/", "r", 0)
refused("id")
refused("id again")
""", python_few, n=2)
    # Those that are known to concern no rule are there each time they come.
    assert told(alerts[0]) == [("open", "none", "/srv/second")] * 3 + [
        ("open", "none", "https://user:<redacted:url-password>@host/")]
    assert told(alerts[1])[-1] == ("os.system", "block", "id")
    past = alerts[0]["context"]
    assert [p["time"] for p in past] == sorted(p["time"] for p in past) and past[0]["tid"] == alerts[0]["tid"]
    assert all(p["layer"] == "audit" for p in past)


def test_what_nobody_asks_for_only_where_it_is_wanted(daemon):
    program = 'sys.audit("shop.order", 1)\nsys.audit("os.listdir", "/srv")\nrefused("id")\n'
    server = daemon(NO_EXEC, config="context = 2\ncontext_all = yes")
    assert told(alerts_of(server, program)[0]) == [("shop.order", "none", None), ("os.listdir", "none", "/srv")]
    server.stop()
    server = daemon(NO_EXEC, config="context = 2")
    assert "context" not in alerts_of(server, program)[0]


def test_without_the_setting_there_is_none(daemon):
    server = daemon(NO_EXEC, LOOKED_AT)
    alert = alerts_of(server, 'sys.audit("open", "/srv/x", "r", 0)\nrefused("id")\n')[0]
    assert "context" not in alert


def test_it_is_of_the_documented_form_and_long_words_are_cut(daemon):
    server = daemon(NO_EXEC, LOOKED_AT, config="context = 32")
    alert = alerts_of(server, 'for i in range(40):\n    sys.audit("open", "/" + str(i) + "x" * 200, "r", 0)\nrefused("id")\n')[0]
    schema = json.loads(SCHEMA.read_text())
    pytest.importorskip("jsonschema").validators.validator_for(schema)(schema).validate(alert)
    assert len(alert["context"]) == 32
    last = alert["context"][-1]["text"]
    assert last == {"text": "/39" + "x" * 97, "length": 203}


def test_a_child_begins_with_what_its_parent_did(daemon):
    server = daemon(NO_EXEC, LOOKED_AT, config="context = 8")
    alert = alerts_of(server, """
sys.audit("open", "/srv/parent", "r", 0)
if os.fork() == 0:
    sys.audit("open", "/srv/child", "r", 0)
    refused("id")
    os._exit(0)
os.wait()
""")[0]
    assert told(alert)[-2:] == [("open", "none", "/srv/parent"), ("open", "none", "/srv/child")]


COUNTED = rule("third", "os.remove", action="alert", threshold={"count": 3, "within": "60s"})
STEPS = rule("steps", "open", action="alert", sequence={"within": "60s", "steps": [
    {"on": "os.mkdir", "by": "file.path"}, {"on": "os.rmdir", "by": "file.path"}]})
del STEPS["on"]
MISSED = rule("missed", "os.rename", action="alert", absence={"on": "os.link", "within": "1s"})


def test_rules_with_memory_tell_what_came_before(daemon, python_few):
    server = daemon(COUNTED, STEPS, MISSED, LOOKED_AT, rule("all", "os.remove", action="record"), config="context = 2")
    alerts = alerts_of(server, """
for i in range(3):
    sys.audit("open", "/srv/%d" % i, "r", 0)
    sys.audit("os.remove", "/srv/removed-%d" % i, -1)
sys.audit("os.rename", "/srv/a", "/srv/b", -1, -1)
sys.audit("os.mkdir", "/srv/dir", 0, -1)
sys.audit("os.rmdir", "/srv/dir", -1)
""", python_few, n=3)
    assert {alert["rule"]: told(alert) for alert in alerts} == {
        "third": [("os.remove", "record", "/srv/removed-1"), ("open", "none", "/srv/2")],
        "steps": [("os.rename", "record", "/srv/a"), ("os.mkdir", "record", "/srv/dir")],
        "missed": [("open", "none", "/srv/2"), ("os.remove", "record", "/srv/removed-2")]}
    assert not any("context" in event for event in of_kind(server.events(), "event"))


def test_settings_are_taken_at_a_reload(daemon):
    server = daemon(NO_EXEC, LOOKED_AT, config="context = 0")
    program = server.spawn(["/usr/bin/python3", "-I", "-c", REFUSED + """
for line in sys.stdin:
    sys.audit("open", "/srv/x", "r", 0)
    refused("id")
    print(line, flush=True)
"""])
    program.stdin.write(b"1\n"), program.stdin.flush(), program.stdout.readline()
    conf = server.config_path
    conf.write_text(conf.read_text().replace("context = 0", "context = 3"))
    assert server.request("reload")["ok"]

    def has_context():
        program.stdin.write(b"2\n"), program.stdin.flush(), program.stdout.readline(), program.stdout.readline()
        return [alert for alert in of_kind(server.events(), "alert") if told(alert)]
    found = wait_for(has_context, "an alert with its context")
    assert ("open", "none", "/srv/x") in told(found[0])
    program.communicate()
