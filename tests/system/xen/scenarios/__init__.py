# SPDX-License-Identifier: BSD-3-Clause
"""The scenarios of the Xen rig, each a function of a booted machine that returns one line to tell, or raises Failure. Used by rig.py."""
from .blk import a_blk
from .contract import contract
from .life import e_life
from .nic import b_nic
from .net import a_net, c_net, d_net

ALL = [a_net, a_blk, d_net, c_net, b_nic, contract, e_life]
