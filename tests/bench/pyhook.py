# SPDX-License-Identifier: Apache-2.0
"""What many write first: a Python hook that sends each event as JSON to a socket. Runs loop.py under it."""
import json
import os
import socket
import sys
import time

peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
peer.connect(os.environ["BENCH_SOCKET"])
send, dumps, now, pid = peer.send, json.dumps, time.time, os.getpid()


def hook(event, args):
    send(dumps({"time": now(), "pid": pid, "event": event, "args": [repr(a)[:4096] for a in args]}).encode())


del sys.argv[0]
with open(sys.argv[0]) as file:
    code = compile(file.read(), sys.argv[0], "exec")
sys.addaudithook(hook)
exec(code, {"__name__": "__main__"})
