# SPDX-License-Identifier: BSD-3-Clause
"""The life of devices and domains, and what they leave behind."""
import re

from machine import Failure

from .common import OUTSIDE, create_sluice, ping_from_outside, scenario, start_backend, wait_connected


def only_dom0(machine):
    """No domain is left, not even one that is dead and has pages mapped somewhere."""
    machine.wait("end of the dead domains", "[ $(xl list | wc -l) = 2 ]", 10)


def footprint(machine):
    """(open files, KiB of memory) of the back end."""
    said = machine.run("p=$(cat /tmp/backend.pid); ls /proc/$p/fd | wc -l; grep VmRSS /proc/$p/status")
    files, memory = re.findall(r"\d+", said)[:2]
    return int(files), int(memory)


ROUNDS = 20
WARM = 5  # guests until what is touched once has been touched: measured, the second adds 504 KiB and the next 18 nothing


@scenario(400)
def e_life(machine):
    """Detach and attach, back end killed and started again, 20 guests destroyed under traffic: nothing is left behind."""
    mac = "00:16:3e:00:00:05"
    start_backend(machine)
    create_sluice(machine, "s1", mac, "10.9.0.5")
    for _ in range(3):
        machine.run("ping -c 1000 -i 0.01 10.9.0.5 >/dev/null 2>&1 & exit 0")
        machine.run("xl network-detach s1 0", 40)
        machine.run(f"xl network-attach s1 mac={mac} script=vif-sluice", 40)
        wait_connected(machine, "s1")
        ping_from_outside(machine, "10.9.0.5")
    for _ in range(2):
        machine.run("kill -9 $(cat /tmp/backend.pid); sleep 1; mv /tmp/backend.log /tmp/backend.log.old")
        start_backend(machine)
        wait_connected(machine, "s1")
        ping_from_outside(machine, "10.9.0.5")
    machine.run("xl pause s1; sleep 2; xl unpause s1")
    ping_from_outside(machine, "10.9.0.5")
    machine.run("xl destroy s1", 40)
    only_dom0(machine)
    sizes = []
    for number in range(ROUNDS):
        create_sluice(machine, f"r{number}", mac, "10.9.0.5", app=f"send dst={OUTSIDE} size=1000 seconds=100")
        machine.run(f"usleep 500000; xl destroy r{number}", 40)
        only_dom0(machine)
        sizes.append(footprint(machine))
    machine.note(f"files and KiB of the back end after each guest: {sizes}")
    before, after = sizes[WARM - 1], sizes[-1]
    if after[0] != before[0] or after[1] > before[1] + 64:
        raise Failure(f"the back end grew: {before} files and KiB after {WARM} guests, {after} after {ROUNDS}")
    return f"{ROUNDS} guests; back end has {after[0]} files open, {after[1] - before[1]:+d} KiB since guest {WARM}"
