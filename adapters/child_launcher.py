"""Turns itself into another program that dies with the process that started it.

It is a script of its own because Python code between fork and exec (`preexec_fn`) can deadlock in a process
with threads. The order of its steps matters: the kernel forgets the death signal when the user id changes.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def main(death_signal: int, parent: int, account: tuple[int, int], command: list[str]) -> None:
    """Become `command`, as `account` (user, group), sent `death_signal` once `parent` is gone."""
    uid, gid = account
    if os.geteuid() != uid:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
    # A parent that died before the line above sends no signal any more.
    if os.getppid() != parent:
        sys.exit("the process that wanted this server is gone")
    try:
        os.execv(command[0], command)  # noqa: S606 - the command is one of ours
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error}")


if __name__ == "__main__":
    death_signal, parent, uid, gid = map(int, sys.argv[1:5])
    main(death_signal, parent, (uid, gid), sys.argv[5:])
