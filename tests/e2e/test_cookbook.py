# SPDX-License-Identifier: Apache-2.0
"""Every command and every rule of docs/COOKBOOK.md does what the page says."""
import re
import subprocess

import pytest

from conftest import BUILD, CTL, PATIENCE, ROOT, SYSTEM, clean_env, rule

PAGE = (ROOT / "docs/COOKBOOK.md").read_text(encoding="utf-8")
TASKS = re.findall(r"^## (\d+\. .*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
# Where the page speaks of an installation, and of patience.
HERE = (("/usr/share/pyaudit/rules.d", str(ROOT / "config/rules.d")), ("--for 10m", "--for 500ms"))


def here(text):
    for there, instead in HERE:
        text = text.replace(there, instead)
    return text


def test_there_are_sixteen_tasks():
    assert [int(title.split(".")[0]) for title, _ in TASKS] == list(range(1, 17))


@pytest.mark.parametrize("title, body", TASKS, ids=[t.split(".")[0] for t, _ in TASKS])
def test_task(title, body, tmp_path, daemon):
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", body, re.M | re.S)
    assert {kind for kind, _ in blocks} <= {"sh", "text", "jsonc", "python"} and "sh" in dict(blocks)
    env = clean_env(NO_COLOR="1")
    env["PATH"] = "%s:%s" % (BUILD / "bin", env["PATH"])
    (tmp_path / "path").mkdir()
    (tmp_path / "path/python3").symlink_to(SYSTEM.path)
    env["PATH"] = "%s:%s" % (tmp_path / "path", env["PATH"])
    if "pyauditctl capture" in body:
        env["PYAUDIT_DIR"] = str(daemon(rule("marks", "webbrowser.open", action="record")).dir)
    work = tmp_path / "work"
    work.mkdir()
    printed = ""
    for kind, text in blocks:
        if kind in ("jsonc", "python"):
            name = re.match(r"(?://|#) (\S+)\n", text).group(1)
            (work / name).write_text(text)
            if kind == "jsonc":
                check_rules(work / name)
        elif kind == "sh":
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", here(text)], cwd=str(work), env=env,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=120 * PATIENCE)
            printed += done.stdout.decode("utf-8", "replace")
            assert done.returncode == 0, printed
        else:
            for line in text.splitlines():
                assert line in printed, "%r is not in\n%s" % (line, printed)


def check_rules(path):
    """Rules of the page have no mistakes, and their own tests pass."""
    shipped = [str(ROOT / "config/rules.d")] if '"override"' in path.read_text() else []
    for command in (["check", "--strict"], ["test"]):
        done = subprocess.run([str(CTL), "rules"] + command + shipped + [str(path)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env=clean_env(), timeout=60 * PATIENCE)
        assert done.returncode == 0, done.stdout.decode()
