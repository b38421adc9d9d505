# SPDX-License-Identifier: Apache-2.0
"""An ordinary little service: reads its settings, talks to a socket, restores a cache, starts a helper
program. Then a file name from outside reaches a shell, which rules.json beside it refuses."""
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import threading
from collections import OrderedDict


def settings():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "rules.json")) as file:
        return len(file.read())


def greet():
    """A request over a local TCP connection."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        port = listener.getsockname()[1]

        def answer():
            peer, _ = listener.accept()
            with peer:
                peer.sendall(b"hello from port %d" % port)

        thread = threading.Thread(target=answer)
        thread.start()
        with socket.create_connection(("localhost", port)) as client:
            words = client.recv(100).decode()
        thread.join()
        return words.split(" from ")[0]


def restore():
    """A cache written by an earlier run."""
    with tempfile.NamedTemporaryFile(suffix=".cache") as file:
        pickle.dump(OrderedDict(a=1, b=2), file)
        file.seek(0)
        return sum(pickle.load(file).values())


def helper():
    return subprocess.check_output(["/bin/echo", "200x200"]).decode().strip()


def thumbnail(name):
    os.system("convert " + name + " -resize " + helper() + " thumbnail.png")


def main():
    print("read %d bytes of settings" % settings())
    print("the socket says", greet())
    print("restored a cache of", restore())
    print("the helper says", helper())
    try:
        thumbnail("cat.png; id")
    except PermissionError as error:
        print("refused:", error)
        return 0
    print("nobody refused the shell")
    return 1


if __name__ == "__main__":
    sys.exit(main())
