# SPDX-License-Identifier: BSD-3-Clause
# Tests mirror the source paths: tests/unit/<path>/test_<file>.c is one cmocka program for <path>/<file>.c. Each links against every component's library.
UNIT_SRC := $(sort $(shell find tests/unit -name 'test_*.c' 2>/dev/null))
HOSTILE_SRC := $(sort $(shell find tests/hostile -name 'test_*.c' 2>/dev/null))
CONTRACT_SRC := $(sort $(shell find tests/contract -name 'test_*.c' 2>/dev/null))
TEST_SUPPORT_SRC := $(sort $(wildcard tests/support/*.c tests/contract/*/suite*.c))
UNIT_BIN := $(UNIT_SRC:%.c=$(B)/%)
HOSTILE_BIN := $(HOSTILE_SRC:%.c=$(B)/%)
CONTRACT_BIN := $(CONTRACT_SRC:%.c=$(B)/%)
TEST_LIBS := -Wl,--start-group $(LIBS) -Wl,--end-group -lcmocka $(BACKEND_LIBS) $(TOOLSTACK_LIBS)

$(B)/libtestsupport.a: $(TEST_SUPPORT_SRC:%=$(B)/%.o)
	@rm -f $@; $(AR) rcs $@ $^
$(UNIT_BIN) $(HOSTILE_BIN) $(CONTRACT_BIN): $(B)/%: $(B)/%.c.o $(LIBS) $(B)/libtestsupport.a
	@echo "  LD   $@"
	@$(CC) -o $@ $< $(TEST_FIRST) $(B)/libtestsupport.a $(LDFLAGS_ALL) $(TEST_LIBS)

include perf/perf.mk

.PHONY: tests-bin
tests-bin: $(UNIT_BIN) $(HOSTILE_BIN) $(CONTRACT_BIN)
.SECONDARY:

# ---- the gate ----
SYSTEM_TESTS := $(sort $(wildcard tests/system/test_*.py))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SECONDS ?= 10
UNIT_PROGRAMS = $(UNIT_SRC:%.c=build/asan/%) $(HOSTILE_SRC:%.c=build/asan/%)
CONTRACT_PROGRAMS = $(CONTRACT_SRC:%.c=build/release/%)
# clang: gcc cannot instrument the fences of shm.h. Without fetch_once: TSan loads each atomic once more.
TSAN_PROGRAMS := $(patsubst %.c,build/tsan-clang/%,$(filter-out %/test_fetch_once.c,$(wildcard tests/unit/rings/test_*.c)))

.PHONY: checks-static checks-warnings checks-tsan fuzz
check: checks-static checks-warnings checks-tsan fuzz

checks-static:
	@set -e; for script in scripts/check-*; do echo "  CHECK $$script"; $$script; done

# Both compilers, every warning an error; clang's objects are built only for this.
checks-warnings:
	@$(MAKE) --no-print-directory -j$(shell nproc) WERROR=-Werror all tests-bin
	@$(MAKE) --no-print-directory -j$(shell nproc) WERROR=-Werror CC=clang all

checks-tsan:
	@$(MAKE) --no-print-directory -j$(shell nproc) VARIANT=tsan CC=clang $(TSAN_PROGRAMS)
	@scripts/test $(TSAN_PROGRAMS)

fuzz:
	@$(MAKE) --no-print-directory -j$(shell nproc) VARIANT=fuzz CC=clang $(FUZZ_SRC:%.c=build/fuzz-clang/%)
	@set -e; for program in $(FUZZ_SRC:%.c=build/fuzz-clang/%); do echo "  FUZZ $$program, $(FUZZ_SECONDS) s"; \
		$$program -artifact_prefix=build/fuzz-clang/ -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 2>&1 | tail -4; done

build/fuzz-clang/tests/fuzz/%: build/fuzz-clang/tests/fuzz/%.c.o $(LIBS)
	@echo "  LD   $@"
	@$(CC) -o $@ $< $(LDFLAGS_ALL) $(TEST_LIBS)

test: setup
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory -j$(shell nproc) VARIANT=asan $(UNIT_PROGRAMS)
	@scripts/test $(UNIT_PROGRAMS) $(CONTRACT_PROGRAMS) $(SYSTEM_TESTS)

