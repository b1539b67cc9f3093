# SPDX-License-Identifier: BSD-3-Clause
# make            build everything            make check      the gate: warnings, layering, headers, shared memory, sanitizers, fuzz
# make run        the main job, end to end    make test       check + unit, contract, hostile and system tests
# Variants: CC=clang, VARIANT=release|asan|tsan|fuzz; objects go to build/<variant>[-clang].

SHELL := /bin/bash -o pipefail
VARIANT ?= release
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
B := build/$(VARIANT)$(if $(filter-out gcc,$(CC)),-$(notdir $(CC)))

DPDK_CFLAGS := $(shell pkg-config --cflags libdpdk 2>/dev/null | sed 's/-I/-isystem /g')
DPDK_LIBS := $(shell pkg-config --libs libdpdk 2>/dev/null)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef -Wvla $(WERROR)
OPT_release := -O2 -g
OPT_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT_tsan := -O1 -g -fsanitize=thread
OPT_fuzz := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
CFLAGS_ALL := -std=gnu11 -march=x86-64-v2 -fno-strict-aliasing -D_GNU_SOURCE -Iinclude -I. $(WARN) $(OPT_$(VARIANT)) $(CFLAGS)
LDFLAGS_ALL := $(filter -fsanitize=%,$(subst fuzzer-no-link,fuzzer,$(OPT_$(VARIANT)))) $(LDFLAGS)

# Components: a folder is a static library, its main.c a program.
SRC_rings := $(wildcard rings/*.c)
SRC_bridge := $(wildcard bridge/*.c)
SRC_backend := $(filter-out backend/main.c,$(wildcard backend/*.c backend/hv/*.c backend/storage/*.c))
SRC_frontend := $(wildcard frontend/*.c)
SRC_hypervisor := $(filter-out hypervisor/main.c,$(wildcard hypervisor/*.c hypervisor/*/*.c hypervisor/engine/*/*.c))
ASM_hypervisor := hypervisor/engine/process/launcher_blob.S
SRC_toolstack := $(filter-out toolstack/main.c,$(wildcard toolstack/*.c))
COMPONENTS := rings bridge backend frontend hypervisor toolstack
LIBS := $(COMPONENTS:%=$(B)/lib%.a)
PROGRAMS := $(B)/sluiced $(B)/sluice-backend $(B)/sluice

CFLAGS_bridge := $(DPDK_CFLAGS)
CFLAGS_backend := $(DPDK_CFLAGS)
CFLAGS_tests := $(DPDK_CFLAGS)
XENSTORE_LIBS := -lxenstore
BACKEND_LIBS := $(DPDK_LIBS) $(XENSTORE_LIBS) -lxengnttab -lxenevtchn -lxencall -lxenforeignmemory -luring -lnbd -ljson-c -lpthread
HYPERVISOR_LIBS := -ljson-c -lpthread
TOOLSTACK_LIBS := -lxlutil -lxenlight $(XENSTORE_LIBS) -ljson-c

.PHONY: all guest hosted run test check perf clean install setup test-xen
all: $(PROGRAMS) guest hosted

define component
$(B)/lib$(1).a: $$(patsubst %,$(B)/%.o,$$(SRC_$(1)) $$(ASM_$(1)))
	@rm -f $$@; $$(AR) rcs $$@ $$^
endef
$(foreach c,$(COMPONENTS),$(eval $(call component,$(c))))

$(B)/%.c.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(CFLAGS_ALL) $(CFLAGS_$(firstword $(subst /, ,$<))) -MMD -MP -c $< -o $@
$(B)/%.S.o: %.S
	@mkdir -p $(@D)
	@echo "  AS   $<"
	@$(CC) -Iinclude -I. -I$(B) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

# The process engine's launcher is a static ELF without libc that sluiced carries inside itself.
$(B)/launcher.elf: hypervisor/engine/process/launcher.S
	@mkdir -p $(@D)
	@$(CC) -nostdlib -static -Wl,-Ttext=0x7ffe00000000 -Wl,-z,noseparate-code -Wl,--build-id=none -o $@ $<
$(B)/hypervisor/engine/process/launcher_blob.S.o: $(B)/launcher.elf

$(B)/sluiced: $(B)/hypervisor/main.c.o $(B)/libhypervisor.a $(B)/librings.a
	$(CC) -o $@ $^ $(LDFLAGS_ALL) $(HYPERVISOR_LIBS)
$(B)/sluice-backend: $(B)/backend/main.c.o $(B)/libbackend.a $(B)/libbridge.a $(B)/librings.a
	$(CC) -o $@ $^ $(LDFLAGS_ALL) $(BACKEND_LIBS)
$(B)/sluice: $(B)/toolstack/main.c.o $(B)/libtoolstack.a
	$(CC) -o $@ $^ $(LDFLAGS_ALL) $(TOOLSTACK_LIBS)

include guest-drivers/guest.mk
include guest-drivers/hosted/hosted.mk
include tests/tests.mk

-include $(shell find $(B) -name '*.d' 2>/dev/null)

setup:
	@scripts/setup
run: setup
	@$(MAKE) --no-print-directory -j$(shell nproc) all
	@scripts/run
PREFIX ?= /usr/local
install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/lib/sluice
	install $(PROGRAMS) $(PERF_TOOL) perf/sluice-perf-plot $(DESTDIR)$(PREFIX)/sbin
	install -m 644 build/guest/sluice-guest.elf $(DESTDIR)$(PREFIX)/lib/sluice
	install -d $(DESTDIR)/etc/xen/scripts
	install scripts/xen/vif-sluice scripts/xen/block-sluice $(DESTDIR)/etc/xen/scripts
# Real Xen in an emulated machine: all scenarios of tests/system/xen, or make test-xen SCENARIOS='a_net contract'.
test-xen: setup
	@$(MAKE) --no-print-directory all build/release/tests/contract/hv/test_hv_xen
	@tests/system/xen/rig.py $(SCENARIOS)
clean:
	rm -rf build
