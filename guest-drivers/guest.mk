# SPDX-License-Identifier: BSD-3-Clause
# The minimal PV kernel with the drivers: build/guest/sluice-guest.elf. Freestanding, one build for all variants.
GUEST_DIR := build/guest$(if $(filter-out gcc,$(CC)),-$(notdir $(CC)))
GUEST_ELF := $(GUEST_DIR)/sluice-guest.elf
GUEST_SRC := $(wildcard guest-drivers/kernel/*.c) guest-drivers/port_pv.c $(SRC_frontend) $(SRC_rings)
GUEST_OBJ := $(GUEST_SRC:%=$(GUEST_DIR)/%.o) $(GUEST_DIR)/guest-drivers/kernel/boot.S.o
GUEST_LDS := guest-drivers/kernel/kernel.lds

# No red zone: Xen pushes the frames of upcalls and traps right below the stack pointer. General registers only: the upcall entry saves no others.
GUEST_CFLAGS := -std=gnu11 -O2 -g -march=x86-64-v2 -mgeneral-regs-only -mno-red-zone -mcmodel=small -ffreestanding -fno-pic -fno-pie \
	-fno-strict-aliasing -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -fno-builtin -ffunction-sections \
	-fno-tree-vectorize -Iinclude -I. $(WARN)

.PHONY: guest
guest: $(GUEST_ELF)

$(GUEST_DIR)/%.c.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $< (guest)"
	@$(CC) $(GUEST_CFLAGS) -MMD -MP -c $< -o $@
$(GUEST_DIR)/%.S.o: %.S
	@mkdir -p $(@D)
	@echo "  AS   $< (guest)"
	@$(CC) -Iinclude -I. -MMD -MP -c $< -o $@
$(GUEST_ELF): $(GUEST_OBJ) $(GUEST_LDS)
	@echo "  LD   $@"
	@$(CC) -nostdlib -static -Wl,-T,$(GUEST_LDS) -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,max-page-size=4096 \
		-Wl,--gc-sections -Wl,--no-warn-rwx-segments -o $@ $(GUEST_OBJ)

-include $(GUEST_OBJ:.o=.d)

# Its test reads the image.
GUEST_IMAGE_TEST := $(B)/tests/unit/guest-drivers/kernel/test_image
$(GUEST_IMAGE_TEST): | $(GUEST_ELF)
$(GUEST_IMAGE_TEST).c.o: CFLAGS_tests += -DGUEST_ELF='"$(GUEST_ELF)"'
