# SPDX-License-Identifier: Apache-2.0
"""enable, disable, activate, deactivate: what is written where, that nothing else changes, and that the agent is in what
was enabled and out again. A booted systemd is the business of tests/container.sh; here units are read and written."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from conftest import AGENT, BUILD, CTL, MARK, MARKS, NO_EXEC, PATIENCE, clean_env, need, of_kind, write_rules

DROPIN = "50-pyaudit.conf"
ATTEMPT = "import os\ntry: os.system('echo ran')\nexcept PermissionError as e: print(e)\n"
DENIED = "[Errno 1] pyauditd: rule 'no-exec' denied os.system\n"


def ctl(*words, code=0, env=None):
    done = subprocess.run([str(CTL)] + [str(w) for w in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=env or clean_env(), timeout=120 * PATIENCE)
    assert done.returncode == code, done
    return done.stdout.decode() + done.stderr.decode()


@pytest.fixture
def image(tmp_path):
    """The tree of a system with the agent where an installation has it, and a unit."""
    root = tmp_path / "image"
    agent = pathlib.Path(str(root) + str(AGENT))
    agent.parent.mkdir(parents=True)
    shutil.copy(str(AGENT), str(agent))
    (root / "etc/systemd/system").mkdir(parents=True)
    (root / "usr/lib/systemd/system").mkdir(parents=True)
    return root


def unit(root, name, *lines, where="usr/lib/systemd/system"):
    path = root / where / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(("[Unit]", "Description=A test", "[Service]") + lines) + "\n")
    return path


def tree(root):
    return sorted((str(p.relative_to(root)), p.read_bytes() if p.is_file() else None) for p in root.rglob("*"))


def dropin(root, name):
    return root / "etc/systemd/system" / (name + ".d") / DROPIN


def test_a_unit_and_back(image):
    unit(image, "app.service", "ExecStart=/usr/bin/python3 -m app")
    before = tree(image)
    assert "would write" in ctl("enable", "--root", image, "--dry-run", "app")
    assert tree(image) == before

    said = ctl("enable", "--root", image, "app")
    assert "app.service: enabled" in said
    written = dropin(image, "app.service").read_text().splitlines()
    assert 'Environment="LD_PRELOAD=%s"' % AGENT in written
    assert "Wants=pyauditd.service" in written and "After=pyauditd.service" in written
    assert not [line for line in written if "PYAUDIT_MODE" in line]
    assert dropin(image, "app.service").stat().st_mode & 0o777 == 0o644

    enabled = tree(image)
    assert "is enabled already" in ctl("enable", "--root", image, "app.service")
    assert tree(image) == enabled
    assert "app.service: disabled" in ctl("disable", "--root", image, "app")
    assert tree(image) == before
    assert "was not enabled" in ctl("disable", "--root", image, "app")


def test_mode_changes_what_is_written(image):
    unit(image, "app.service", "ExecStart=/usr/bin/python3")
    ctl("enable", "--root", image, "--mode", "observe", "app")
    assert "Environment=PYAUDIT_MODE=observe" in dropin(image, "app.service").read_text().splitlines()
    ctl("enable", "--root", image, "--mode", "enforce", "app")
    assert "PYAUDIT_MODE" not in dropin(image, "app.service").read_text()


def test_templates_instances_and_several(image):
    unit(image, "worker@.service", "ExecStart=/usr/bin/python3 %i")
    unit(image, "app.service", "ExecStart=/usr/bin/python3")
    ctl("enable", "--root", image, "worker@", "worker@7.service", "app")
    for name in ("worker@.service", "worker@7.service", "app.service"):
        assert dropin(image, name).exists(), name
    assert "worker@.service: disabled" in ctl("disable", "--root", image, "--all")
    assert not list((image / "etc/systemd/system").iterdir())


def test_user_units(image, tmp_path):
    unit(image, "app.service", "ExecStart=/usr/bin/python3", where="usr/lib/systemd/user")
    ctl("enable", "--root", image, "--user", "app")
    written = (image / "etc/systemd/user/app.service.d" / DROPIN).read_text()
    assert "pyauditd.service" not in written  # not a unit of the user's manager
    ctl("disable", "--root", image, "--user", "--all")
    assert not (image / "etc/systemd/user/app.service.d").exists()


def test_the_manager_is_reloaded_and_the_unit_restarted(tmp_path):
    """By a systemctl of the test's own: what is asked of it, and what a failure says."""
    calls = tmp_path / "calls"
    fake = tmp_path / "bin/systemctl"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho \"$@\" >>%s\n[ -z \"$FAIL\" ] || { echo 'no bus' >&2; exit 1; }\n" % calls)
    fake.chmod(0o755)
    config = tmp_path / "config"
    unit(config, "worker@.service", "ExecStart=/usr/bin/python3", where="systemd/user")
    env = clean_env(XDG_CONFIG_HOME=config, XDG_RUNTIME_DIR=tmp_path, PATH="%s:%s" % (fake.parent, os.environ["PATH"]))
    said = ctl("enable", "--user", "worker@", env=env)
    assert calls.read_text() == "--user daemon-reload\n"
    assert "systemctl --user restart 'worker@*.service'" in said
    ctl("enable", "--user", "worker@", env=env)  # nothing new: no reload
    assert calls.read_text() == "--user daemon-reload\n"
    calls.unlink()
    ctl("enable", "--user", "--mode", "observe", "--restart", "worker@", env=env)
    assert calls.read_text() == "--user daemon-reload\n--user try-restart worker@*.service\n"
    said = ctl("disable", "--user", "worker@", env=dict(env, FAIL="1"), code=1)
    assert "daemon-reload failed: no bus" in said


@pytest.mark.parametrize("word,why", [
    ("nosuch", "there is no such unit"),
    ("backup.timer", "it starts no program of its own: name the service, such as backup.service"),
    ("/etc/systemd/system/app.service", "give it without its directory"),
    ("../app", "no name of a unit"),
    ("a b", "no name of a unit"),
    ("x" * 300, "no name of a unit"),
    ("pyauditd", "the daemon is no Python program"),
    ("masked", "masks it"),
])
def test_nonsense_is_refused_and_changes_nothing(image, word, why):
    unit(image, "app.service", "ExecStart=/usr/bin/python3")
    (image / "etc/systemd/system/masked.service").symlink_to("/dev/null")
    before = tree(image)
    assert why in ctl("enable", "--root", image, "app", word, code=1)
    assert tree(image) == before


@pytest.mark.parametrize("words,why", [
    ((), "which unit?"),
    (("--host", "app"), "--host takes no units"),
    (("--mode", "deny", "app"), "'deny' is neither observe nor enforce"),
    (("--root", "/nonexistent", "app"), "there is no directory"),
    (("--mode",), "needs a value"),
    (("--wrong", "app"), "unknown option"),
    (("--host", "--mode", "observe"), "observe = yes"),
])
def test_usage(words, why):
    assert why in ctl("enable", *words, code=2)


def test_a_drop_in_of_somebody_else_is_left_alone(image):
    unit(image, "app.service", "ExecStart=/usr/bin/python3")
    dropin(image, "app.service").parent.mkdir()
    dropin(image, "app.service").write_text("[Service]\nNice=5\n")
    before = tree(image)
    assert "did not make this file" in ctl("enable", "--root", image, "app", code=1)
    assert "did not make this file" in ctl("disable", "--root", image, "app", code=1)
    ctl("disable", "--root", image, "--all")
    assert tree(image) == before


@pytest.mark.parametrize("lines,expected", [
    (['Environment=A=1 "LD_PRELOAD=/usr/lib/libjemalloc.so.2" B=2'], ":/usr/lib/libjemalloc.so.2"),
    (["Environment='LD_PRELOAD=/opt/100%%.so /opt/b.so'"], ":/opt/100%%.so /opt/b.so"),
    (["Environment=A=1 \\", "# between", "  LD_PRELOAD=/opt/c.so"], ":/opt/c.so"),
    (["Environment=LD_PRELOAD=/opt/a.so", "Environment="], ""),
    (["Environment=LD_PRELOAD_X=/opt/a.so"], ""),
])
def test_another_preload_of_the_unit_is_kept(image, lines, expected):
    unit(image, "app.service", "ExecStart=/usr/bin/python3", *lines)
    ctl("enable", "--root", image, "app")
    written = dropin(image, "app.service").read_text()
    assert 'Environment="LD_PRELOAD=%s%s"' % (AGENT, expected) in written.splitlines()


def test_what_would_keep_the_agent_out_is_said(image):
    (image / "etc/default").mkdir()
    (image / "etc/default/app").write_text("A=1\nLD_PRELOAD=/opt/a.so\n")
    unit(image, "file.service", "EnvironmentFile=-/etc/default/app")
    assert "etc/default/app, its EnvironmentFile=, sets LD_PRELOAD" in ctl("enable", "--root", image, "file", code=1)
    unit(image, "unset.service", "UnsetEnvironment=LD_PRELOAD")
    assert "UnsetEnvironment=LD_PRELOAD" in ctl("enable", "--root", image, "unset", code=1)
    unit(image, "late.service", "ExecStart=/usr/bin/python3")
    unit(image, "90-late.conf", "Environment=LD_PRELOAD=/opt/a.so", where="etc/systemd/system/late.service.d")
    assert "90-late.conf sets LD_PRELOAD and is read after" in ctl("enable", "--root", image, "late", code=1)


def test_restrictions_of_the_unit_are_met(image):
    unit(image, "net.service", "RestrictAddressFamilies=AF_INET AF_INET6")
    unit(image, "unix.service", "RestrictAddressFamilies=AF_INET AF_UNIX")
    unit(image, "root.service", "RootDirectory=/srv/app")
    unit(image, "early.service", "[Unit]", "DefaultDependencies=no")
    ctl("enable", "--root", image, "net", "unix", "root", "early")
    assert "RestrictAddressFamilies=AF_UNIX" in dropin(image, "net.service").read_text()
    assert "Restrict" not in dropin(image, "unix.service").read_text()
    assert "BindReadOnlyPaths=%s -/run/pyaudit" % AGENT in dropin(image, "root.service").read_text()
    assert "After=" not in dropin(image, "early.service").read_text()  # before the daemon: no cycle


def test_systemd_understands_what_is_written(image):
    """By systemd's own parser, where it is installed."""
    need("systemd-analyze")
    unit(image, "app.service", "ExecStart=/bin/true", "RestrictAddressFamilies=AF_INET",
         'Environment="LD_PRELOAD=/opt/100%%.so"', "RootDirectory=/")
    (image / "bin").mkdir()
    shutil.copy("/bin/true", str(image / "bin/true"))
    ctl("enable", "--root", image, "--mode", "observe", "app")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--root", str(image), "app.service"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert DROPIN not in done.stdout.decode(), done


# The environment of such a unit

def test_observe_for_one_process(daemon, python):
    server = daemon(NO_EXEC, MARKS)
    done = server.run([python, "-c", ATTEMPT], env=server.env(PYAUDIT_MODE="observe"))
    assert (done.returncode, done.stdout.decode()) == (0, "ran\n"), done
    done = server.run([python, "-c", ATTEMPT])
    assert (done.returncode, done.stdout.decode()) == (0, DENIED), done
    observed, denied = of_kind(server.events(), "alert", event="os.system")
    assert (observed["action"], observed["observed"], observed["rule"]) == ("alert", True, "no-exec")
    assert (denied["action"], denied["observed"]) == ("block", False)
    waiting = server.spawn([python, "-c", "print('here', flush=True); input()"], env=server.env(PYAUDIT_MODE="observe"))
    waiting.stdout.readline()
    assert [p["mode"] for p in server.status()["processes"]] == ["observe"]


def test_kill_switch(daemon, python):
    server = daemon(NO_EXEC)
    ran = [python, "-c", ATTEMPT]
    assert server.run(ran).stdout.decode() == DENIED
    assert server.run(ran, env=server.env(PYAUDIT_DISABLE="1")).stdout == b"ran\n"
    (server.dir / "disable").touch()
    assert server.run(ran).stdout == b"ran\n"
    (server.dir / "disable").unlink()
    assert server.run(ran).stdout.decode() == DENIED
    assert len(of_kind(server.events(), "process", event="process.start")) == 2


# The host

def preload_of(image):
    return image / "etc/ld.so.preload"


@pytest.mark.parametrize("before", [None, "/opt/other.so\n", "# ours\n/opt/a.so:/opt/b.so # two\n\n/opt/c.so"])
def test_the_host_keeps_what_stands_there(image, before):
    if before is not None:
        preload_of(image).write_text(before)
        preload_of(image).chmod(0o640)
    whole = tree(image)
    assert "would write" in ctl("enable", "--root", image, "--host", "--dry-run")
    assert tree(image) == whole
    ctl("enable", "--root", image, "--host")
    text = preload_of(image).read_text()
    assert text.splitlines()[-1] == str(AGENT)
    assert text.startswith(before or "")
    assert preload_of(image).stat().st_mode & 0o777 == (0o644 if before is None else 0o640)
    assert "is enabled already" in ctl("enable", "--root", image, "--host")
    assert preload_of(image).read_text() == text
    ctl("disable", "--root", image, "--host")
    if before is None:
        assert not preload_of(image).exists()
    else:
        assert preload_of(image).read_text().rstrip("\n") == before.rstrip("\n")
    assert "was not enabled" in ctl("disable", "--root", image, "--host")


def test_the_host_forgets_every_agent_of_ours(image):
    preload_of(image).write_text("/old/lib/libpyaudit-agent.so:/opt/a.so # keep\n/x/libpyaudit-agent.so /opt/b.so\n")
    ctl("disable", "--root", image, "--all")
    assert preload_of(image).read_text() == "/opt/a.so # keep\n/opt/b.so\n"


def agent_in(image):
    return pathlib.Path(str(image) + str(AGENT))


def refuse_host(image, why):
    preload_of(image).write_text("/opt/a.so\n")
    assert why in ctl("enable", "--root", image, "--host", code=1)
    assert preload_of(image).read_text() == "/opt/a.so\n"


def test_the_host_is_not_given_a_library_that_is_missing(image):
    agent_in(image).unlink()
    refuse_host(image, "there is no agent at")


def test_the_host_is_not_given_a_library_that_does_not_load(image):
    agent_in(image).write_bytes(b"\x7fELF" + bytes(4096))
    refuse_host(image, "cannot be preloaded")


def test_the_host_is_not_given_a_library_that_ends_programs(image):
    need("cc")
    source = image / "bad.c"
    source.write_text("#include <stdlib.h>\n__attribute__((constructor)) static void f(void) { abort(); }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(agent_in(image)), str(source)], check=True)
    refuse_host(image, "does not run under")


def test_the_host_is_not_given_a_library_that_others_can_change(image):
    agent_in(image).chmod(0o666)
    refuse_host(image, "others than root can change")
    agent_in(image).chmod(0o755)
    agent_in(image).parent.chmod(0o777)
    refuse_host(image, "others than root can change")


def test_the_host_in_earnest(daemon, tmp_path):
    """In a mount namespace with an /etc of its own: every program started there has the agent, and no more afterwards."""
    need("unshare")
    server = daemon(NO_EXEC)
    script = tmp_path / "script"
    etc = tmp_path / "etc"
    script.write_text("""set -e
cp -a /etc '%(etc)s' 2>/dev/null || true
mount --bind '%(etc)s' /etc
%(ctl)s enable --host
cat /etc/ld.so.preload
/usr/bin/python3 -I -S -c "$1"
env -i PYAUDIT_DIR="$PYAUDIT_DIR" /usr/bin/python3 -I -S -c "$1"
mkdir -p /etc/pyaudit
touch /etc/pyaudit/disable
/usr/bin/python3 -c "$1"
rm /etc/pyaudit/disable
%(ctl)s disable --host
/usr/bin/python3 -c "$1"
[ ! -e /etc/ld.so.preload ]
""" % {"etc": etc, "ctl": CTL})
    # A sanitized pyauditctl wants its library first; here every program gets the agent first.
    options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    done = subprocess.run(["unshare", "-m", "sh", str(script), ATTEMPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=clean_env(PYAUDIT_DIR=server.dir, ASAN_OPTIONS=options), timeout=120 * PATIENCE)
    shutil.rmtree(str(etc), ignore_errors=True)
    if b"unshare failed" in done.stderr or b"must be superuser" in done.stderr or b"permission denied" in done.stderr:
        pytest.skip("no mount namespace: " + done.stderr.decode().strip())
    lines = [line for line in done.stdout.decode().splitlines() if not line.startswith(("  ", "the host: "))]
    assert (done.returncode, lines) == (0, [str(AGENT)] + [DENIED.strip()] * 2 + ["ran"] * 2), done


# Interpreters

def venv(python, folder):
    done = subprocess.run([str(python), "-m", "venv", "--without-pip", str(folder)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=clean_env(), timeout=60 * PATIENCE)
    if done.returncode:
        pytest.skip("no venv for %s: %s" % (python.tag, done.stdout.decode()[-80:]))
    (site,) = folder.glob("lib/python3*/site-packages")
    return folder / "bin/python", site


def test_activate_and_back(daemon, python, tmp_path):
    program, site = venv(python, tmp_path / "env")
    server = daemon(NO_EXEC)
    env = clean_env(PYAUDIT_DIR=server.dir)
    before = tree(tmp_path / "env")
    assert "would write" in ctl("activate", "--dry-run", tmp_path / "env")
    assert tree(tmp_path / "env") == before
    assert "activated, in %s" % site in ctl("activate", tmp_path / "env")
    assert server.run([program, "-c", ATTEMPT], env=env).stdout.decode() == DENIED
    assert "is activated already" in ctl("activate", program)
    assert "deactivated" in ctl("deactivate", program)
    assert tree(tmp_path / "env") == before
    assert server.run([program, "-c", ATTEMPT], env=env).stdout == b"ran\n"
    assert "was not activated" in ctl("deactivate", tmp_path / "env")


def test_activate_leaves_what_others_made(system_python, tmp_path):
    program, site = venv(system_python, tmp_path / "env")
    (site / "pyaudit.pth").write_text("import something_else\n")
    before = tree(tmp_path / "env")
    assert "did not make" in ctl("activate", program, code=1)
    assert "did not make" in ctl("deactivate", program, code=1)
    (site / "pyaudit.pth").unlink()
    assert tree(tmp_path / "env") == [entry for entry in before if not entry[0].endswith("pyaudit.pth")]


def test_activate_says_what_is_no_interpreter(tmp_path):
    assert "there is no bin/python3" in ctl("activate", tmp_path, code=1)
    assert "No such file" in ctl("activate", tmp_path / "missing/python", code=1)
    assert "does not answer like a Python" in ctl("activate", "/bin/true", code=1)
    fake = tmp_path / "pypy"
    fake.write_text("#!/bin/sh\necho '{\"name\": \"pypy\", \"major\": 3, \"minor\": 10, \"dir\": \"/x\"}'\n")
    fake.chmod(0o755)
    assert "only CPython" in ctl("activate", fake, code=1)
    assert "which interpreter" in ctl("activate", code=2)
