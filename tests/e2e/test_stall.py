# SPDX-License-Identifier: Apache-2.0
"""Something stands still: the daemon (SIGSTOP), journald, the disk of the event file. The workload does
not notice, and every alert arrives or is counted.

PYAUDIT_STALL=SECONDS lets each stand still for so long, between as long without it before and behind, and asserts that the
workload's throughput is the same within 2 %: on a quiet machine."""
import json
import os
import subprocess
import sys

import pytest

from conftest import PATIENCE, clean_env, mounts_for_journald

SECONDS = float(os.environ.get("PYAUDIT_STALL") or 0)


def stall(tmp_path, case):
    unshare = mounts_for_journald()
    seconds = SECONDS or 1.0
    more = {name: os.environ[name] for name in ("PYAUDIT_BUILD", "PYAUDIT_SANITIZE", "PYAUDIT_INTERPRETERS")
            if name in os.environ}
    done = subprocess.run(unshare + [sys.executable, "-B", "stall.py", str(tmp_path), case, str(seconds)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=clean_env(**more), timeout=(60 + 6 * seconds) * PATIENCE)
    if done.returncode == 77:
        pytest.skip("systemd-journald does not run here")
    log = tmp_path / "daemon.log"
    assert done.returncode == 0, done.stderr.decode() + (log.read_text() if log.exists() else "")
    result = json.loads(done.stdout.decode())
    print(json.dumps(result))
    if SECONDS:
        assert result["throughput"] >= 0.98, result  # faster: without the daemon's share of the machine
    assert "Sanitizer" not in log.read_text()
    return result, log.read_text()


def test_daemon_frozen(tmp_path):
    result, _ = stall(tmp_path, "frozen")
    assert result["file"] + result["lost_urgent"] == result["raised"], result
    assert result["journal"] == result["file"] and result["lost_sinks"] == 0, result


def test_journald_stopped(tmp_path):
    result, log = stall(tmp_path, "journald")
    assert result["journal"] == result["raised"], result
    assert result["file"] == result["raised"] and result["lost_sinks"] == 0, result


def test_socket_deleted(tmp_path):
    result, _ = stall(tmp_path, "socket")
    assert result["file"] == result["journal"] == result["raised"], result
    assert result["lost_sinks"] == result["lost_ordinary"] == 0, result


def test_disk_full(tmp_path):
    result, log = stall(tmp_path, "full")
    assert "ndjson: cannot write: No space left on device; trying again, and spooling meanwhile" in log
    assert "ndjson: writing again" in log
    assert result["spooled"] > 0
    assert result["file"] == result["journal"] == result["raised"], result
    # In a minute there is more than the spool takes: of that, all but alerts and losses is counted.
    assert SECONDS or result["lost_sinks"] == 0, result
