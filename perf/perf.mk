# SPDX-License-Identifier: BSD-3-Clause
# Programs that measure. perf/<name>.c is a program of its own, linked against every component: make build/release/perf/<name>.
PERF_SRC := $(sort $(wildcard perf/*.c))
PERF_BIN := $(PERF_SRC:%.c=$(B)/%)
CFLAGS_perf := $(DPDK_CFLAGS)

$(PERF_BIN): $(B)/%: $(B)/%.c.o $(LIBS) $(B)/libtestsupport.a
	@echo "  LD   $@"
	@$(CC) -o $@ $< $(B)/libtestsupport.a $(LDFLAGS_ALL) $(TEST_LIBS)

.PHONY: perf-bin
perf-bin tests-bin: $(PERF_BIN)

include perf/tool/tool.mk
