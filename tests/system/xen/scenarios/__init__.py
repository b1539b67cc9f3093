# SPDX-License-Identifier: BSD-3-Clause
"""The scenarios of the Xen rig, each a function of a booted machine that returns one line to tell, or raises Failure. Used by rig.py."""
from .bad_input import bad_input
from .blk import a_blk, c_blk, d_blk
from .contract import contract
from .cpu import cpu_time
from .driver import driver_domain
from .life import e_life, e_linux
from .net import a_jumbo, a_net, c_net, d_net
from .nic import b_nic
from .queues import a_queues
from .save import f_save
from .virtio import b_virtio

ALL = [a_net, a_jumbo, a_queues, a_blk, d_net, d_blk, c_net, c_blk, b_nic, b_virtio, contract, e_life, e_linux, driver_domain, f_save, bad_input]
ASKED_FOR = [cpu_time]  # by name: it measures, which nobody waits for in make test-xen; make perf does
