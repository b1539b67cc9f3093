# SPDX-License-Identifier: BSD-3-Clause
"""Networking: our back end and Linux's, our front end and Linux's."""
import re

from .common import OUTSIDE, create_linux, create_sluice, load, ping_from_guest, ping_from_outside, scenario, start_backend, tcp_both_ways, udp_echo


@scenario(240)
def a_net(machine):
    """Linux's xen-netfront with our back end: ping both ways, 8 MiB by TCP each way; xen-netback is not loaded."""
    start_backend(machine)
    create_linux(machine, "l1", "00:16:3e:00:00:01", "10.9.0.2")
    ping_from_guest(machine, "l1", OUTSIDE)
    ping_from_outside(machine, "10.9.0.2")
    ping_from_outside(machine, "10.9.0.2", size=1472)
    tcp_both_ways(machine, "l1", "10.9.0.2")
    machine.run("! grep -q xen_netback /proc/modules")
    machine.run("xenstore-ls /local/domain/0/backend/vif/$(xl domid l1)/0")
    keys = machine.run("xenstore-ls /local/domain/$(xl domid l1)/device/vif/0")
    return "netfront negotiates " + " ".join(re.findall(r"((?:feature|request|multi)[-\w]+) = \"1\"", keys))


@scenario(120)
def d_net(machine):
    """Our minimal kernel with our back end."""
    start_backend(machine)
    create_sluice(machine, "s1", "00:16:3e:00:00:02", "10.9.0.3")
    ping_from_outside(machine, "10.9.0.3")
    ping_from_outside(machine, "10.9.0.3", size=1472)
    udp_echo(machine, "10.9.0.3")


@scenario(120)
def c_net(machine):
    """Our minimal kernel with Linux's xen-netback; our back end runs beside it and leaves that device alone."""
    start_backend(machine)
    load(machine, "xen-netback")
    create_sluice(machine, "s1", "00:16:3e:00:00:03", "10.8.0.3", script="vif-linux")
    ping_from_outside(machine, "10.8.0.3")
    ping_from_outside(machine, "10.8.0.3", size=1472)
    udp_echo(machine, "10.8.0.3")
    machine.run("! grep vif1.0 /tmp/backend.log")
    return "not touched by our back end"
