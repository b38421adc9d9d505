# SPDX-License-Identifier: Apache-2.0
"""Observe and enforce, switched while daemon and programs run."""
import json
import subprocess

from conftest import CTL, NO_EXEC, clean_env, of_kind, rule, wait_for, write_rules
from test_reload import asks, puppet

NO_CHDIR = rule("no-chdir", "os.chdir", "file.path = '/'")
EXEC, CHDIR = "act(os.system, 'true')", "act(os.chdir, '/')"


def mode(server, *words):
    done = subprocess.run([str(CTL), "mode", *words, "--dir", str(server.dir)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=30)
    return done.returncode, done.stdout.decode() + done.stderr.decode()


def becomes(program, act, what):
    wait_for(lambda: asks(program, act) == what, "%s to be %s" % (act, what))


def test_a_rule_is_switched_in_a_running_program_and_stays_so_over_a_reload(daemon, python_few):
    server = daemon(NO_EXEC, NO_CHDIR)
    program = puppet(server, python_few)
    assert asks(program, EXEC) == asks(program, CHDIR) == "denied"
    code, said = mode(server, "observe", "--rule", "no-exec")
    assert code == 0 and "no-exec observes" in said
    becomes(program, EXEC, "allowed")
    assert asks(program, CHDIR) == "denied", "the other rule"
    assert server.request("reload")["ok"]
    becomes(program, EXEC, "allowed")
    alert = [e for e in server.events() if e["kind"] == "alert" and e["rule"] == "no-exec"][-1]
    assert alert["observed"] is True and alert["action"] == "alert"
    assert server.status()["modes"]["rules"] == {"no-exec": "observe"}
    assert mode(server, "enforce", "--rule", "no-exec")[0] == 0
    becomes(program, EXEC, "denied")
    told = of_kind(server.events(), "status", event="daemon.mode")
    assert len(told) == 2 and "uid" in told[0]["message"]
    program.communicate()


def test_a_file_is_switched_but_for_rules_of_which_more_was_said(daemon):
    server = daemon(NO_EXEC, NO_CHDIR)
    program = puppet(server, "/usr/bin/python3")
    code, said = mode(server, "observe", "--file", server.rules_file.name)
    assert code == 0 and server.rules_file.name + " observes" in said
    becomes(program, EXEC, "allowed")
    becomes(program, CHDIR, "allowed")
    assert mode(server, "enforce", "--rule", "no-chdir")[0] == 0
    becomes(program, CHDIR, "denied")
    assert asks(program, EXEC) == "allowed"
    assert server.status()["modes"]["files"] == {str(server.rules_file): "observe"}
    assert mode(server, "enforce", "--file", str(server.rules_file))[0] == 0, "by its path"
    becomes(program, EXEC, "denied")
    assert server.status()["modes"]["files"] == {str(server.rules_file): "enforce"}
    code, said = mode(server, "observe", "--file", server.rules_file.name + "x")
    assert code == 1 and "did you mean '%s'?" % server.rules_file.name in said, said
    program.communicate()


def test_the_host_is_switched_over_its_settings(daemon):
    server = daemon(NO_EXEC, config="observe = yes")
    program = puppet(server, "/usr/bin/python3")
    assert asks(program, EXEC) == "allowed"
    assert mode(server, "enforce", "--host")[0] == 0 and server.status()["observe"] is False
    becomes(program, EXEC, "denied")
    assert mode(server, "observe", "--host")[0] == 0 and server.status()["observe"] is True
    becomes(program, EXEC, "allowed")
    program.communicate()


def test_a_unit_is_switched_and_others_are_not(daemon):
    server = daemon(NO_EXEC)
    program = puppet(server, "/usr/bin/python3")
    unit = server.status()["processes"][0]["unit"]
    assert mode(server, "observe", "--unit", "other-*.service")[0] == 0
    assert asks(program, EXEC) == "denied"
    if unit:
        assert mode(server, "observe", "--unit", unit)[0] == 0
        becomes(program, EXEC, "allowed")
        assert mode(server, "enforce", "--unit", unit)[0] == 0
        becomes(program, EXEC, "denied")
    assert "other-*.service" in server.status()["modes"]["units"]
    assert mode(server, "enforce", "--unit", "other-*.service")[0] == 0
    program.communicate()


def test_a_rule_says_itself_in_which_units_it_observes(tmp_path):
    path = write_rules(tmp_path / "r.json", dict(NO_EXEC, observe_in=["shop-*.service"]))
    for unit, action, observed in [("shop-1.service", "alert", True), ("cron.service", "block", False)]:
        done = subprocess.run([str(CTL), "rules", "explain", "--no-default-rules", "--rules", str(path), "--json", "--proc",
                               "unit=" + unit, "os.system", "id"], stdout=subprocess.PIPE, timeout=30, env=clean_env())
        got = json.loads(done.stdout)
        assert (got["action"], got["observed"], got["hits"]) == (action, observed, ["no-exec"]), got
        assert got["rules"][0]["decides"] is True


def test_what_cannot_be_switched_is_said(daemon):
    server = daemon(NO_EXEC)
    generation = server.status()["generation"]
    for words, code, wanted in [
            (("observe", "--rule", "no-exce"), 1, "did you mean 'no-exec'?"),
            (("enforce", "--unit", "x.service"), 1, "was not switched"),
            (("observe",), 2, "--rule, --file, --unit and --host"), (("obsrve", "--host"), 2, "neither observe nor enforce"),
            (("observe", "--host", "--rule", "a"), 2, "one of"), ((), 2, "observe or enforce?")]:
        got = mode(server, *words)
        assert got[0] == code and wanted in got[1], (words, got)
    server.rules_file.write_text("{")
    code, said = mode(server, "observe", "--host")
    assert code == 1 and "mistakes" in said
    status = server.status()
    assert status["generation"] == generation and status["observe"] is False and status["modes"]["host"] is None
