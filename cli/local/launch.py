"""Become another program that dies with its parent: `python -I -S launch.py OPTIONS -- PROGRAM ARGUMENTS`.

The supervisor starts everything through this file. It uses the standard library only and takes 15 ms. It is a program
and not a hook between fork and exec, because such a hook may deadlock in a process that has threads, as gRPC's has.
"""

import argparse
import ctypes
import os
import signal
import sys

# linux/prctl.h and linux/capability.h
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2


class _CapHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapData(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


def _become(libc: ctypes.CDLL, uid: int, gid: int, *, traverse: bool) -> None:
    """Change to another account. With `traverse`, keep the right to pass directories that are closed to it.

    A checkout under /root or in a temporary directory is closed to every other account, and PostgreSQL refuses to run
    as root. Opening those directories to everybody would be worse than one capability on one process of root's.
    """
    linux = sys.platform == "linux"
    if traverse and linux:
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if traverse and linux:
        header = _CapHeader(_CAP_VERSION_3, 0)
        held = (_CapData * 2)()
        libc.capget(ctypes.byref(header), held)
        # Containers often withhold the narrow right and grant the wide one.
        for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
            bit = 1 << capability
            if held[0].permitted & bit:
                wanted = (_CapData * 2)()
                wanted[0].effective = wanted[0].permitted = wanted[0].inheritable = bit
                if libc.capset(ctypes.byref(header), wanted) == 0:
                    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)
                break


def main() -> None:
    """Prepare this process as the options say and replace it by the program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--death-signal", type=int, default=int(signal.SIGKILL))
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("--traverse", action="store_true")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    libc = ctypes.CDLL(None, use_errno=True)
    if options.uid is not None:
        _become(libc, options.uid, options.gid, traverse=options.traverse)
    if sys.platform == "linux":
        # After the change of account: that change clears it.
        libc.prctl(_PR_SET_PDEATHSIG, options.death_signal, 0, 0, 0)
    if os.getppid() != options.parent:  # it died before the line above took effect
        sys.exit(1)
    os.execv(options.command[0], options.command)  # noqa: S606 - replacing this process is its purpose


if __name__ == "__main__":
    main()
