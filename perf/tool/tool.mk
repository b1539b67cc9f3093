# SPDX-License-Identifier: BSD-3-Clause
# sluice-perf (a hosted domain that measures), the peers that `make perf` compares with, and `make perf` itself. Included by perf/perf.mk.
PERF_TOOL := $(B)/sluice-perf
PERF_TOOL_SRC := $(wildcard perf/tool/*.c)
PERF_PEER_VHOST := $(B)/perf/peers/vhost
PERF_PEER_VUBLK := $(B)/perf/peers/vublk
PERF_PEERS := $(PERF_PEER_VHOST) $(PERF_PEER_VUBLK)
PERF_SHARED_SRC := perf/tool/sample.c perf/tool/histogram.c

$(PERF_TOOL): $(PERF_TOOL_SRC:%=$(B)/%.o) $(HOSTED_LIB)
	@echo "  LD   $@"
	@$(CC) -o $@ $^ $(LDFLAGS_ALL) -lpthread
$(PERF_PEER_VHOST): $(B)/perf/peers/vhost.c.o $(PERF_SHARED_SRC:%=$(B)/%.o)
	@echo "  LD   $@"
	@$(CC) -o $@ $^ $(LDFLAGS_ALL) $(DPDK_LIBS) -lpthread
$(PERF_PEER_VUBLK): $(B)/perf/peers/vublk.c.o $(PERF_SHARED_SRC:%=$(B)/%.o)
	@echo "  LD   $@"
	@$(CC) -o $@ $^ $(LDFLAGS_ALL)

hosted: $(PERF_TOOL)
perf-bin tests-bin: $(PERF_PEERS)

# The comparison takes the machine for some minutes: nothing else may run.
perf: setup
	@$(MAKE) --no-print-directory all $(PERF_PEERS)
	@scripts/perf
