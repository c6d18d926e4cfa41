"""Imports once what every service imports, and forks services from there: `python -m cli.local.forkserver FD PARENT`.

Of the two seconds of processor time that a service takes to start, three quarters go into importing the same
libraries, and those libraries are most of its memory. Forked from one process that has them, services start in a third
of the time and share the memory. A child then runs `python -m services.<name>` to the letter: same module, same
environment.

Only other people's libraries are imported here, so that code of ours is as fresh after a restart as after an exec. gRPC
must not be *used* before a fork; imported it starts no thread, which is checked below.
"""

import array
import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

LIBRARIES = (
    "argon2",
    "cryptography.hazmat.primitives.serialization",
    "cryptography.x509",
    "google.api.annotations_pb2",
    "google.protobuf.json_format",
    "google.rpc.error_details_pb2",
    "google.type.money_pb2",
    "google.type.postal_address_pb2",
    "grpc.aio",
    "grpc_channelz.v1.channelz",
    "grpc_health.v1.health_pb2_grpc",
    "grpc_reflection.v1alpha.reflection",
    "grpc_status.rpc_status",
    "jwt",
    "nats",
    "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "opentelemetry.sdk.trace",
    "prometheus_client.openmetrics.exposition",
    "protovalidate",
    "psycopg_pool",
    "pydantic_settings",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.ext.asyncio",
    "stamina",
    "structlog",
    "uvicorn",
    "uvloop",
)

TITLE_ROOM = 96
"""Bytes of the command line that a child may write its own into."""

_LONGEST_REQUEST = 256 * 1024
_PR_SET_PDEATHSIG = 1
_ADOPTION_SECONDS = 5.0


def main() -> None:
    """Import, then fork a child a request until the other end of the socket is closed."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    parent = int(sys.argv[2])
    gc.disable()
    for name in LIBRARIES:
        importlib.import_module(name)
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        sys.exit(f"a library has started {threads - 1} threads; nothing can be forked from here")
    # What is there now is never collected: the collector's marks would un-share every page.
    gc.collect()
    gc.freeze()
    connection.sendall(b"ready")
    while True:
        data, descriptors = _receive(connection)
        if not data:
            return
        pid = _fork(json.loads(data), descriptors[0], parent, connection)
        os.close(descriptors[0])
        connection.sendall(str(pid).encode())


def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    data, ancillary, _, _ = connection.recvmsg(_LONGEST_REQUEST, socket.CMSG_SPACE(array.array("i", [0]).itemsize))
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content)
    return data, list(descriptors)


def _fork(request: dict[str, Any], log: int, parent: int, connection: socket.socket) -> int:
    """Fork twice: the grandchild, orphaned, is adopted by the supervisor as by a parent. Return its pid."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        grandchild = os.fork()
        if grandchild == 0:
            connection.close()
            os.close(reader)
            os.close(writer)
            _become(request, log, parent)
        os.write(writer, str(grandchild).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        pid = int(answer.read())
    os.waitpid(child, 0)
    return pid


def _become(request: dict[str, Any], log: int, parent: int) -> None:
    """Turn this process into `python -m MODULE` and do not return."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(log)
    deadline = time.monotonic() + _ADOPTION_SECONDS
    while os.getppid() != parent:  # until the process between us has ended
        if time.monotonic() > deadline:
            os._exit(1)
        time.sleep(0.0005)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, request["death_signal"], 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["directory"])
    module = request["module"]
    _retitle(f"{sys.executable} -m {module}")
    sys.argv = [module]
    # The interpreter's own start has made these for another program.
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.enable()
    code = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = _exit_code(ended)
    except BaseException:  # noqa: BLE001 - as the interpreter does with what nobody caught
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    os._exit(code)


def _exit_code(ended: SystemExit) -> int:
    match ended.code:
        case None:
            return 0
        case int(code):
            return code
        case message:
            sys.stderr.write(f"{message}\n")
            return 1


def _retitle(title: str) -> None:
    """Show `title` as this process's command line, within the room that our own has left for it (proc(5), stat)."""
    fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(") ")[2].split()
    start, end = int(fields[45]), int(fields[46])
    text = title.encode()[: end - start - 1].replace(b" ", b"\0")
    ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


if __name__ == "__main__":
    main()
