#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Whole guests on a network: they talk, they survive the back end's death and each other's, and idle costs nothing."""
import os
import subprocess
import threading
import time

import tap
from tap import GUESTS, check
import lab

RECONNECT_S = 2.0
IDLE_PERCENT = 2.0


def talks_outside_and_between(host):
    """Both guests answer ping and UDP echo from the outside, and one reaches the other through the bridge."""
    host.up()
    host.guests()
    for name, ip, _mac in GUESTS:
        ping = host.ping(ip)
        check(ping["received"] == ping["sent"], f"{name} lost pings: {ping}")
        udp = host.udp_echo(ip)
        check(udp["received"] == udp["sent"], f"{name} lost UDP: {udp}")
    receiver, sender = host.console("guest2"), host.console("guest1")
    receiver.ask("reset", "reset: ok")
    sender.ask("send dst=10.77.0.12 size=64 seconds=1", r"send: packets=\d+", 5)
    got = receiver.ask("report", r"count: packets=(\d+)")
    check(int(got[1]) > 1000, f"only {got[1]} packets arrived")
    receiver.ask("reset", "reset: ok")
    sent = int(sender.ask("send dst=10.77.0.12 size=64 seconds=1 rate=20000 flows=16", r"send: packets=(\d+)", 5)[1])
    arrived, lost = map(int, receiver.ask("report", r"count: packets=(\d+) bytes=\d+ lost=(\d+)").groups())
    check(1000 < arrived <= sent and arrived + lost <= sent, f"of {sent} packets in 16 flows {arrived} arrived and {lost} are counted as lost")


def flows_have_queues(host):
    """A kernel with two queues, a back end with two lcores: each flow is on one queue each way, flows use both; so it is after the back end died."""
    host.lay_wire()
    host.start_sluiced()
    cores = ["--cores", "0,1"] if os.cpu_count() > 1 else []
    host.start_backend(*cores)
    name, ip, mac = GUESTS[0]
    host.create(name, ip, mac, extra="queues=2")
    console = host.console(name)

    def queues():
        told = [console.ask("stats", rf"queue{number}: tx_packets=(\d+) rx_packets=(\d+)") for number in range(2)]
        return [int(number) for found in told for number in found.groups()]

    def both_used(flows):
        lab.wait_for("guest1 to answer", 10, lambda: host.ping(ip, count=1)["received"])
        used = set()
        for _flow in range(flows):
            before = queues()
            udp = host.udp_echo(ip, rounds=60)
            check(udp["received"] == udp["sent"] == 60, f"lost UDP: {udp}")
            moved = [now - then for now, then in zip(queues(), before)]
            of_flow = {number for number in range(4) if moved[number] >= udp["sent"]}
            check(len(of_flow & {0, 2}) == len(of_flow & {1, 3}) == 1, f"{udp['sent']} packets of a flow went {moved} (tx, rx of queue 0, of queue 1)")
            check(sum(moved[number] for number in {0, 1, 2, 3} - of_flow) < 20, f"a flow was split: {moved}")
            used |= of_flow
            if len(used) == 4:
                return
        raise lab.LabError(f"{flows} flows used only {used} of 4")

    def sends_many_flows():
        before = queues()
        sent = int(console.ask(f"send dst={lab.OUTSIDE_IP} size=64 seconds=1 rate=20000 flows=16", r"send: packets=(\d+)", 5)[1])
        moved = [now - then for now, then in zip(queues(), before)]
        check(min(moved[0], moved[2]) > sent / 16 and moved[0] + moved[2] >= sent, f"{sent} packets of 16 flows: the queues sent {moved[0]} and {moved[2]}")

    both_used(24)
    sends_many_flows()
    host.kill_backend()
    host.start_backend(*cores)
    both_used(24)


def xenstore_tools_see_the_tree(host):
    """libxenstore's own clients read our XenStore."""
    host.up()
    host.guests()
    environment = {**os.environ, "XENSTORED_PATH": os.path.join(host.run_dir, "xenstore.sock")}
    tree = lab.command("xenstore-ls", "-f", env=environment)
    for wanted in ("/local/domain/1/device/vif/0/state = \"4\"", "/local/domain/0/backend/vif/1/0/state = \"4\""):
        check(wanted in tree, f"{wanted} is not in the tree")


def backend_killed_under_traffic(host):
    """SIGKILL the back end while a guest sends, start it again: both guests ping again within 2 s, and were not restarted."""
    host.up()
    host.guests()
    domids = host.sluice("list", "--json")
    sender = host.console("guest1")
    start = len(sender.lines)
    sender.type("send dst=10.77.0.12 size=64 seconds=4")
    time.sleep(1)
    host.backend.kill()
    host.backend.wait()
    began = time.monotonic()
    host.start_backend()
    for name, ip, _mac in GUESTS:
        lab.wait_for(f"{name} after the back end's restart", RECONNECT_S, lambda ip=ip: host.ping(ip, count=1)["received"])
    took = time.monotonic() - began
    check(took < RECONNECT_S, f"reconnected after {took:.2f} s")
    same = [(d["name"], d["domid"]) for d in lab.json.loads(domids)] == [(d["name"], d["domid"]) for d in lab.json.loads(host.sluice("list", "--json"))]
    check(same, "a guest was restarted")
    sender.expect("send: packets=", 8, start)
    return f"reconnected in {took:.2f} s"


def guest_killed_others_lose_nothing(host):
    """Destroy one guest while another is pinged: no ping is lost."""
    host.up()
    host.guests()
    result = {}
    pinger = threading.Thread(target=lambda: result.update(host.ping("10.77.0.11", count=150, interval=0.01)))
    pinger.start()
    time.sleep(0.5)
    host.sluice("destroy", "guest2")
    pinger.join()
    check(result["received"] == result["sent"], f"lost {result['sent'] - result['received']} of {result['sent']}")


def guest_crash_is_its_own(host):
    """A guest that does something illegal is crashed alone, with its registers in the log."""
    host.up()
    host.guests()
    host.console("guest2").type("crash")
    lab.wait_for("the crash in the log", 5, lambda: "rip" in open(host.log_path, errors="replace").read())
    ping = host.ping("10.77.0.11")
    check(ping["received"] == ping["sent"], f"the other guest lost pings: {ping}")


def _cpu_seconds(pids):
    ticks = 0
    for pid in pids:
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def idle_costs_nothing(host):
    """Two guests connected and no traffic: all of Sluice and its guests use under 2 % of a core."""
    host.up()
    host.guests()
    time.sleep(1)
    ours = [int(pid) for pid in os.listdir("/proc") if pid.isdigit()]
    names = {pid: open(f"/proc/{pid}/comm").read().strip() for pid in ours if os.path.exists(f"/proc/{pid}/comm")}
    ours = [pid for pid, name in names.items() if name.startswith(("sluice", "memfd:sluice"))]
    check(len(ours) >= 4, f"found only {names}")
    seconds = 10
    before = _cpu_seconds(ours)
    time.sleep(seconds)
    used = (_cpu_seconds(ours) - before) / seconds * 100
    check(used < IDLE_PERCENT, f"{used:.1f} % of a core")
    return f"{used:.2f} % of a core"


def nothing_is_left_of_a_guest(host):
    """20 guests come and go: memory, descriptors and nodes of sluiced and the back end return to where they were."""
    host.up()
    host.guests()
    def state():
        files = [len(os.listdir(f"/proc/{p.pid}/fd")) for p in (host.sluiced, host.backend)]
        children = len(subprocess.run(["pgrep", "-P", str(host.sluiced.pid)], stdout=subprocess.PIPE).stdout.split())
        free = lab.json.loads(host.sluice("info", "--json"))["free_memory_mib"]
        return files, children, free
    before = state()
    for turn in range(20):
        host.create("brief", "10.77.0.13", "00:16:3e:00:00:13")
        if turn % 2:
            lab.wait_for("the brief guest", 20, lambda: host.ping("10.77.0.13", count=1)["received"])
        host.sluice("destroy", "brief")
    lab.wait_for(f"the state before ({before}); now {state()}", 5, lambda: state() == before)


if __name__ == "__main__":
    tap.main(talks_outside_and_between, flows_have_queues, xenstore_tools_see_the_tree, backend_killed_under_traffic, guest_killed_others_lose_nothing,
             guest_crash_is_its_own, idle_costs_nothing, nothing_is_left_of_a_guest)
