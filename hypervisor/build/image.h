/* SPDX-License-Identifier: BSD-3-Clause */
/* A Xen PV kernel as its ELF file describes it: what elf.c and notes.c find out and pv.c places. Private to the builder. */
#ifndef SLUICE_BUILD_IMAGE_H
#define SLUICE_BUILD_IMAGE_H

#include <elf.h>
#include <sluice/types.h>

#define BUILD_ERR 256 /* bytes of an error line */

struct pv_image {
	const char *path;    /* for messages */
	const uint8_t *file; /* the whole file */
	size_t size;

	/* From the Xen notes (xen/elfnote.h), with the defaults that it gives. */
	bool has_notes, has_entry, has_hypercall_page, has_init_p2m;
	gva_t entry, hypercall_page, init_p2m;
	gva_t virt_base;       /* where pseudo-physical address 0 is mapped */
	uint64_t paddr_offset; /* what p_paddr is too high by */
	char loader[16], guest_os[32], xen_version[16];
	char features[256];    /* names, '|' between, '!' before what the kernel cannot do without */

	/* From the PT_LOAD segments: pseudo-physical bytes from the lowest to past the highest. */
	uint64_t start, end;
};

/* Read and check everything: headers, segments, notes; every offset lies within the file. 0 or -errno with one line in err. */
int image_parse(struct pv_image *img, const char *path, const uint8_t *file, size_t size, char err[BUILD_ERR]);

/* notes.c: one block of notes, bytes at file + at. False: a length points out of the block. */
bool image_notes(struct pv_image *img, uint64_t at, uint64_t len);
/* Are these notes those of a kernel that we can run? Sets the defaults. */
int image_check_notes(struct pv_image *img, char err[BUILD_ERR]);

/* The n-th loadable segment of a parsed image. False: there is none. */
bool image_load_segment(const struct pv_image *img, unsigned n, Elf64_Phdr *ph);

/* Where a segment goes, in pseudo-physical memory. */
static inline uint64_t image_segment_at(const struct pv_image *img, const Elf64_Phdr *ph)
{
	return ph->p_paddr - img->paddr_offset;
}

#endif
