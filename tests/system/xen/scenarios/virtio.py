# SPDX-License-Identifier: BSD-3-Clause
"""The emulated machine's virtio NIC, driven from dom0 by DPDK: TCP packets of 64 KiB pass it whole, both ways. Its far end is a tap interface in a namespace of the host."""
import hashlib
import os
import subprocess

from machine import Failure
from packages import XEN

from .common import create_linux, listen_in_guest, ping_from_guest, received_in_guest, scenario, start_backend_on
from .cpu import NIC_MIB, OUTSIDE, PORT, SINK, virtio
from .nic import NIC, give_nic_to_user_space

GUEST, IP, FAR = "l1", "10.9.0.2", "10.9.0.1"
MIB, FRAME = 8, 1448  # that listen_in_guest waits for; bytes of TCP in a frame


def received_packets(machine):
    return int(machine.guest(GUEST, "cat /sys/class/net/eth0/statistics/rx_packets").split()[0])


def send_from_outside(machine):
    """MIB MiB to the guest; how many packets they were there."""
    path = os.path.join(XEN, "outside.bin")
    data = os.urandom(MIB << 20)
    with open(path, "wb") as out:
        out.write(data)
    listen_in_guest(machine, GUEST)
    before = received_packets(machine)
    with open(path, "rb") as data_in, subprocess.Popen(machine.outside_words("busybox", "nc", IP, "5002"), stdin=data_in) as sender:
        got = received_in_guest(machine, GUEST)
        sender.kill()
    os.unlink(path)
    if got != hashlib.sha256(data).hexdigest():
        raise Failure(f"{MIB} MiB to {GUEST} arrived damaged, or not all of them")
    return received_packets(machine) - before


def send_to_outside(machine):
    """NIC_MIB MiB from the guest; how many packets they were on the wire. The receiver's kernel has looked at their checksums, unless they were blank."""
    before = machine.came_out("tap0")
    machine.guest(GUEST, f"load tcp {FAR} {PORT} {NIC_MIB}", 120)
    if open(SINK).read().split()[-1:] != [str(NIC_MIB << 20)]:
        raise Failure(f"not all of {NIC_MIB} MiB from {GUEST} arrived")
    return machine.came_out("tap0") - before


@scenario(600, (*virtio("tap0", 5), *virtio("tap1", 6)), OUTSIDE)
def b_virtio(machine):
    """A Linux guest behind a virtio NIC that DPDK's own driver runs in dom0: pings, and TCP both ways in packets larger than frames."""
    give_nic_to_user_space(machine)
    start_backend_on(machine, NIC)
    create_linux(machine, GUEST, "00:16:3e:00:00:01", IP)
    ping_from_guest(machine, GUEST, FAR)
    ping_from_guest(machine, GUEST, FAR, size=1472)
    sent, received = send_to_outside(machine), send_from_outside(machine)
    for what, mib, packets in (("from", NIC_MIB, sent), ("to", MIB, received)):
        if packets > (mib << 20) // FRAME // 4:
            raise Failure(f"{mib} MiB {what} the guest were {packets} packets: they were cut on the way")
    return f"{NIC_MIB} MiB to the wire in {sent} packets, {MIB} MiB from it in {received}"
