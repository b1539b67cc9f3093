# SPDX-License-Identifier: BSD-3-Clause
"""How far the two cores are from each other, which changes under us: rates on cores near each other and far from each other are not to be compared."""
import collections
import statistics
import time

FIRST, KEPT = 15, 45  # readings that say what is usual: before anything is measured, at most
PAUSE_S, PATIENCE_S = 0.1, 4  # between two readings, for the usual state to come back
TRIES = 3
ALIKE = 1.5  # states differ by a factor of four here


class Cores:
    """ping_pong: a function that gives the ns that a cache line takes to the other core and back, right now."""

    def __init__(self, ping_pong, pause_s=PAUSE_S):
        self.ping_pong, self.pause_s, self.readings, self.usual = ping_pong, pause_s, collections.deque(maxlen=KEPT), None

    def read(self):
        self.readings.append(self.ping_pong())
        return self.readings[-1]

    def settle(self):
        """What was seen most is the state to measure in from now on."""
        while len(self.readings) < FIRST:
            self.read()
            time.sleep(self.pause_s)
        self.usual = statistics.median(self.readings)

    def are_usual(self):
        return 1 / ALIKE < self.read() / self.usual < ALIKE

    def wait(self):
        """Until they are as usual, or patience ends."""
        end = time.monotonic() + PATIENCE_S
        while not self.are_usual():
            if time.monotonic() > end:
                return False
            time.sleep(self.pause_s)
        return True

    def steadily(self, work):
        """(what work gives, were the cores as usual before and after it). It is done again, TRIES times at most, when they were not."""
        for _ in range(TRIES):
            before = self.wait()
            told = work()
            if before and self.are_usual():
                return told, True
        return told, False
