# SPDX-License-Identifier: BSD-3-Clause
"""What a user would pick instead, on the same two cores: DPDK's vhost-user, OVS-DPDK, qemu-storage-daemon, fio. Each call starts what it needs and ends it."""
import glob
import os
import shutil
import subprocess

import lab
from lab import LabError
from programs import end, json_of, last_line

PEERS = os.path.join(lab.BUILD, "perf", "peers")
VHOST, VUBLK = os.path.join(PEERS, "vhost"), os.path.join(PEERS, "vublk")
VARIANTS = {"split": "packed_vq=0,mrg_rxbuf=1,in_order=1", "packed": "packed_vq=1,mrg_rxbuf=1,in_order=1"}
SLACK_S = 30
OVS_PACKAGES = ["openvswitch-common", "openvswitch-switch", "openvswitch-switch-dpdk"]
OVS_UNPACKED = os.path.join(lab.ROOT, "build", "ovs")
OVS_DAEMON = "usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
WHY_NO_OVS = "SLUICE_PERF_WHY_NO_OVS"  # from outside of the namespaces, where packages can be fetched, to the inside
NULL_BYTES = 1 << 30
BURST = 32


class Peers:
    """scratch: a folder for sockets; log: an open file for what the programs say; huge: 2 MiB pages are there."""

    def __init__(self, scratch, log, seconds, back, guest, huge):
        self.scratch, self.log, self.seconds, self.back, self.guest, self.huge = scratch, log, seconds, back, guest, huge

    def start(self, *words, **options):
        return subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, **options)

    def socket_path(self, name):
        """A path where nothing is."""
        path = os.path.join(self.scratch, name)
        if os.path.exists(path):
            os.unlink(path)
        return path

    # ---- DPDK ----

    def memory(self):
        return ["--in-memory", "--single-file-segments"] if self.huge else ["--no-huge", "-m", "256", "--no-shconf"]

    def eal(self, core, ports):
        words = ["-l", str(core), "--no-pci", *self.memory(), "--no-telemetry", "--log-level=*:4", "--file-prefix", f"perf{os.getpid()}-{core}"]
        return words + [word for port in ports for word in ("--vdev", port)]

    def guest_ports(self, paths, variant, server):
        role = "server=1," if server else ""
        return self.eal(self.guest, [f"net_virtio_user{i},path={path},{role}queues=1,queue_size=1024,{VARIANTS[variant]}" for i, path in enumerate(paths)])

    def virtio(self, paths, variant, mode, size, touch, server=False, burst=BURST):
        return json_of(VHOST, *self.guest_ports(paths, variant, server), "--", mode, size, burst, self.seconds, *(["touch"] if touch else []),
                       seconds=self.seconds + SLACK_S)

    def vhost(self, variant, modes, size, touch=False, burst=BURST):
        """Our program on either side: what the back end's does with packets, what the guest's does."""
        server_mode, client_mode = modes
        if not os.path.exists(VHOST):
            raise LabError("the peer is not built: make perf builds it")
        paths = [self.socket_path(f"vhost{i}.sock") for i in range(2 if server_mode == "patch" else 1)]
        ports = [f"net_vhost{i},iface={path},queues=1" for i, path in enumerate(paths)]
        server = self.start(VHOST, *self.eal(self.back, ports), "--", server_mode, size, burst)
        try:
            lab.wait_for("the peer's sockets", 10, lambda: server.poll() is not None or all(map(os.path.exists, paths)))
            return self.virtio(paths, variant, client_mode, size, touch, burst=burst)
        finally:
            end(server)

    def ovs(self, variant, size):
        """Through Open vSwitch with DPDK: two flows, port to port."""
        with Ovs(self) as switch:
            return self.virtio(switch.paths, variant, "loop", size, touch=False, server=True)

    # ---- disks ----

    def storage_daemon(self, blockdev):
        """A vhost-user-blk disk of qemu-storage-daemon, polling, read by our client."""
        if not shutil.which("qemu-storage-daemon"):
            raise LabError("qemu-storage-daemon is not there: apt-get install qemu-utils")
        path = self.socket_path("vublk.sock")
        server = self.start("taskset", "-c", self.back, "qemu-storage-daemon", "--object", "iothread,id=io0,poll-max-ns=32768", "--blockdev",
                            f"{blockdev},node-name=d0", "--export", f"type=vhost-user-blk,id=e0,node-name=d0,addr.type=unix,addr.path={path},writable=on,iothread=io0")
        try:
            lab.wait_for("qemu-storage-daemon's socket", 10, lambda: server.poll() is not None or os.path.exists(path))
            return json_of(VUBLK, path, 4096, 32, self.seconds, self.guest, seconds=self.seconds + SLACK_S)
        finally:
            end(server)

    def storage_null(self):
        return self.storage_daemon(f"driver=null-co,size={NULL_BYTES},read-zeroes=off")

    def storage_file(self, path, aio):
        return self.storage_daemon(f"driver=file,filename={path},aio={aio}")

    def fio(self, path, mib):
        if not shutil.which("fio"):
            raise LabError("fio is not there: apt-get install fio")
        told = json_of("fio", "--name=bare", f"--filename={path}", f"--size={mib}m", "--direct=1", "--ioengine=io_uring", "--bs=4k", "--rw=randread",
                       "--iodepth=32", "--norandommap", "--randrepeat=0", "--time_based", f"--runtime={self.seconds}", "--ramp_time=0.25",
                       f"--cpus_allowed={self.guest}", "--output-format=json", seconds=self.seconds + SLACK_S)
        return {"tool": "fio", "mean": told["jobs"][0]["read"]["iops"]}


def find_ovs():
    """The folder that Debian's openvswitch-switch-dpdk is in: installed, or unpacked below build/. None when neither."""
    return next((root for root in ("/", OVS_UNPACKED) if os.path.exists(os.path.join(root, OVS_DAEMON))), None)


def fetch_ovs():
    """Have it unpacked below build/, if it is nowhere; nothing is installed or started. What went wrong, or None. To be called where there is a network."""
    if find_ovs():
        return None
    debs = os.path.join(OVS_UNPACKED, "debs")
    os.makedirs(debs, exist_ok=True)
    try:
        got = subprocess.run(["apt-get", "download", *OVS_PACKAGES], cwd=debs, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, timeout=60, check=False)
        if got.returncode:
            return f"apt-get download: {last_line(got.stdout)}"
        for deb in glob.glob(os.path.join(debs, "*.deb")):
            subprocess.run(["dpkg-deb", "-x", deb, OVS_UNPACKED], check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    finally:
        shutil.rmtree(debs, ignore_errors=True)
    return None


class Ovs:
    """A switch of our own with its run folder, database and log in the scratch folder: one PMD thread on the back end's core, two vhost-user ports, two flows."""

    def __init__(self, peers):
        self.peers, self.root = peers, find_ovs()
        if not self.root:
            why = os.environ.get(WHY_NO_OVS, "it was not fetched")
            raise LabError(f"OVS-DPDK is neither installed nor can it be fetched ({why}); apt-get install openvswitch-switch-dpdk")
        self.folder = os.path.join(peers.scratch, "ovs")
        self.paths = [os.path.join(self.folder, f"v{i}.sock") for i in range(2)]
        self.db = f"unix:{self.folder}/db.sock"
        self.environment = {**os.environ, **{f"OVS_{name}DIR": self.folder for name in ("RUN", "LOG", "DB", "SYSCONF")},
                            "OVS_PKGDATADIR": self.path("usr/share/openvswitch")}
        self.daemons = []

    def path(self, name):
        return os.path.join(self.root, name)

    def run(self, program, *words):
        return lab.command(self.path(f"usr/bin/{program}"), *words, env=self.environment, timeout=20)

    def daemon(self, program, *words):
        self.daemons.append(self.peers.start(self.path(program), *words, env=self.environment))
        return self.daemons[-1]

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        try:
            self.start_database()
            self.start_switch()
        except BaseException as error:
            self.__exit__()
            raise LabError(f"OVS-DPDK does not start: {error}") if isinstance(error, (subprocess.SubprocessError, OSError)) else error
        return self

    def __exit__(self, *_error):
        for daemon in reversed(self.daemons):
            end(daemon)
        said = os.path.join(self.folder, "vswitchd.log")
        if os.path.exists(said):
            with open(said, "rb") as file:
                self.peers.log.write(file.read()[-4000:])
                self.peers.log.flush()

    def start_database(self):
        self.run("ovsdb-tool", "create", f"{self.folder}/conf.db", self.path("usr/share/openvswitch/vswitch.ovsschema"))
        self.daemon("usr/sbin/ovsdb-server", f"{self.folder}/conf.db", f"--remote=p{self.db}", f"--unixctl={self.folder}/db.ctl")
        lab.wait_for("the database of OVS", 10, lambda: os.path.exists(f"{self.folder}/db.sock"))
        # OVS adds --in-memory, which ordinary pages do not go with, unless it is told --legacy-mem.
        memory = self.peers.memory() if self.peers.huge else ["--no-huge", "-m", "1024", "--legacy-mem"]
        extra = " ".join(["--no-pci", *memory, "--no-telemetry", "--log-level=*:4", "--file-prefix", f"ovs{os.getpid()}"])
        self.set("--no-wait", "init")
        self.set("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true", "other_config:per-port-memory=true", f'other_config:dpdk-extra="{extra}"',
                 f"other_config:pmd-cpu-mask={1 << self.peers.back:#x}", f"other_config:dpdk-lcore-mask={1 << self.peers.guest:#x}")

    def start_switch(self):
        switch = self.daemon(OVS_DAEMON, self.db, f"--unixctl={self.folder}/vswitchd.ctl", f"--log-file={self.folder}/vswitchd.log")
        lab.wait_for("OVS-DPDK", 20, lambda: switch.poll() is not None or os.path.exists(f"{self.folder}/vswitchd.ctl"))
        self.set("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        for i, path in enumerate(self.paths):
            self.set("add-port", "br0", f"v{i}", "--", "set", "Interface", f"v{i}", "type=dpdkvhostuserclient", f"options:vhost-server-path={path}")
        self.run("ovs-ofctl", "del-flows", f"unix:{self.folder}/br0.mgmt")
        for one, other in ((1, 2), (2, 1)):
            self.run("ovs-ofctl", "add-flow", f"unix:{self.folder}/br0.mgmt", f"in_port={one},actions=output:{other}")

    def set(self, *words):
        self.run("ovs-vsctl", f"--db={self.db}", "--timeout=15", *words)
