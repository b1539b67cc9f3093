# SPDX-License-Identifier: BSD-3-Clause
"""Networking: our back end and Linux's, our front end and Linux's."""
import re

from machine import Failure

from .common import (OUTSIDE, create_linux, create_sluice, load, ping_from_guest, ping_from_outside, scenario, start_backend, tcp_between, tcp_both_ways,
                     udp_echo)


OFFLOADS = ("tx-checksum-ipv6", "scatter-gather", "tcp-segmentation-offload", "generic-segmentation-offload")


def no_offloads(machine, name):
    """All that netfront lets go of; IPv4's checksums it does not (ethtool: on [fixed])."""
    machine.guest(name, "ethtool -K eth0 tx off sg off tso off gso off")
    shown = machine.guest(name, "ethtool -k eth0")
    left = [offload for offload in OFFLOADS if not re.search(rf"^\s*{offload}: off", shown, re.M)]
    if left:
        raise Failure(f"{name} still has {' '.join(left)}")


@scenario(900)
def a_net(machine):
    """Linux's xen-netfront with our back end: ping both ways, 8 MiB by TCP each way; xen-netback is not loaded."""
    start_backend(machine)
    create_linux(machine, "l1", "00:16:3e:00:00:01", "10.9.0.2")
    ping_from_guest(machine, "l1", OUTSIDE)
    ping_from_outside(machine, "10.9.0.2")
    ping_from_outside(machine, "10.9.0.2", size=1472)
    tcp_both_ways(machine, "l1", "10.9.0.2")
    no_offloads(machine, "l1")
    tcp_both_ways(machine, "l1", "10.9.0.2")
    machine.run("! grep -q xen_netback /proc/modules")
    machine.run("xenstore-ls /local/domain/0/backend/vif/$(xl domid l1)/0")
    keys = machine.run("xenstore-ls /local/domain/$(xl domid l1)/device/vif/0")
    return "with and without sg, GSO and IPv6 checksums (IPv4's are fixed); netfront negotiates " + " ".join(re.findall(r"((?:feature|request|multi)[-\w]+) = \"1\"", keys))


@scenario(900)
def a_jumbo(machine):
    """Two Linux guests with an MTU of 9000: pings of one packet of 9000 bytes, 8 MiB by TCP each way, netfront's GSO on and off."""
    start_backend(machine)
    for number, ip in enumerate(("10.9.0.2", "10.9.0.4"), 1):
        create_linux(machine, f"l{number}", f"00:16:3e:00:00:1{number}", ip, vif=",mtu=9000")
        machine.guest(f"l{number}", "ip link set eth0 mtu 9000")
    ping_from_guest(machine, "l1", "10.9.0.4", size=8972)
    tcp_between(machine, "l1", "l2", "10.9.0.4")
    for name in ("l1", "l2"):
        machine.guest(name, "ethtool -K eth0 tso off gso off")
    tcp_between(machine, "l2", "l1", "10.9.0.2")
    snmp = machine.guest("l1", "grep ^Ip: /proc/net/snmp").split("\n")
    counts = dict(zip(snmp[0].split(), snmp[1].split()))
    if counts["FragCreates"] != "0":
        raise Failure(f"l1 made {counts['FragCreates']} fragments: its packets were not of 9000 bytes")
    return "no packet was fragmented"


@scenario(400)
def d_net(machine):
    """Our minimal kernel with our back end."""
    start_backend(machine)
    create_sluice(machine, "s1", "00:16:3e:00:00:02", "10.9.0.3")
    ping_from_outside(machine, "10.9.0.3")
    ping_from_outside(machine, "10.9.0.3", size=1472)
    udp_echo(machine, "10.9.0.3")


@scenario(400)
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
