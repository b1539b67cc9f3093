# SPDX-License-Identifier: BSD-3-Clause
"""The NIC: the emulated machine's e1000, driven from dom0 by DPDK's poll-mode driver; its far end is QEMU's user network, and this process behind it."""
import hashlib
import os
import socket
import threading

from machine import Failure

from .common import OUTSIDE, create_linux, load, ping_from_guest, scenario, sha256, start_backend_on

NIC = "0000:00:05.0"
USER_NETWORK = ("-netdev", f"user,id=outside,net=10.9.0.0/24,host={OUTSIDE},dns=10.9.0.250", "-device", "e1000,netdev=outside,addr=5")
MIB = 4


def give_nic_to_user_space(machine, nic=NIC):
    load(machine, "uio_pci_generic")
    machine.run(f"echo uio_pci_generic >/sys/bus/pci/devices/{nic}/driver_override; echo {nic} >/sys/bus/pci/drivers_probe; [ -d /sys/bus/pci/devices/{nic}/driver/ ]")


class Peer:
    """A TCP server on this machine's loopback, which the far end of the NIC leads to: sends MIB MiB to whoever calls, and takes what the caller sends."""

    def __init__(self):
        self.sent = os.urandom(MIB << 20)
        self.got = hashlib.sha256()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        caller, _ = self.listener.accept()
        caller.sendall(self.sent)
        left = MIB << 20
        while left > 0:
            data = caller.recv(65536)
            if not data:
                break
            self.got.update(data)
            left -= len(data)
        caller.close()


def tcp_through_nic(machine, guest):
    peer = Peer()
    said = machine.guest(guest, f"dd if=/dev/urandom of=/tmp/tx bs=1M count={MIB} 2>/dev/null; sha256sum /tmp/tx; : >/tmp/rx; (cat /tmp/tx; sleep 100) | nc {OUTSIDE} {peer.port} >/tmp/rx & "
                         f"i=0; until [ $(stat -c %s /tmp/rx) -ge {MIB << 20} ] || [ $i -gt 1500 ]; do usleep 100000; i=$((i+1)); done", 300)
    peer.thread.join(200)
    if peer.got.hexdigest() != sha256(said):
        raise Failure(f"{MIB} MiB from {guest} arrived damaged, or not all of them")
    if sha256(machine.guest(guest, "sha256sum /tmp/rx", 60)) != hashlib.sha256(peer.sent).hexdigest():
        raise Failure(f"{MIB} MiB to {guest} arrived damaged, or not all of them")


def free_memory(machine):
    return int(machine.run("xl info | sed -n 's/^free_memory *: //p'"))


def restart(machine, signal):
    machine.run(f"kill -{signal} $(cat /tmp/backend.pid); sleep 2; mv /tmp/backend.log /tmp/backend.log.old")
    between = free_memory(machine)
    start_backend_on(machine, NIC)
    return between


@scenario(1500, USER_NETWORK)
def b_nic(machine):
    """Two Linux guests ping each other and, through an e1000 that DPDK's own driver runs in dom0, its far end; TCP both ways through it."""
    unused = free_memory(machine)
    give_nic_to_user_space(machine)
    start_backend_on(machine, NIC)
    taken = free_memory(machine)
    if restart(machine, "KILL") != taken or free_memory(machine) != taken:
        raise Failure("a killed back end's DMA memory was not taken over by the next")
    if restart(machine, "TERM") != unused:
        raise Failure("a back end that ended in good order keeps its DMA memory")
    for number in (1, 2):
        create_linux(machine, f"l{number}", f"00:16:3e:00:00:0{number}", f"10.9.0.{number + 1}")
    ping_from_guest(machine, "l1", "10.9.0.3")
    ping_from_guest(machine, "l2", "10.9.0.2", size=1472)
    ping_from_guest(machine, "l1", OUTSIDE)
    ping_from_guest(machine, "l2", OUTSIDE, size=1472)
    tcp_through_nic(machine, "l1")
    ping_from_guest(machine, "l2", OUTSIDE)
    return f"DPDK's net_e1000_em on {unused - taken} MiB of machine memory; {MIB} MiB by TCP each way through it"
