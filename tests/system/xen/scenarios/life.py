# SPDX-License-Identifier: BSD-3-Clause
"""The life of devices and domains, and what they leave behind."""
import re

from machine import Failure

from .common import OUTSIDE, create_linux, create_sluice, ping_from_guest, ping_from_outside, scenario, start_backend, wait_connected


def only_dom0(machine):
    """No domain is left, not even one that is dead and has pages mapped somewhere."""
    machine.wait("end of the dead domains", "[ $(xl list | wc -l) = 2 ]", 60)


def footprint(machine):
    """(open files, KiB of memory) of the back end."""
    said = machine.run("p=$(cat /tmp/backend.pid); ls /proc/$p/fd | wc -l; grep VmRSS /proc/$p/status")
    files, memory = re.findall(r"\d+", said)[:2]
    return int(files), int(memory)


ROUNDS = 20
WARM = 5  # guests until what is touched once has been touched: measured, the second adds 504 KiB and the next 18 nothing


@scenario(900)
def e_life(machine):
    """Detach and attach, back end killed and started again, 20 guests destroyed under traffic: nothing is left behind."""
    mac = "00:16:3e:00:00:05"
    start_backend(machine)
    create_sluice(machine, "s1", mac, "10.9.0.5")
    for _ in range(3):
        machine.run("ping -c 1000 -i 0.01 10.9.0.5 >/dev/null 2>&1 & exit 0")
        machine.run("xl network-detach s1 0", 120)
        machine.run(f"xl network-attach s1 mac={mac} script=vif-sluice", 120)
        wait_connected(machine, "s1")
        ping_from_outside(machine, "10.9.0.5")
    for _ in range(2):
        machine.run("kill -9 $(cat /tmp/backend.pid); sleep 1; mv /tmp/backend.log /tmp/backend.log.old")
        start_backend(machine)
        wait_connected(machine, "s1")
        ping_from_outside(machine, "10.9.0.5")
    machine.run("xl pause s1; sleep 2; xl unpause s1")
    ping_from_outside(machine, "10.9.0.5")
    machine.run("xl destroy s1", 120)
    only_dom0(machine)
    sizes = []
    for number in range(ROUNDS):
        create_sluice(machine, f"r{number}", mac, "10.9.0.5", app=f"send dst={OUTSIDE} size=1000 seconds=100")
        machine.run(f"usleep 500000; xl destroy r{number}", 120)
        only_dom0(machine)
        sizes.append(footprint(machine))
    machine.note(f"files and KiB of the back end after each guest: {sizes}")
    before, after = sizes[WARM - 1], sizes[-1]
    if after[0] != before[0] or after[1] > before[1] + 64:
        raise Failure(f"the back end grew: {before} files and KiB after {WARM} guests, {after} after {ROUNDS}")
    return f"{ROUNDS} guests; back end has {after[0]} files open, {after[1] - before[1]:+d} KiB since guest {WARM}"


def linux_up(machine, ip):
    """After an attach: Linux's interface is a new one. And it talks at once and for as long as it is there."""
    machine.guest("l1", f"i=0; until [ -d /sys/class/net/eth0 ] || [ $i -gt 300 ]; do usleep 100000; i=$((i+1)); done; ip addr add {ip}/24 dev eth0; ip link set eth0 up; "
                        f"(ping -s 1400 -i 0.01 -c 1000 {OUTSIDE} >/dev/null 2>&1 &)")
    wait_connected(machine, "l1")
    machine.run(f"(ping -s 1400 -i 0.01 -c 1000 {ip} >/dev/null 2>&1 &)")


@scenario(1200)
def e_linux(machine):
    """A Linux guest's vif detached and attached under traffic, 20 rounds; its back end killed and started again; it is paused, unpaused and destroyed: nothing is left behind."""
    mac, ip, sizes = "00:16:3e:00:00:01", "10.9.0.2", []
    start_backend(machine)
    alone = footprint(machine)
    create_linux(machine, "l1", mac, ip)
    for _ in range(ROUNDS):
        machine.run("xl network-detach l1 $(xl network-list l1 | awk 'NR == 2 { print $1 }')", 120)
        machine.run(f"xl network-attach l1 mac={mac} script=vif-sluice", 120)
        linux_up(machine, ip)
        sizes.append(footprint(machine))
    ping_from_outside(machine, ip)
    machine.run("kill -9 $(cat /tmp/backend.pid); sleep 1; mv /tmp/backend.log /tmp/backend.log.old")
    start_backend(machine)
    wait_connected(machine, "l1")
    ping_from_guest(machine, "l1", OUTSIDE)
    machine.run(f"(ping -s 1400 -i 0.01 -c 3000 {ip} >/dev/null 2>&1 &) ; xl pause l1; sleep 3; xl unpause l1", 120)
    ping_from_outside(machine, ip)
    linux_up(machine, ip)
    machine.run("xl destroy l1", 120)
    only_dom0(machine)
    left = footprint(machine)
    machine.note(f"files and KiB of the back end alone: {alone}, after each round: {sizes}, in the end: {left}")
    before, after = sizes[WARM - 1], sizes[-1]
    if after[0] != before[0] or after[1] > before[1] + 64 or left[0] != alone[0]:
        raise Failure(f"the back end grew: {before} files and KiB after {WARM} rounds, {after} after {ROUNDS}; {left[0]} files without a guest, {alone[0]} at first")
    return f"{ROUNDS} rounds, {after[1] - before[1]:+d} KiB since round {WARM}"
