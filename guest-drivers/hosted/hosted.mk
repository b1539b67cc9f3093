# SPDX-License-Identifier: BSD-3-Clause
# Hosted domains: libsluice-hosted.a is port.h for an ordinary process with the front ends in it, position independent so that plugins can have it too.
HOSTED_SRC := $(addprefix guest-drivers/hosted/,hosted.c hosted_pages.c hosted_grant.c port_hosted.c vbd_client.c) $(SRC_frontend) $(SRC_rings)
HOSTED_LIB := $(B)/libsluice-hosted.a
HOSTED_ECHO := $(B)/sluice-hosted-echo
NBDKIT_PLUGIN := $(B)/nbdkit-sluice-plugin.so
HOSTED_DEMO_SRC := guest-drivers/hosted/echo.c $(addprefix guest-drivers/kernel/,net.c inet.c count.c)

hosted: $(HOSTED_LIB) $(HOSTED_ECHO) $(NBDKIT_PLUGIN)

$(B)/pic/%.c.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $< (hosted)"
	@$(CC) $(CFLAGS_ALL) -fPIC -fvisibility=hidden -MMD -MP -c $< -o $@
$(HOSTED_LIB): $(HOSTED_SRC:%=$(B)/pic/%.o)
	@rm -f $@; $(AR) rcs $@ $^
# The minimal kernel's network stack, in a process.
$(HOSTED_ECHO): $(HOSTED_DEMO_SRC:%=$(B)/pic/%.o) $(HOSTED_LIB)
	@echo "  LD   $@"
	@$(CC) -o $@ $^ $(LDFLAGS_ALL)
# nbdkit looks plugin_init up; nothing else of us is to be seen.
$(B)/pic/guest-drivers/hosted/nbdkit-sluice-plugin.c.o: CFLAGS_ALL += $(shell pkg-config --cflags nbdkit 2>/dev/null) -Wno-missing-prototypes
$(NBDKIT_PLUGIN): $(B)/pic/guest-drivers/hosted/nbdkit-sluice-plugin.c.o $(HOSTED_LIB)
	@echo "  LD   $@"
	@$(CC) -shared -Wl,--exclude-libs,ALL -o $@ $^ $(LDFLAGS_ALL) -lpthread

# Its tests get its port.h, not the fake one.
HOSTED_TESTS := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/guest-drivers/hosted/test_*.c))
$(HOSTED_TESTS): TEST_FIRST = $(HOSTED_LIB)
$(HOSTED_TESTS): $(HOSTED_LIB)

-include $(shell find $(B)/pic -name '*.d' 2>/dev/null)
