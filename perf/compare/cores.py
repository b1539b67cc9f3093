# SPDX-License-Identifier: BSD-3-Clause
"""
How far the two cores are from each other, which changes under us: rates on cores near each other and far from each other are not to be compared.

On a virtual machine it changes when a core that slept wakes up, since the host may put it elsewhere then. So while something is measured neither sleeps: a process of the lowest class
(SCHED_IDLE) spins on each. It has a core to itself only when nobody else wants it.
"""
import collections
import contextlib
import signal
import subprocess
import sys
import time

FIRST, KEPT = 10, 45  # readings that say how near the cores can be: before anything is measured, at most
SLEEP_S, PATIENCE_S = 0.3, 8  # for the host to place them anew; until they are as near again
TRIES, BUDGET_S = 3, 120  # of a measurement; what waiting and trying again may take in all
ALIKE = 1.5  # states differ by a factor of four here


def spinner(core):
    """setpriv: it does not outlive us."""
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "chrt", "--idle", "0", "taskset", "--cpu-list", str(core), sys.executable, "-c", "while True: pass"],
                            stdin=subprocess.DEVNULL)


class Cores:
    """numbers: of the cores; ping_pong: a function that gives the ns that a cache line takes to the other core and back, right now."""

    def __init__(self, numbers, ping_pong, sleep_s=SLEEP_S):
        self.ping_pong, self.sleep_s, self.left_s = ping_pong, sleep_s, BUDGET_S
        self.readings, self.near = collections.deque(maxlen=KEPT), None
        self.spinners = [spinner(number) for number in numbers]

    def end(self):
        for process in self.spinners:
            process.kill()
            process.wait()

    def signal(self, number):
        for process in self.spinners:
            process.send_signal(number)

    @contextlib.contextmanager
    def asleep(self):
        """For what the spinners would disturb."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def sleep(self):
        with self.asleep():
            time.sleep(self.sleep_s)

    def read(self):
        self.readings.append(self.ping_pong())
        return self.readings[-1]

    def settle(self):
        """The nearest that they have been lately is the state to measure in from now on."""
        while len(self.readings) < FIRST:
            self.read()
            self.sleep()
        self.near = min(self.readings)

    def are_near(self):
        return 1 / ALIKE < self.read() / self.near < ALIKE

    def wait(self):
        """Until they are as near, or patience or budget ends: are they?"""
        began = time.monotonic()
        while not (near := self.are_near()) and time.monotonic() - began < min(PATIENCE_S, self.left_s):
            self.sleep()
        self.left_s -= time.monotonic() - began
        return near

    def steadily(self, work, yields=False):
        """
        (what work gives, were the cores near before and after it). It is done TRIES times at most, when they were not and the budget is not spent. yields: what works yields its core, so
        nothing is to take that.
        """
        for _ in range(TRIES):
            before, began = self.wait(), time.monotonic()
            with self.asleep() if yields else contextlib.nullcontext():
                told = work()
            if self.are_near() and before:
                return told, True
            self.left_s -= time.monotonic() - began
            if self.left_s <= 0:
                break
        return told, False
