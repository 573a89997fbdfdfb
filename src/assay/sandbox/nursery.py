"""The nursery: forks one checker at a time. It may have packages loaded that the tests need; solutions come from the
template, which has not.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
from typing import NoReturn

from assay.sandbox import protocol
from assay.sandbox.checker import Suite, prepare
from assay.sandbox.layers import confine_sample
from assay.sandbox.messages import read_all, receive, send

CHECKER_LIMITS = {"memory_mb": 4096, "file_mb": 64, "open_files": 64, "processes": 64}
"""What a checker may use; its CPU time is watched by the template."""


def serve(control: socket.socket) -> None:
    """Fork a checker whenever assay asks for one, until it hangs up."""
    gc.collect()
    gc.freeze()
    gc.disable()
    child = 0
    while True:
        message, descriptors = receive(control)
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        if not message:
            return
        tests, tasks = descriptors
        child = os.fork()
        if child == 0:
            _become_checker(tests, tasks)
        os.close(tests)
        os.close(tasks)


def _become_checker(tests: int, tasks: int) -> NoReturn:
    """In the child: confine, compile the tests, judge one attempt after the other. Never returns."""
    code = 70
    try:
        os.dup2(0, 1)
        os.dup2(0, 2)
        confine_sample(CHECKER_LIMITS, (0, 1, 2, tests, tasks))
        gc.enable()
        suite = prepare(json.loads(read_all(tests)))
        gc.collect()
        gc.freeze()
        socket_ = socket.socket(fileno=tasks)
        send(socket_, protocol.READY + protocol.PID.pack(os.getpid()))
        while _judge_next(suite, socket_):
            pass
        code = 0
    finally:
        os._exit(code)


def _judge_next(suite: Suite, tasks: socket.socket) -> bool:
    message, descriptors = receive(tasks)
    if not message:
        return False
    channel, report = descriptors
    found = suite.judge(channel)
    os.close(channel)
    os.write(report, json.dumps(found).encode())
    os.close(report)
    send(tasks, protocol.OVER + bytes([found["status"] == "exited"]))
    return True
