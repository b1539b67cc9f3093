# SPDX-License-Identifier: BSD-3-Clause
"""What a guest may write into XenStore that it should not, and guests that vanish in the middle of the handshake. The guests are made and never run: each key is written for them, with
nothing else that could write there."""
from machine import Failure

from .common import create_sluice, ping_from_outside, scenario, start_backend
from .life import only_dom0

GOOD_VIF = {"tx-ring-ref": "8", "rx-ring-ref": "9", "event-channel": "5", "request-rx-copy": "1"}
GOOD_VBD = {"ring-ref": "8", "event-channel": "5", "protocol": "x86_64-abi"}

VIF = [  # what differs from GOOD_VIF, and what the error has to say
    ({"tx-ring-ref": "banana"}, "tx-ring-ref"),
    ({"tx-ring-ref": None}, "tx-ring-ref"),
    ({"rx-ring-ref": "-1"}, "rx-ring-ref"),
    ({"rx-ring-ref": "4294967296"}, "rx-ring-ref"),
    ({"tx-ring-ref": "8" * 1000}, "tx-ring-ref"),
    ({"event-channel": "0x5"}, "event-channel"),
    ({"event-channel": "99999999999999999999"}, "event-channel"),
    ({"rx-ring-ref": "8"}, "ring"),
    ({"request-rx-copy": "0"}, "request-rx-copy"),
    ({"multi-queue-num-queues": "4294967295"}, "multi-queue-num-queues"),
    ({"multi-queue-num-queues": "many"}, "multi-queue-num-queues"),
    ({"feature-sg": "yes"}, "feature"),
    ({"ctrl-ring-ref": "x", "event-channel-ctrl": "1"}, "ctrl-ring-ref"),
    ({}, "tx ring"),  # in order, but nothing is granted
    ({"tx-ring-ref": "1", "rx-ring-ref": "0", "event-channel": "1"}, ""),  # the store's and the console's own pages and port
    ({"tx-ring-ref": "1", "rx-ring-ref": "0", "event-channel": "4000000"}, ""),
]
VBD = [
    ({"ring-page-order": "100", "ring-ref0": "8"}, "ring-page-order"),
    ({"ring-page-order": "-1"}, "ring-page-order"),
    ({"num-ring-pages": "4294967295"}, "ring-page-order"),
    ({"ring-ref": "banana"}, "ring-ref"),
    ({"event-channel": ""}, "event-channel"),
    ({"protocol": "sparc"}, "protocol"),
    ({}, "ring"),
    ({"ring-ref": "1", "event-channel": "4000000"}, ""),
]


def create_silent(machine, name):
    """A guest that is paused before its first instruction, with a vif and a vbd; its number."""
    lines = [f'name="{name}"', 'type="pv"', "memory=16", 'kernel="/guest/sluice-guest.elf"', "vif=['script=vif-sluice']",
             "disk=['vdev=xvda,access=rw,script=block-sluice,target=memory:1M']"]
    machine.run("printf '%s\\n' " + " ".join("'" + line.replace("'", "'\\''") + "'" for line in lines) + f" >/guest/{name}.cfg; xl create -p /guest/{name}.cfg", 90)
    return machine.run(f"xl domid {name}").strip()


def device(machine, kind, domid):
    """The number that xl gave it."""
    return machine.run(f"xenstore-list /local/domain/{domid}/device/{kind}").split()[0]


def expect_state(machine, what, path, *states):
    wanted = " || ".join(f'[ "$(xenstore-read {path}/state)" = {state} ]' for state in states)
    machine.wait(what, f"{{ {wanted}; }}", 20)


def one_case(machine, kind, domid, number, good, change, words):
    front, back = f"/local/domain/{domid}/device/{kind}/{number}", f"/local/domain/0/backend/{kind}/{domid}/{number}"
    error = f"/local/domain/0/error/backend/{kind}/{domid}/{number}/error"
    keys = {**good, **change}
    expect_state(machine, f"offer of {kind} before {change}", back, 2)
    machine.run(f"xenstore-rm {error} 2>/dev/null; xenstore-write -- " + " ".join(f"{front}/{key} '{value}'" for key, value in keys.items() if value is not None) +
                f" {front}/state 4")
    expect_state(machine, f"end of {kind} with {change}", back, 5, 6)
    said = machine.run(f"xenstore-read {error}")
    if words not in said:
        raise Failure(f"{kind} with {change}: the error node says '{said.strip()}'")
    machine.run(" ".join(f"xenstore-rm {front}/{key};" for key, value in keys.items() if value is not None) + f"xenstore-write {front}/state 6 && xenstore-write {front}/state 1")


@scenario(400)
def bad_input(machine):
    """Keys that are not what they should be, and guests that vanish half-way: that device is closed with an error in XenStore, the others go on."""
    start_backend(machine)
    create_sluice(machine, "s1", "00:16:3e:00:00:05", "10.9.0.5")
    domid = create_silent(machine, "liar")
    for kind, good, cases in (("vif", GOOD_VIF, VIF), ("vbd", GOOD_VBD, VBD)):
        number = device(machine, kind, domid)
        for change, words in cases:
            one_case(machine, kind, domid, number, good, change, words)
        ping_from_outside(machine, "10.9.0.5")
    front = f"/local/domain/{domid}/device/vif/{device(machine, 'vif', domid)}"
    for nonsense in ("99", "x", "-4", "''"):
        machine.run(f"xenstore-write -- {front}/state {nonsense}")
    machine.run(f"xenstore-rm {front}")
    ping_from_outside(machine, "10.9.0.5", count=1)
    machine.run("xl destroy liar", 60)
    for half in ({"tx-ring-ref": "8"}, {**GOOD_VIF, "state": "3"}):
        domid = create_silent(machine, "gone")
        machine.run("xenstore-write " + " ".join(f"/local/domain/{domid}/device/vif/0/{key} {value}" for key, value in half.items()))
        machine.run("xl destroy gone", 60)
    ping_from_outside(machine, "10.9.0.5")
    machine.run("xl destroy s1", 60)
    only_dom0(machine)
    machine.run("kill -0 $(cat /tmp/backend.pid)")
    return f"{len(VIF)} ways to spoil a vif's keys, {len(VBD)} a vbd's"
