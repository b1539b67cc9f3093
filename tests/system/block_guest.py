# SPDX-License-Identifier: BSD-3-Clause
"""Our guest kernel with disks, for the system tests: boot it, type `blk` commands, know what its patterns look like on the storage."""
import re
import struct

from tap import check, lab

SECTOR = 512
JOURNAL_BLOCK = 4096
JOURNAL_MAGIC = 0x314C4E52554A4C53
XVDA, XVDB, XVDC = 51712, 51728, 51744
_MASK = (1 << 64) - 1


class Guest:
    """A guest that runs, and its console."""

    def __init__(self, host, disks, name="disks"):
        self.host = host
        self.name = name
        host.create(name, "10.77.0.31", "", vif=False, disks=disks, memory=64)
        self.console = host.console(name)
        self.domid = int(host.sluice("domid", name))
        lab.wait_for(f"{len(disks)} disks of {name}", 10, lambda: len(self._connected()) == len(disks))

    def _connected(self):
        """The disks that the guest has told of, each as often as it likes."""
        return {found[1] for found in (re.search(r"(vbd\d+): connected", line) for line in list(self.console.lines)) if found}

    def blk(self, words, seconds=30):
        """The reply to a command that must work."""
        told = self._reply(words, seconds)
        check(not told.startswith("blk: error"), f"blk {words}: {told}")
        return told

    def refused(self, words, seconds=30):
        """The error of a command that must not work."""
        told = self._reply(words, seconds)
        check(told.startswith("blk: error"), f"blk {words} worked: {told}")
        return told

    def _reply(self, words, seconds):
        return self.console.ask("blk " + words, rf"^blk: (?:error )?{words.split()[0]}\b.*", seconds)[0]

    def write(self, dev, start, count, seed, more=""):
        return self.blk(f"write dev={dev} start={start} count={count} seed={seed} {more}")

    def verify(self, dev, start, count, seed, more=""):
        return self.blk(f"verify dev={dev} start={start} count={count} seed={seed} {more}")

    def info(self, dev):
        """Its numbers by name."""
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", self.blk(f"info dev={dev}"))}

    def state(self, number):
        """(back end's, front end's) state in XenStore."""
        paths = (f"/local/domain/0/backend/vbd/{self.domid}/{number}/state", f"/local/domain/{self.domid}/device/vbd/{number}/state")
        return tuple(int(self.host.store("read", path)) for path in paths)

    def starts(self):
        """How often it was booted, by what its console says."""
        return sum("sluice-guest: ready" in line for line in self.console.lines)


def sectors_in(path, start, count, seed):
    """Has each of these sectors of an image the guest's pattern? It begins with its own number and the seed."""
    with open(path, "rb") as image:
        image.seek(start * SECTOR)
        for number in range(start, start + count):
            found = struct.unpack("<QQ", image.read(SECTOR)[:16])
            check(found == (number, seed), f"{path}: sector {number} begins with {found}, not with its number and {seed}")


def journal_sum(block):
    """FNV-1a by words of 8 bytes, over all of the block but the sum itself, word 3."""
    total = 0xCBF29CE484222325
    for i, word in enumerate(struct.unpack("<512Q", block)):
        if i != 3:
            total = (total ^ word) * 0x100000001B3 & _MASK
    return total


def journal_in(path, upto, seed, whole):
    """Blocks 0 to upto of the guest's journal are on the image; of the numbers in `whole` each byte is looked at."""
    with open(path, "rb") as image:
        for number in range(upto + 1):
            image.seek(number * JOURNAL_BLOCK)
            head = image.read(32)
            magic, found, found_seed, total = struct.unpack("<4Q", head)
            check((magic, found, found_seed) == (JOURNAL_MAGIC, number, seed),
                  f"block {number} of {upto} that were flushed is lost: it says {magic:x} number={found} seed={found_seed}, expected seed={seed}")
            if number in whole:
                check(journal_sum(head + image.read(JOURNAL_BLOCK - 32)) == total, f"block {number} of {upto} is torn")
