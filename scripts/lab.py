# SPDX-License-Identifier: BSD-3-Clause
"""A whole Sluice host in namespaces of its own, for scripts/run and tests/system.

`enter()` re-executes the calling script in fresh mount, network and PID namespaces (and a user namespace when not
root): whatever starts in there dies with the script, also when it is killed, and nothing of the machine is touched. `Lab` then
lays the wire (a veth pair whose far end is in the namespace of the "outside host"), starts sluiced and the back end, and
boots guests.

    machine's namespaces │ the lab's namespaces                    │ outside host's network namespace
                         │ sluiced, sluice-backend, guests   nic0 ─┼─ wire0  10.77.0.1/24
"""
import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", os.environ.get("VARIANT", "release"))
GUEST_ELF = os.path.join(ROOT, "build", "guest", "sluice-guest.elf")
OUTSIDE_IP = "10.77.0.1"
_INSIDE = "SLUICE_LAB_DIR"


class LabError(Exception):
    """One line for the user: what is wrong, where, what to do."""


def _can_unshare(flags):
    done = subprocess.run(["unshare", *flags, "true"], stderr=subprocess.PIPE, text=True)
    return done.returncode == 0, done.stderr.strip()


def inside():
    return _INSIDE in os.environ


def enter():
    """Returns the lab's scratch folder once inside; the outer copy of the script waits, cleans up and exits."""
    if inside():
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: never outlive the outer copy
        return os.environ[_INSIDE]
    flags = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        flags += ["--user", "--map-root-user"]
    works, why = _can_unshare(flags)
    if not works:
        sys.exit(f"{os.path.basename(sys.argv[0])}: error: cannot make namespaces ({why}); run it as root, "
                 "or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)")
    scratch = tempfile.mkdtemp(prefix="sluice-")
    child = None

    def stop(signum, _frame):
        if child and child.poll() is None:
            child.send_signal(signal.SIGTERM)  # unshare passes its death on to PID 1 of the namespace
        raise SystemExit(128 + signum)

    try:
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, stop)
        child = subprocess.Popen(["unshare", *flags, sys.executable, *sys.argv], env={**os.environ, _INSIDE: scratch},
                                 start_new_session=True)
        sys.exit(child.wait())
    finally:
        if child and child.poll() is None:
            child.kill()
            child.wait()
        shutil.rmtree(scratch, ignore_errors=True)


def command(*words, check=True, **options):
    """Run a command to its end; its output as text. LabError with its last line when it fails."""
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if check and done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise LabError(f"{os.path.basename(str(words[0]))} {' '.join(map(str, words[1:4]))} failed: {last}")
    return done.stdout if check else done


def wait_for(what, seconds, condition, every=0.005):
    """Poll until condition() is true and return its value; LabError naming `what` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"{what}: not within {seconds} s")
        time.sleep(every)


VT100 = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>78])")


class Console:
    """A guest's console: lines in; lines out, and all of it as one text without a terminal's control sequences."""

    def __init__(self, lab, name):
        self.name = name
        self.lines = []
        self._raw = ""
        self.changed = threading.Condition()
        self.process = subprocess.Popen([lab.program("sluice"), "--run-dir", lab.run_dir, "console", name],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        rest = ""
        while chunk := os.read(self.process.stdout.fileno(), 65536):
            chunk = chunk.decode(errors="replace")
            *lines, rest = (rest + chunk).split("\n")
            with self.changed:
                self._raw += chunk
                self.lines += [line.rstrip("\r") for line in lines]
                self.changed.notify_all()
        with self.changed:
            self.lines += [rest] if rest else []
            self.changed.notify_all()

    def text(self):
        """Everything so far, also a line that has not ended yet."""
        return VT100.sub("", self._raw).replace("\r", "")

    def type(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def see(self, pattern, seconds, start=0):
        """The match of pattern in text() from character `start` on, lines that have not ended included."""
        end = time.monotonic() + seconds
        with self.changed:
            while not (found := re.compile(pattern, re.M).search(self.text(), start)):
                left = end - time.monotonic()
                if left <= 0:
                    raise LabError(f"console of {self.name}: no '{pattern}' within {seconds} s in: {self.text()[start:][-300:]!r}")
                self.changed.wait(left)
        return found

    def expect(self, pattern, seconds, start=0):
        """The match of the first line from number `start` on that pattern finds."""
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                for line in self.lines[start:]:
                    found = re.search(pattern, line)
                    if found:
                        return found
                left = end - time.monotonic()
                if left <= 0:
                    last = self.lines[-1] if self.lines else "nothing"
                    raise LabError(f"console of {self.name}: no '{pattern}' within {seconds} s; its last line: {last}")
                self.changed.wait(left)

    def ask(self, line, pattern, seconds=10):
        """Type a line and wait for the answer that matches pattern."""
        start = len(self.lines)
        self.type(line)
        return self.expect(pattern, seconds, start)

    def close(self):
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait()


class Sniffer:
    """Hears the outside end of the wire: when the first packet of each address came."""

    def __init__(self, lab):
        self.first = {}
        self.process = subprocess.Popen([*lab.outside, sys.executable, os.path.abspath(__file__), "sniff", "wire0"],
                                        stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()  # "ready"
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            mac, when = line.split()
            self.first[mac] = float(when)

    def forget(self, mac):
        self.first.pop(mac, None)


class Lab:
    def __init__(self, scratch, memory_mib=512, log=None):
        self.scratch = scratch
        self.run_dir = os.path.join(scratch, "run")
        self.log_path = log or os.path.join(scratch, "log")
        self.log = open(self.log_path, "ab")
        self.memory_mib = memory_mib
        self.sluiced = self.backend = None
        self.consoles = {}
        self.others = []
        self._outside_process = None

    def program(self, name):
        return os.path.join(BUILD, name)

    # ---- the wire ----

    def lay_wire(self):
        command("ip", "link", "set", "lo", "up")
        self._outside_process = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo ready; exec sleep 100000"],
                                                 stdout=subprocess.PIPE, text=True)
        self._outside_process.stdout.readline()
        pid = self._outside_process.pid
        self.outside = ["nsenter", "-t", str(pid), "-n"]
        command("ip", "link", "add", "nic0", "type", "veth", "peer", "name", "wire0")
        command("ip", "link", "set", "wire0", "netns", pid)
        for name in ("nic0",):
            self._quiet(name)
        command("ip", "link", "set", "nic0", "up")
        command(*self.outside, "ip", "link", "set", "lo", "up")
        command(*self.outside, "ip", "addr", "add", f"{OUTSIDE_IP}/24", "dev", "wire0")
        command(*self.outside, "ip", "link", "set", "wire0", "up")

    @staticmethod
    def _quiet(name):
        """No IPv6 chatter on the switch's side of the wire: it would wake an idle back end."""
        path = f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6"
        if os.path.exists(path):
            try:
                with open(path, "w") as knob:
                    knob.write("1")
            except OSError:
                pass

    # ---- the programs ----

    def start_sluiced(self):
        self.sluiced = subprocess.Popen([self.program("sluiced"), "--run-dir", self.run_dir, "--memory", str(self.memory_mib),
                                         *(["--verbose"] if os.environ.get("LAB_VERBOSE") else [])],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_for("sluiced's control socket", 5, lambda: self._alive(self.sluiced, "sluiced") and
                 os.path.exists(os.path.join(self.run_dir, "control.sock")))

    def start_backend(self, *options, uplink=True):
        wire = ["--uplink", "net_af_packet0,iface=nic0"] if uplink else []
        self.backend = subprocess.Popen([self.program("sluice-backend"), "--run-dir", self.run_dir, *wire, *options],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        return self.backend

    def kill_backend(self):
        """No farewell: SIGKILL."""
        self.backend.kill()
        self.backend.wait()

    def start_other(self, *words):
        """A further program, that stop() ends; the caller may do so before."""
        self.others.append(subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log))
        return self.others[-1]

    def serve_nbd(self, *words, name="nbd"):
        """nbdkit with this plugin and these arguments: the process and the URI, once it listens."""
        path = os.path.join(self.scratch, name + ".sock")
        if os.path.exists(path):
            os.unlink(path)
        server = self.start_other("nbdkit", "--foreground", "--exit-with-parent", "--unix", path, *words)
        wait_for("nbdkit's socket", 5, lambda: self._alive(server, "nbdkit") and os.path.exists(path))
        return server, f"nbd+unix:///?socket={path}"

    def _alive(self, process, name):
        if process.poll() is not None:
            self.log.flush()
            lines = open(self.log_path, errors="replace").read().strip().splitlines() or ["no message"]
            raise LabError(f"{name} ended with status {process.returncode}: {lines[-1]}")
        return True

    # ---- guests ----

    def sluice(self, *words, check=True):
        return command(self.program("sluice"), "--run-dir", self.run_dir, *words, check=check)

    def configure(self, name, kernel, **keys):
        """A configuration file: its path. Lists are lists of strings, all else is a number or a string."""
        path = os.path.join(self.scratch, name + ".cfg")
        with open(path, "w") as cfg:
            for key, value in {"name": name, "kernel": kernel, **keys}.items():
                cfg.write(f"{key} = {json.dumps(value)}\n")
        return path

    def create(self, name, ip, mac, memory=32, extra="", vif=True, disks=()):
        """Boot our guest kernel; the wall-clock time at which the create was asked for."""
        path = self.configure(name, GUEST_ELF, memory=memory, extra=f"ip={ip}/24 {extra}", disk=list(disks),
                              vif=[f"mac={mac},bridge=xenbr0"] if vif else [])
        asked = time.time()
        self.sluice("create", path)
        return asked

    def store(self, verb, *words, check=True):
        """xenstore-read and friends on sluiced's XenStore; what they say."""
        environment = {**os.environ, "XENSTORED_PATH": os.path.join(self.run_dir, "xenstore.sock")}
        return command(f"xenstore-{verb}", *words, check=check, env=environment)

    def console(self, name):
        if name not in self.consoles:
            self.consoles[name] = Console(self, name)
        return self.consoles[name]

    # ---- the outside host ----

    def ping(self, ip, count=20, interval=0.02):
        """Ping from the outside host: sent, received, rtt_us (average)."""
        done = command(*self.outside, "ping", "-n", "-c", count, "-i", interval, "-W", 1, ip, check=False)
        numbers = re.search(r"(\d+) packets transmitted, (\d+) received", done.stdout)
        rtt = re.search(r"= [\d.]+/([\d.]+)/", done.stdout)
        if not numbers:
            raise LabError(f"ping {ip}: {(done.stderr or done.stdout).strip()}")
        return {"sent": int(numbers[1]), "received": int(numbers[2]), "rtt_us": round(float(rtt[1]) * 1000, 1) if rtt else None}

    def udp_echo(self, ip, sizes=(18, 512, 1472), rounds=20):
        """Datagrams to port 7 of a guest and back, compared byte by byte: sent, received."""
        out = command(*self.outside, sys.executable, os.path.abspath(__file__), "udp-echo", ip, rounds, *sizes)
        return json.loads(out)

    def stop(self):
        """End everything in order; the namespaces would do it too."""
        for console in self.consoles.values():
            console.close()
        for process in (self.backend, self.sluiced, *self.others):
            if process and process.poll() is None:
                process.terminate()
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        if self._outside_process:
            command("ip", "link", "del", "nic0", check=False)  # a dead namespace takes its links along only some time later
            self._outside_process.kill()
            self._outside_process.wait()
        self.log.close()


# ---- what runs in the outside host's namespace: lab.py sniff IFACE | udp-echo IP ROUNDS SIZE... ----

def _sniff(interface):
    heard = set()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire:
        wire.bind((interface, 0))
        print("ready", flush=True)
        while True:
            try:
                frame, address = wire.recvfrom(2048)
            except OSError:  # the wire is gone: the lab ends
                return
            if address[2] == socket.PACKET_OUTGOING:
                continue
            mac = frame[6:12].hex(":")
            if mac not in heard:
                heard.add(mac)
                print(mac, time.time(), flush=True)


def _udp_echo(ip, rounds, sizes):
    sent = received = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        for turn in range(rounds):
            data = os.urandom(sizes[turn % len(sizes)])
            client.sendto(data, (ip, 7))
            sent += 1
            try:
                received += client.recv(65536) == data
            except socket.timeout:
                pass
    print(json.dumps({"sent": sent, "received": received}))


if __name__ == "__main__":
    if sys.argv[1] == "sniff":
        _sniff(sys.argv[2])
    elif sys.argv[1] == "udp-echo":
        _udp_echo(sys.argv[2], int(sys.argv[3]), [int(size) for size in sys.argv[4:]])
