# SPDX-License-Identifier: BSD-3-Clause
"""xl save and xl restore."""
from machine import Failure

from .common import OUTSIDE, create_linux, ping_from_outside, scenario, sha256, start_backend, wait_connected

PIECES, PIECE_KIB = 40, 256  # one a second, so that the transfer cannot be over before the save


def pieces_here(machine):
    return int(machine.run("stat -c %s /tmp/rx")) // (PIECE_KIB << 10)


@scenario(600)
def f_save(machine):
    """xl save and xl restore of a Linux guest in the middle of a TCP transfer: its vif reconnects, the transfer ends with equal sha256."""
    start_backend(machine)
    create_linux(machine, "l1", "00:16:3e:00:00:01", "10.9.0.2")
    sent = sha256(machine.guest("l1", f"dd if=/dev/urandom of=/tmp/tx bs={PIECE_KIB}k count={PIECES} 2>/dev/null; sha256sum /tmp/tx", 60))
    machine.run(": >/tmp/rx; (sleep 600 | nc -l -p 5001 >/tmp/rx) >/dev/null 2>&1 & usleep 500000")
    machine.guest("l1", f"(i=0; while [ $i -lt {PIECES} ]; do dd if=/tmp/tx bs={PIECE_KIB}k skip=$i count=1 2>/dev/null; i=$((i+1)); sleep 1; done; sleep 500) | "
                        f"nc {OUTSIDE} 5001 >/dev/null 2>&1 & exit 0")
    machine.wait("first piece", f"[ $(stat -c %s /tmp/rx) -ge {PIECE_KIB << 10} ]", 60)
    machine.run("xl save l1 /tmp/l1.save", 150)
    before = pieces_here(machine)
    if before >= PIECES - 1:
        raise Failure(f"{before} of {PIECES} pieces had come before the save: nothing was left to go on with")
    machine.run("! xl domid l1 && xl restore /tmp/l1.save && rm /tmp/l1.save", 150)
    wait_connected(machine, "l1")
    ping_from_outside(machine, "10.9.0.2")
    machine.run(f"i=0; until [ $(stat -c %s /tmp/rx) -ge {PIECE_KIB * PIECES << 10} ]; do i=$((i+1)); [ $i -lt 240 ] || exit 1; sleep 1; done", 290)
    if sha256(machine.run("sha256sum /tmp/rx")) != sent:
        raise Failure("the transfer across the save arrived damaged")
    return f"{before} of {PIECES} pieces before the save, the rest after the restore"
