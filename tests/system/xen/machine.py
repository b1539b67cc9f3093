# SPDX-License-Identifier: BSD-3-Clause
"""One emulated machine with Xen and dom0, and a way to run commands in it. Used by rig.py."""
import os
import re
import select
import shlex
import signal
import socket
import subprocess
import time

from packages import XEN

XEN_LINE = "console=com1 com1=115200,8n1 loglvl=all guest_loglvl=all dom0_mem=1024M,max:1056M dom0_max_vcpus=1"
LINUX_LINE = "console=hvc0 loglevel=5 clocksource=tsc"
BOOT_S = 240  # 10 on a quiet machine; 60 were seen with 14 jobs on two cores


class Failure(Exception):
    """A scenario's expectation that did not hold; the text says which."""


class Machine:
    """Boots on entry, is gone on exit. `log` gets dom0's console and everything that is said on the command channel.
    outside: shell text that makes the far ends of its NICs, in a network namespace that lives as long as QEMU."""

    def __init__(self, dom0, log, options=(), outside=""):
        self.dom0, self.options, self.outside, self.number = dom0, options, outside, 0
        self.log = open(log, "w")
        self.console = log.replace(".log", ".console")
        self.socket_path = os.path.join(XEN, f"com2.{os.getpid()}")
        self.qemu = self.channel = None
        self.rest = b""

    def __enter__(self):
        began = time.monotonic()
        counted = "-icount" in self.options  # the machine's clock counts its instructions: for one CPU, since QEMU runs several in turn then, and the clock for all
        self.qemu = subprocess.Popen(
            [*self._namespace(), "nice", "setpriv", "--pdeathsig", "KILL",  # it never outlives us, however we end
             "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-nographic", "-nic", "none", "-no-reboot", "-machine", "q35",
             "-accel", f"tcg,thread={'single' if counted else 'multi'}", "-cpu", "Nehalem,+rdrand", "-m", "2048", "-smp", "1" if counted else "2",
             "-kernel", os.path.join(XEN, "xen"), "-append", XEN_LINE, "-initrd", f"{XEN}/vmlinux {LINUX_LINE},{self.dom0}", "-serial", f"file:{self.console}",
             "-serial", f"unix:{self.socket_path},server=on,wait=off", "-monitor", "none", *self.options],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            self._connect(began + BOOT_S)
            self._read_until(re.compile(rb"READY\r?\n"), began + BOOT_S)
        except BaseException:
            self.__exit__()
            raise
        self.note(f"dom0 ready after {time.monotonic() - began:.1f} s")
        return self

    def _namespace(self):
        """Words before QEMU's. All of them become QEMU by exec: the pid is its own, and so is the namespace."""
        if not self.outside:
            return []
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        return ["unshare", *user, "--net", "sh", "-ec", self.outside + '\nexec "$@"', "outside"]

    def outside_words(self, *words):
        """A command that runs there."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", f"--target={self.qemu.pid}", *user, "--net", *words]

    def came_out(self, interface):
        """Packets that the machine has sent to this interface of the outside."""
        for line in open(f"/proc/{self.qemu.pid}/net/dev"):
            name, _, counters = line.partition(":")
            if name.strip() == interface:
                return int(counters.split()[1])
        raise Failure(f"the outside has no {interface}")

    def __exit__(self, kind=None, *_error):
        if kind and self.channel:
            self._last_words()
        if self.channel:
            self.channel.close()
        self.qemu.kill()
        self.qemu.wait()
        if os.path.exists(self.socket_path):
            os.unlink(self.socket_path)
        self.log.close()

    def _last_words(self):
        """What helps to understand a failure."""
        signal.alarm(0)
        try:
            self.try_run("tail -n 40 /tmp/backend.log; xl list; xl dmesg | tail -n 15", 10)
        except Failure as failure:
            self.note(str(failure))

    def note(self, text):
        self.log.write(text.rstrip("\n") + "\n")
        self.log.flush()

    def _connect(self, end):
        while True:
            self.channel = socket.socket(socket.AF_UNIX)
            try:
                self.channel.connect(self.socket_path)
                return
            except OSError:
                self.channel.close()
                self.channel = None
                if time.monotonic() > end or self.qemu.poll() is not None:
                    raise Failure("QEMU does not start; see the log") from None
                time.sleep(0.05)

    def _read_until(self, pattern, end):
        """What came before the pattern, and the match."""
        while True:
            found = pattern.search(self.rest)
            if found:
                before, self.rest = self.rest[:found.start()], self.rest[found.end():]
                return before, found
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.channel], [], [], left)[0]:
                raise Failure(f"no answer from dom0 in time; it said: ...{self.rest[-300:].decode(errors='replace')}")
            more = self.channel.recv(65536)
            if not more:
                raise Failure(f"the machine is gone; see {self.console}")
            self.rest += more

    def try_run(self, command, seconds=60):
        """(exit status, what it says) of a shell command in dom0."""
        self.number += 1
        self.note(f"[{time.strftime('%H:%M:%S')}] dom0# {command}")
        self.channel.sendall(f"{self.number} {command}\n".encode())
        said, found = self._read_until(re.compile(rb"__RC %d (\d+)\r?\n" % self.number), time.monotonic() + seconds)
        text = said.decode(errors="replace").replace("\r\n", "\n")
        self.note(text + (f"(status {int(found[1])})" if int(found[1]) else ""))
        return int(found[1]), text

    def run(self, command, seconds=60):
        status, text = self.try_run(command, seconds)
        if status:
            last = text.strip().splitlines()[-1] if text.strip() else "nothing"
            raise Failure(f"'{command}' ended with {status}; it said: {last}")
        return text

    def guest(self, name, command, seconds=60):
        """The same in a Linux guest."""
        return self.run(f"guest {name} {seconds} {shlex.quote(command)}", seconds + 5)

    def wait(self, what, command, seconds=60):
        """Until the command succeeds."""
        self.run(f"i=0; until {command} >/dev/null 2>&1; do i=$((i+1)); [ $i -lt {seconds * 10} ] || {{ echo 'no {what}'; exit 1; }}; "
                 "usleep 100000; done", seconds * 3 + 5)
