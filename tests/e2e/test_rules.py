# SPDX-License-Identifier: Apache-2.0
"""What `pyauditctl rules` says of rules and of events."""
import json
import os
import re
import subprocess
import time

import pytest

from conftest import CTL, PATIENCE, ROOT, SANITIZED, clean_env, rule, write_rules

SHIPPED = ROOT / "config/rules.d"
RULES = [
    rule("no-shell", "@exec", ["exec.shell", "proc.unit glob 'web*' or caller.module = 'views'"],
         exceptions=[{"when": "caller.function = 'ok'", "owner": "ops", "reason": "known"}]),
    rule("any-system", "os.system", action="alert"),
    rule("fine", "os.system", "exec.cmdline = 'true'", action="allow", over=["any-system"]),
]


def ctl(*arguments, code=0):
    done = subprocess.run([str(CTL), "rules"] + [str(a) for a in arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60 * PATIENCE, env=clean_env())
    assert done.returncode == code, done
    return done.stdout.decode() if code == 0 else done.stderr.decode()


def without_comments(text):
    """The same without // and /* */ outside of texts."""
    return re.sub(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', lambda m: m.group(1) or "", text, flags=re.S)


@pytest.fixture
def rules(tmp_path):
    return ["--no-default-rules", "--rules", write_rules(tmp_path / "10-test.json", *RULES)]


def test_what_is_typed_is_explained(rules):
    said = json.loads(ctl("explain", "os.system", "id", "--proc", "unit=web.service", "--json", *rules))
    assert (said["action"], said["hits"]) == ("block", ["no-shell", "any-system"])
    first = said["rules"][0]
    assert first["decides"] and first["file"].endswith("10-test.json") and first["line"] > 1
    assert [c["holds"] for c in first["conditions"]] == [True, True, False]
    either = first["conditions"][1]["tests"]
    assert [(t["test"], t["holds"], t["value"]) for t in either] == [
        ("proc.unit glob 'web*'", True, '"web.service"'), ("caller.module = 'views'", False, "no value")]
    assert first["conditions"][2]["exception"] == "caller.function = 'ok'"
    # An exception that applies, a rule that is taken out.
    said = json.loads(ctl("explain", "os.system", "true", "--caller", "module=views", "--caller", "function=ok",
                          "--json", *rules))
    assert (said["action"], said["hits"]) == ("none", [])
    assert said["rules"][0]["conditions"][2]["holds"] and not said["rules"][0]["holds"]
    assert said["rules"][1]["allowed_by"] == "fine"
    shown = ctl("explain", "os.system", "id", *rules)
    assert shown.startswith("os.system: alert by any-system\nDECIDES   any-system, alert   ")
    assert "caller.module has no value" in shown and "taken out" not in shown


def test_a_test_of_a_rule_file_can_be_explained(rules):
    test = {"event": "subprocess.Popen", "args": ["sh", ["sh", "-c", "id"], None, None],
            "stack": [{"module": "views"}], "caller": {"module": "views", "line": 3}, "expect": "block"}
    assert ctl("explain", json.dumps(test), *rules).startswith("subprocess.Popen: block by no-shell\n")
    assert ctl("explain", "--observe", json.dumps(test), *rules).startswith(
        "subprocess.Popen: alert (would have been refused) by no-shell\n")
    assert ctl("explain", "custom:shop.order", "7", *rules) == \
        "shop.order: no rule asks for it\n0 of 0 rules that look at shop.order match\n"


@pytest.mark.parametrize("arguments, said", (
    (["os.sytem", "id"], "unknown event 'os.sytem', did you mean 'os.system'?"),
    (["os.system", "id", "--proc", "unt=x"], "there is no field 'proc.unt', did you mean 'unit'?"),
    (["os.system", "a", "b"], "os.system has 1 arguments: command"),
    (["os.system", "id", "--proc", "x"], "'x' is not NAME=VALUE"),
    (["{"], "'{' is not JSON"),
    ([], "the event is missing"),
    (["--event", "0", "--capture", "x"], "'0' is not a number from 1 on"),
    (["--event", "1"], "--capture and --event go together"),
))
def test_mistakes_in_what_is_typed_are_told(rules, arguments, said):
    assert said in ctl("explain", *(arguments + rules), code=2)


def test_an_event_of_a_capture_is_explained(ctl_run, python_few, tmp_path, rules):
    file = tmp_path / "c.capture"
    ctl_run([python_few, "-I", "-c", "import os; os.system('true'); os.system('id')"], *RULES,
            options=["--capture", str(file), "--record", "exec"])
    said = [json.loads(ctl("explain", "--capture", file, "--event", n, "--json", *rules)) for n in (1, 2)]
    # An alert has a lane of its own in the ring, and may be read before what came first.
    assert sorted(s["action"] for s in said) == ["alert", "none"]
    assert "has 2 events" in ctl("explain", "--capture", file, "--event", 3, *rules, code=1)


def test_show_says_what_became_of_a_rule(tmp_path):
    shipped, site = tmp_path / "shipped", tmp_path / "site"
    for folder in (shipped, site):
        folder.mkdir()
    write_rules(shipped / "10-shop.json", *RULES)
    write_rules(site / "20-site.json", {
        "override": "no-shell", "append": {"when": "exec.name != 'git'"}, "replace": {"action": "alert"}})
    said = json.loads(ctl("show", "--json", "no-shell", shipped, site))
    assert said["action"] == "alert" and said["on"] == ["@exec"]
    assert [os.path.basename(c["file"]) for c in said["when"]] == ["10-shop.json"] * 2 + ["20-site.json"]
    assert [os.path.basename(c["file"]) for c in said["changed_by"]] == ["20-site.json"] * len(said["changed_by"])
    assert said["exceptions"][0]["owner"] == "ops" and said["exceptions"][0]["in_force"]
    shown = ctl("show", "no-shell", shipped, site)
    assert "exec.name != 'git'" in shown and "20-site.json:" in shown
    assert "did you mean 'no-shell'?" in ctl("show", "no-shel", shipped, code=1)
    ctl("show", code=2)


def test_show_has_the_memory_of_a_rule_and_where_it_observes(tmp_path):
    burst = rule("burst", "os.remove", action="alert", observe_in=["shop*"],
                 threshold={"count": 20, "within": "10s", "per": ["file.path"]})
    dropper = dict(rule("dropper", [], action="alert"), sequence={"within": "60s", "in": "tree", "steps": [
        {"on": "open", "when": "file.write", "by": "file.path"}, {"on": "@exec", "by": "exec.path"}]})
    del dropper["on"]
    path = write_rules(tmp_path / "m.json", burst, dropper)
    said = json.loads(ctl("show", "--json", "burst", path))
    assert said["observe_in"] == ["shop*"]
    assert (said["memory"]["kind"], said["memory"]["count"], said["memory"]["within_ms"], said["memory"]["per"]) == (
        "threshold", 20, 10000, ["file.path"])
    shown = ctl("show", "burst", path)
    assert "20 events within 10000 ms in one process, for each file.path" in shown and "shop*" in shown
    said = json.loads(ctl("show", "--json", "dropper", path))
    assert said["memory"]["in"] == "tree" and [s["on"] for s in said["memory"]["steps"]] == [["open"], ["@exec"]]
    assert said["memory"]["steps"][0]["by"] == ["file.path"]
    assert "the same exec.path" in ctl("show", "dropper", path)


def test_list_has_what_programs_ask():
    listed = json.loads(ctl("list", "--json", SHIPPED))
    assert len(listed) >= 40
    for one in listed:
        assert one["on"] and one["severity"] and one["action"] and one["mode"] and one["file"] and one["line"]
        assert one["enabled"] and isinstance(one["attack"], list)


def test_the_schema_takes_what_is_right_and_nothing_else():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(ctl("schema"))
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    check = kind(schema)
    files = sorted(SHIPPED.glob("*.json")) + [
        f for f in sorted((ROOT / "tests/fixtures/rules").rglob("*.json")) if f.parent.name != "mistakes"]
    files += sorted((ROOT / "config/profiles").glob("*.json"))
    assert len(files) > 10
    for file in files:
        errors = [e.message for e in check.iter_errors(json.loads(without_comments(file.read_text())))]
        assert not errors, "%s: %s" % (file, errors[:3])
    good = rule("a", "open")
    assert check.is_valid({"version": 1, "rules": [good]})
    for wrong in ({"rules": [good]}, {"version": 2}, {"version": 1, "rule": []},
                  {"version": 1, "rules": [dict(good, on="opne")]}, {"version": 1, "rules": [dict(good, acton="x")]},
                  {"version": 1, "rules": [dict(good, action="deny")]}, {"version": 1, "rules": [dict(good, id="A")]},
                  {"version": 1, "rules": [dict(good, attack="T1")]}):
        assert not check.is_valid(wrong), wrong


def test_check_warns_of_what_is_hardly_meant(tmp_path):
    said = json.loads(ctl("check", "--json", "--notes", SHIPPED))
    assert said["errors"] == said["warnings"] == 0
    assert {d["code"] for d in said["diagnostics"]} <= {"some-versions"}
    bad = write_rules(tmp_path / "r.json", rule("a", "open", "exec.name = 'x'"), rule("b", "@exec", "exec.shell"),
                      rule("c", "@exec", ["exec.shell", "exec.name = 'sh'"], action="alert", severity="info"),
                      lists={"shells": ["sh"]})
    said = json.loads(ctl("check", "--json", bad))
    assert [(d["level"], d["code"]) for d in said["diagnostics"]] == [
        ("warning", "unused-list"), ("warning", "never-true"), ("warning", "shadowed")]
    assert "r.json:" in ctl("check", "--strict", bad, code=1)
    wrong = write_rules(tmp_path / "w.json", rule("a", "opne"))
    ctl("check", wrong, code=1)
    ctl("check", tmp_path / "none.json", code=2)


def test_shipped_rules_are_all_reached_in_under_a_second():
    begun = time.monotonic()
    said = json.loads(ctl("test", "--json", "--coverage", SHIPPED))
    seconds = time.monotonic() - begun
    assert said["failed"] == 0 and said["untested"] == 0
    assert said["reached"] == len([r for r in said["rules"]])
    assert all(r["hits"] and r["lookalikes"] for r in said["rules"])
    assert seconds < (1 if not SANITIZED else 60), seconds


def test_coverage_names_what_no_test_reaches(tmp_path):
    tested = dict(RULES[0], tests=[
        {"event": "os.system", "args": ["id"], "proc": {"unit": "web1"}, "expect": "block"},
        {"event": "os.system", "args": ["id"], "proc": {"unit": "db"}, "expect": "none"}])
    said = json.loads(ctl("test", "--coverage", "--json", write_rules(tmp_path / "r.json", tested)))["coverage"]
    assert said["conditions"] == {"total": 2, "covered": 1}
    assert said["tests"] == {"total": 2, "covered": 1}
    assert said["exceptions"] == {"total": 1, "covered": 0}
    assert {(m["kind"], m["text"], m["why"]) for m in said["missing"]} == {
        ("condition", "exec.shell", "no test makes it fail"),
        ("test", "caller.module = 'views'", "no test makes it hold"),
        ("exception", "caller.function = 'ok'", "no test makes it hold")}
    shown = ctl("test", "--coverage", tmp_path / "r.json")
    assert "rules reached 100 % (1 of 1), conditions both ways 50 % (1 of 2)" in shown
