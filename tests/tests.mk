# SPDX-License-Identifier: BSD-3-Clause
# Tests mirror the source paths: tests/unit/<path>/test_<file>.c is one cmocka program for <path>/<file>.c. Each links against every component's library.
UNIT_SRC := $(sort $(shell find tests/unit -name 'test_*.c' 2>/dev/null))
HOSTILE_SRC := $(sort $(shell find tests/hostile -name 'test_*.c' 2>/dev/null))
CONTRACT_SRC := $(sort $(shell find tests/contract -name 'test_*.c' 2>/dev/null))
TEST_SUPPORT_SRC := $(sort $(wildcard tests/support/*.c))
UNIT_BIN := $(UNIT_SRC:%.c=$(B)/%)
HOSTILE_BIN := $(HOSTILE_SRC:%.c=$(B)/%)
CONTRACT_BIN := $(CONTRACT_SRC:%.c=$(B)/%)
TEST_LIBS := -Wl,--start-group $(LIBS) -Wl,--end-group -lcmocka $(BACKEND_LIBS) $(TOOLSTACK_LIBS)

$(B)/libtestsupport.a: $(TEST_SUPPORT_SRC:%=$(B)/%.o)
	@rm -f $@; $(AR) rcs $@ $^
$(UNIT_BIN) $(HOSTILE_BIN) $(CONTRACT_BIN): $(B)/%: $(B)/%.c.o $(LIBS) $(B)/libtestsupport.a
	@echo "  LD   $@"
	@$(CC) -o $@ $< $(B)/libtestsupport.a $(LDFLAGS_ALL) $(TEST_LIBS)

.PHONY: tests-bin
tests-bin: $(UNIT_BIN) $(HOSTILE_BIN) $(CONTRACT_BIN)
.SECONDARY:
