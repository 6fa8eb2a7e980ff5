# SPDX-License-Identifier: Apache-2.0
"""esptool, espsecure and espefuse of the virtual environment that SELF_REFLASHER_VENV names, else of PATH.

To load them takes longer than what the tests want of them. So one process loads each when it is wanted first, and is forked for each
run.
"""
import atexit
import functools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SERVER = """
import functools, importlib, json, os, runpy, sys, traceback
import cryptography, esptool
from cryptography.hazmat.primitives import serialization

# Whether the numbers of an RSA key are primes takes longer than all else, each time it is read: here they are, espsecure made them.
if int(cryptography.__version__.split(".")[0]) >= 39:
    serialization.load_pem_private_key = functools.partial(serialization.load_pem_private_key, unsafe_skip_rsa_key_validation=True)

def run(request):
    for stream, path in ((1, request["out"]), (2, request["err"])):
        os.dup2(os.open(path, os.O_WRONLY), stream)
    sys.argv = request["words"]
    status = 1
    try:
        if request["code"] is None:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            exec(request["code"], {"__name__": "__main__"})
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)

print("ready", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    importlib.import_module(request["words"][0] if request["code"] is None else "espsecure")
    child = os.fork()
    if child == 0:
        run(request)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@functools.cache
def _server():
    """The process, or None without the tools."""
    venv = os.environ.get("SELF_REFLASHER_VENV")
    python = str(pathlib.Path(venv) / "bin" / "python3") if venv else shutil.which("python3")
    process = subprocess.Popen([python, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if process.stdout.readline() == "ready\n":
        atexit.register(process.communicate)
        return process
    error = process.communicate()[1]
    if venv:
        raise AssertionError(error)
    return None


def need():
    """Skips the case if the tools are not there: scripts/test installs them in a virtual environment."""
    if _server() is None:
        raise unittest.SkipTest("esptool is not installed: scripts/test does that")


def attempt(*words, code=None):
    """Runs one of the tools, or some Python.
    @param words Name of the tool and its arguments; with @p code, which has espsecure, what that finds in sys.argv.
    @return a subprocess.CompletedProcess."""
    need()
    server = _server()
    with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
        request = {"words": [str(word) for word in words], "code": code, "out": out.name, "err": err.name}
        print(json.dumps(request), file=server.stdin, flush=True)
        return subprocess.CompletedProcess(words, int(server.stdout.readline()), out.read(), err.read())


def run(*words, code=None):
    """The same, which has to succeed. @return what it said"""
    done = attempt(*words, code=code)
    if done.returncode != 0:
        raise AssertionError(f"{words}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
