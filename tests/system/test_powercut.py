#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest writes numbered blocks with flushes while sluice-backend is killed at random times: what a flush that was answered covers is there.

The guest says `acked=N` when a flush is answered that covers its blocks 0 to N. After each kill the image itself is read, before a new back end
starts; now and then the guest reads everything back. In the second test the storage is an NBD server with a write-back cache that dies too, so that what was
written and not flushed is truly lost, as in a power cut; since no guest can know what was lost, it begins a new journal after each. A failure can be repeated, as far as chance allows, with SEED=<the printed one>.
"""
import os
import random
import re
import time

import tap
from block_guest import Guest, journal_in
from tap import check, lab

ROUNDS, NBD_ROUNDS = 50, 12
IMAGE_MIB = 256
KILL_WITHIN_S = 0.6
GUEST_CHECKS_EVERY = 5
SUMS = 48  # blocks of which every byte is looked at, per round


class Journal:
    """One run of the guest's journal after the other, each with a seed of its own, and what is known to be durable of the one that runs."""

    def __init__(self, guest, image):
        self.guest = guest
        self.image = image
        self.seed = 0
        self.start = 0  # the console's line from which on this run is
        self.lost = 0

    def begin(self):
        self.seed += 1
        self.start = len(self.guest.console.lines)
        self.guest.console.type(f"blk journal seed={self.seed} flush=16 depth=32")

    def lines(self):
        return self.guest.console.lines[self.start:]

    def acked(self):
        """The last block that a flush covers; -1: none yet."""
        told = [int(found[1]) for line in self.lines() if (found := re.match(r"blk: journal acked=(\d+)", line))]
        check(told == sorted(set(told)), f"acknowledged twice or backwards: {told[-10:]}")
        return told[-1] if told else -1

    def ended(self):
        return next((line for line in self.lines() if re.match(r"blk: (journal (done|stopped)|error)", line)), None)

    def progress(self, beyond, seconds=15):
        """Wait for a flush beyond a number, or for the end of the run."""
        lab.wait_for(f"a flush beyond block {beyond}; last: {self.lines()[-1:]}", seconds, lambda: self.acked() > beyond or self.ended())
        check("error" not in (self.ended() or ""), f"the guest saw {self.ended()}")

    def check_image(self, chance):
        upto = self.acked()
        whole = set(range(max(0, upto - SUMS // 2), upto + 1)) | {chance.randint(0, upto) for _ in range(SUMS // 2)} if upto >= 0 else set()
        journal_in(self.image, upto, self.seed, whole)
        return upto

    def check_by_guest(self, upto=None):
        """Stop it, let the guest read back what it had acknowledged (or up to a block, -1: none), and begin anew."""
        if not self.ended():
            self.guest.console.type("blk stop")
        lab.wait_for("the end of the journal", 20, self.ended)
        durable = re.match(r"blk: journal \w+ blocks=\d+ durable=(\d+)", self.ended())
        check(durable, f"the guest says {self.ended()}")
        upto = int(durable[1]) - 1 if upto is None else upto
        if upto >= 0:
            told = self.guest.console.ask(f"blk journal-check upto={upto} seed={self.seed}", r"^blk: (error|journal ok|journal stopped).*", 60)
            check("journal ok" in told[0], told[0])
        self.begin()


def _chance():
    seed = int(os.environ.get("SEED", time.time_ns() % 1000000))
    print(f"# seed {seed}", flush=True)
    return random.Random(seed)


def _boot(host, spec, image):
    host.lay_wire()
    host.start_sluiced()
    host.start_backend(uplink=False)
    guest = Guest(host, [spec, "memory:1M,raw,xvdb,rw"])
    journal = Journal(guest, image)
    journal.begin()
    return guest, journal


def _rounds(host, guest, journal, chance, rounds, power_cut, volatile=False):
    """power_cut ends the back end, and the storage where that is volatile, and returns what starts that again."""
    total = 0
    for turn in range(1, rounds + 1):
        time.sleep(chance.uniform(0, KILL_WITHIN_S))
        restart = power_cut()
        upto = journal.check_image(chance)
        total += upto + 1
        restart()
        host.start_backend(uplink=False)
        journal.progress(journal.acked())
        if volatile:
            journal.check_by_guest(upto)
        elif journal.ended() or turn % GUEST_CHECKS_EVERY == 0:
            journal.check_by_guest()
    info = guest.info(0)
    check(guest.starts() == 1 and int(host.sluice("domid", guest.name)) == guest.domid, "the guest was restarted")
    check(info["errors"] == 0, f"the guest saw errors: {info}")
    check(info["connections"] > rounds // 2, f"connected only {info['connections']} times in {rounds} rounds: was the back end killed?")
    check(info["requeued"] > 0, f"no io was under way at any kill: {info}")
    return f"{rounds} rounds, {total} blocks looked for, {info['requeued']} ios given to the next back end"


def backend_killed(host):
    """50 times, the image in a file."""
    chance = _chance()
    image = os.path.join(host.scratch, "journal.img")
    with open(image, "wb") as file:
        file.truncate(IMAGE_MIB << 20)
    guest, journal = _boot(host, f"{image},raw,xvda,rw", image)

    def power_cut():
        host.kill_backend()
        return lambda: None

    return _rounds(host, guest, journal, chance, ROUNDS, power_cut)


def backend_and_volatile_storage_killed(host):
    """The server keeps writes in a cache of its own until a flush, and the cache dies with it."""
    chance = _chance()
    image = os.path.join(host.scratch, "journal.img")
    with open(image, "wb") as file:
        file.truncate(IMAGE_MIB << 20)

    def serve():
        return host.serve_nbd("--filter=cache", "file", image, "cache=writeback")

    servers = [serve()]
    guest, journal = _boot(host, f"vdev=xvda,target={servers[0][1]}", image)

    def power_cut():
        server = servers.pop()[0]
        server.kill()
        host.kill_backend()
        server.wait()
        return lambda: servers.append(serve())

    return _rounds(host, guest, journal, chance, NBD_ROUNDS, power_cut, volatile=True)


if __name__ == "__main__":
    tap.main(backend_killed, backend_and_volatile_storage_killed)
