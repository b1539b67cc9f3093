# SPDX-License-Identifier: BSD-3-Clause
"""Front ends of Linux with more than one queue, and rings of more than one page."""
import re

from machine import Failure

from .blk import disk, image, negotiated, wait_disk
from .common import OUTSIDE, create_linux, guest_wait, ping_from_outside, scenario, sha256, start_backend, tcp_both_ways

QUEUES = 2


def interrupts(machine, pattern):
    """How many each event channel whose name matches has had in the guest."""
    said = machine.guest("l1", "cat /proc/interrupts")
    return {name: sum(map(int, counts.split())) for counts, name in re.findall(rf"^ *\d+:((?: +\d+)+) .* ({pattern})$", said, re.M)}


def vif_queues(machine):
    """Both queues carry packets: flows are dealt out over them."""
    keys = machine.run("xenstore-ls /local/domain/$(xl domid l1)/device/vif/0")
    if f'multi-queue-num-queues = "{QUEUES}"' not in keys:
        raise Failure("netfront did not take two queues")
    machine.guest("l1", f"for p in 1 2 3 4 5 6 7 8 9 10 11 12; do nc -w 5 {OUTSIDE} $p </dev/null; done 2>/dev/null; exit 0", 120)
    tcp_both_ways(machine, "l1", "10.9.0.2")
    counts = interrupts(machine, r"vif0-q\d-[rt]x")
    if len(counts) != 2 * QUEUES or not all(counts.values()):
        raise Failure(f"not every queue was used: {counts}")
    return counts


def disk_moves(machine, path):
    """Two writers at a time, each in its half of the disk, read back and compared in dom0."""
    half = "dd if=/tmp/big bs=1M of=/dev/xvda conv=fsync"
    machine.guest("l1", f"dd if=/dev/urandom of=/tmp/big bs=1M count=2 2>/dev/null; rm -f /tmp/1 /tmp/2; ({half}; echo >/tmp/1) 2>/dev/null & "
                        f"({half} seek=2; echo >/tmp/2) 2>/dev/null & exit 0")
    guest_wait(machine, "l1", "[ -e /tmp/1 ] && [ -e /tmp/2 ]", 120)
    theirs = sha256(machine.guest("l1", "echo 3 >/proc/sys/vm/drop_caches; cat /tmp/big /tmp/big | sha256sum", 180))
    back = sha256(machine.guest("l1", "dd if=/dev/xvda bs=1M count=4 2>/dev/null | sha256sum", 180))
    ours = sha256(machine.run(f"dd if={path} bs=1M count=4 2>/dev/null | sha256sum"))
    if not theirs == back == ours:
        raise Failure(f"4 MiB written, read back and seen by dom0 are not the same: {theirs[:8]} {back[:8]} {ours[:8]}")


@scenario(900)
def a_queues(machine):
    """A Linux guest with two vCPUs: two queues of its vif and of its disk, whose rings have two pages and which is a block device, read and written directly."""
    start_backend(machine)
    path = image(machine, "q.img", 32)
    machine.run(f"losetup /dev/loop0 {path}")
    create_linux(machine, "l1", "00:16:3e:00:00:21", "10.9.0.2", vcpus=QUEUES, disks=[disk("/dev/loop0")],
                 extra="xen_blkfront.max_ring_page_order=1 xen_blkfront.max_indirect_segments=64")  # slots * segments pages a queue: 34 MiB
    ping_from_outside(machine, "10.9.0.2")
    wait_disk(machine, "l1", "xvda")
    keys = negotiated(machine, "l1")
    for key in (f"multi-queue-num-queues={QUEUES}", "ring-page-order=1", "64 segments"):
        if key not in keys:
            raise Failure(f"blkfront did not take {key}: {keys}")
    disk_moves(machine, "/dev/loop0")
    counts = vif_queues(machine)
    return f"blkfront uses {keys}; events of netfront's queues: {counts}"
