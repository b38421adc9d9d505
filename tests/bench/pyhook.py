# SPDX-License-Identifier: Apache-2.0
"""What many write first: a Python hook that sends each event as JSON to a socket. Runs loop.py under it."""
import json
import os
import runpy
import socket
import sys
import time

peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
peer.connect(os.environ["BENCH_SOCKET"])
send, dumps, now, pid = peer.send, json.dumps, time.time, os.getpid()


def hook(event, args):
    send(dumps({"time": now(), "pid": pid, "event": event, "args": [repr(a) for a in args]}).encode())


sys.addaudithook(hook)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
