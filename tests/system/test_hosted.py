#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Hosted domains: ordinary processes with a vif talk to the outside, to guests and to each other; killed ones leave nothing behind."""
import json
import os
import subprocess
import threading
import time

import tap
from tap import check
import lab

ONE = ("hosted1", "10.77.0.21", "00:16:3e:00:00:21")
TWO = ("hosted2", "10.77.0.22", "00:16:3e:00:00:22")


class Hosted:
    """sluice-hosted-echo as domain `name`, with a vif that it answers on."""

    def __init__(self, host, name, ip, mac, vif=True):
        self.host, self.name, self.ip = host, name, ip
        self.process = subprocess.Popen([host.program("sluice-hosted-echo"), name, ip, host.run_dir], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=host.log, text=True)
        line = self.process.stdout.readline()
        check(line.startswith("domain "), f"{name} did not attach: {line}")
        self.domid = int(line.split()[1])
        if vif:
            host.sluice("network-attach", name, f"mac={mac}", "bridge=xenbr0")
            lab.wait_for(f"{name} to answer", 10, lambda: host.ping(ip, count=1)["received"])

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def up(host):
    host.up()
    return Hosted(host, *ONE), Hosted(host, *TWO)


def names(host):
    return {d["name"] for d in json.loads(host.sluice("list", "--json"))}


def talks_all(host, ips):
    for ip in ips:
        ping, udp = host.ping(ip), host.udp_echo(ip)
        check(ping["received"] == ping["sent"], f"{ip} lost pings: {ping}")
        check(udp["received"] == udp["sent"], f"{ip} lost UDP: {udp}")
    return ping["rtt_us"]


def talks_outside(host):
    """Two hosted domains answer ping and UDP echo; sluice list shows them."""
    one, two = up(host)
    rtt = talks_all(host, (one.ip, two.ip))
    listed = {d["name"]: d for d in json.loads(host.sluice("list", "--json"))}
    check(listed["hosted1"]["type"] == "hosted" and listed["hosted1"]["domid"] == one.domid, f"listed as {listed}")
    refused = host.sluice("console", "hosted1", check=False)
    check(refused.returncode and "no console" in refused.stderr, f"console: {refused.stderr}")
    return f"rtt {rtt} us"


def talks_with_a_guest(host):
    """A PV guest floods a hosted domain through the bridge; both still answer, the outside too."""
    host.up()
    one = Hosted(host, *ONE)
    host.create(*tap.GUESTS[0])
    lab.wait_for("guest1 to answer", 10, lambda: host.ping("10.77.0.11", count=1)["received"])
    host.console("guest1").ask(f"send dst={one.ip} size=64 seconds=2", r"send: packets=\d+", 6)
    talks_all(host, (one.ip, "10.77.0.11"))


def killed_under_traffic(host):
    """SIGKILL one of two under traffic, 10 times: the other loses no ping, its domain and nodes vanish, memory and descriptors come back."""
    one, two = up(host)

    def state():
        files = [len(os.listdir(f"/proc/{p.pid}/fd")) for p in (host.sluiced, host.backend)]
        maps = [open(f"/proc/{p.pid}/maps").read().count("memfd:sluice-hosted") for p in (host.sluiced, host.backend)]
        return files, maps, json.loads(host.sluice("info", "--json"))["free_memory_mib"]

    before = state()
    result = {}
    pinger = threading.Thread(target=lambda: result.update(host.ping(one.ip, count=300, interval=0.01)))
    pinger.start()
    for turn in range(10):
        flood = subprocess.Popen([*host.outside, "ping", "-n", "-q", "-f", "-c", "100000", "-w", "2", two.ip], stdout=subprocess.DEVNULL)
        time.sleep(0.1)
        two.kill()
        flood.kill()
        flood.wait()
        lab.wait_for("the killed domain to go", 5, lambda: "hosted2" not in names(host))
        two = Hosted(host, *TWO, vif=turn % 3 != 2)
    two.kill()
    two = Hosted(host, *TWO)
    pinger.join()
    check(result["received"] == result["sent"], f"the other lost {result['sent'] - result['received']} of {result['sent']}")
    lab.wait_for(f"the state before ({before}); now {state()}", 5, lambda: state() == before)
    environment = {**os.environ, "XENSTORED_PATH": os.path.join(host.run_dir, "xenstore.sock")}
    vifs = lab.command("xenstore-list", "/local/domain/0/backend/vif", env=environment).split()
    check(sorted(map(int, vifs)) == sorted((one.domid, two.domid)), f"back end nodes of {vifs}")


def backend_killed(host):
    """The back end dies and comes back: hosted domains answer again within 2 s."""
    one, two = up(host)
    host.backend.kill()
    host.backend.wait()
    began = time.monotonic()
    host.start_backend()
    for domain in (one, two):
        lab.wait_for(f"{domain.name} after the restart", 2, lambda ip=domain.ip: host.ping(ip, count=1)["received"])
    return f"after {time.monotonic() - began:.2f} s"


def destroyed_by_the_toolstack(host):
    """sluice destroy ends the domain; its process notices and says so."""
    one, two = up(host)
    host.sluice("destroy", "hosted2")
    check(two.process.wait(5) == 1, "the process went on")
    check("hosted2" not in names(host), "still listed")
    talks_all(host, (one.ip,))
    host.log.flush()
    check("has ended this domain" in open(host.log_path, errors="replace").read(), "the process did not say why it ended")


def sluiced_ends(host):
    """The hypervisor goes away: the process notices."""
    one, _two = up(host)
    host.sluiced.terminate()
    check(one.process.wait(5) == 1, "the process went on")


def bad_input(host):
    """A name in use, more memory than there is, no sluiced: one line each, status 1."""
    host.up()
    Hosted(host, *ONE, vif=False)
    echo = host.program("sluice-hosted-echo")
    for words, said in ((("hosted1", "10.0.0.1", host.run_dir), "exists"), (("7", "10.0.0.1", host.run_dir), "cannot be a domain's name"),
                        (("x", "10.0.0.1", "/nowhere"), "start sluiced")):
        done = lab.command(echo, *words, check=False)
        check(done.returncode == 1 and said in done.stderr, f"{words}: {done.stderr}")


if __name__ == "__main__":
    tap.main(talks_outside, talks_with_a_guest, killed_under_traffic, backend_killed, destroyed_by_the_toolstack, sluiced_ends, bad_input)
