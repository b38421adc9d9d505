# SPDX-License-Identifier: Apache-2.0
"""The README's commands do what it says."""
import os
import re
import shlex
import shutil
import subprocess

import pytest

from conftest import BUILD, CTL, PATIENCE, ROOT, clean_env

README = ROOT / "README.md"
# What needs root, a network or a machine of one's own is tested elsewhere (tests/container.sh).
ELSEWHERE = re.compile(r"packaging/try\.sh|tests/run\.sh|tests/container\.sh|git clone|\bsudo\b|systemctl|journalctl|"
                       r"cmake --install|apt-get|dnf|tests/bench|^cd |pyauditctl (enable|tail|status)|cmake --build|"
                       r"cmake --preset|ctest")


def blocks():
    if not README.exists():
        return []
    return re.findall(r"^```sh\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)


def commands():
    found = []
    for block in blocks():
        block = block.replace("\\\n", " ")
        for line in block.splitlines():
            line = re.sub(r"^\$ ", "", line.strip())
            line = re.sub(r"\s+# .*$", "", line)
            if line and not line.startswith("#"):
                found.append(line)
    return found


def test_readme_names_both_commands():
    text = README.read_text(encoding="utf-8")
    assert "sh packaging/try.sh" in text
    assert "sh tests/run.sh" in text


def test_there_are_commands_to_try():
    assert [c for c in commands() if "pyauditctl run" in c and not ELSEWHERE.search(c)], commands()


@pytest.mark.parametrize("command", [c for c in commands() if not ELSEWHERE.search(c)])
def test_command(command, tmp_path):
    """Each command is run in a copy of what it may name, with the build on PATH. Ones that show a denial
    end with 1, as the program does."""
    for name in ("packaging", "config", "docs", "tests/fixtures"):
        if (ROOT / name).exists():
            shutil.copytree(str(ROOT / name), str(tmp_path / name))
    env = clean_env(PATH="%s:%s:%s" % (BUILD / "bin", BUILD / "sbin", os.environ["PATH"]))
    (tmp_path / "build").mkdir()
    for name in ("try", "release"):
        (tmp_path / "build" / name).symlink_to(BUILD)
    done = subprocess.run(["sh", "-c", command], cwd=str(tmp_path), env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60 * PATIENCE)
    said = (done.stdout + done.stderr).decode()
    # Code that an event tells of has words of its own.
    said = re.sub(r"^[0-9:.]+ event .*\n", "", said, flags=re.M)
    assert done.returncode in (0, 1), said
    assert "not found" not in said and "No such file" not in said, said
    if done.returncode == 1:
        assert "denied" in said or "refused" in said, said


def test_try_runs_from_the_build(tmp_path):
    """What try.sh shows, with this build: events, one refused act, a summary."""
    done = subprocess.run([str(CTL), "run", "--rules", str(ROOT / "packaging/example/rules.json"), "--",
                           "/usr/bin/python3", str(ROOT / "packaging/example/thumbnails.py")],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env(),
                          timeout=60 * PATIENCE, cwd=str(tmp_path))
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    assert "refused: [Errno 1] pyauditd: rule 'example-no-shell' denied os.system" in said
    assert "thumbnails.py" in said


def test_example_rules_pass_their_tests():
    for verb in ("check", "test"):
        done = subprocess.run([str(CTL), "rules", verb, str(ROOT / "packaging/example/rules.json")],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_env(), timeout=30 * PATIENCE)
        assert done.returncode == 0, done.stdout.decode()
