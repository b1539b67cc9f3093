/* SPDX-License-Identifier: BSD-3-Clause */
/* Fuzz target: the XenStore byte ring on a page that the peer rewrites: no access leaves the page, no count exceeds what was asked or the ring. */
#include <rings/xenstore_ring.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct step {
	uint8_t what;      /* bit 0: read or write; the other bits: which word the peer changes */
	uint16_t n;        /* bytes to move */
	uint32_t value;    /* what it writes there */
} __attribute__((packed));

static void must(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static void one(struct xenstore_ring *r, bool write, size_t n)
{
	uint8_t *buf = malloc(n + 1); /* exact, so that ASan sees a byte too many */
	int rc;

	if (!buf)
		return;
	memset(buf, 0x5a, n + 1);
	rc = write ? xenstore_ring_write(r, buf, n) : xenstore_ring_read(r, buf, n);
	must(rc == -EPROTO || (rc >= 0 && (size_t)rc <= n && rc <= XENSTORE_RING_SIZE));
	must(buf[n] == 0x5a);
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct xenstore_domain_interface *page = calloc(1, sizeof(*page));
	struct xenstore_ring r;
	struct step s;

	if (!page)
		return 0;
	if (size >= 16) {
		memcpy(&page->req_cons, data, 16); /* the four indices */
		data += 16;
		size -= 16;
	}
	xenstore_ring_attach(&r, page, size & 1 ? XENSTORE_RING_GUEST : XENSTORE_RING_STORE);
	for (; size >= sizeof(s); data += sizeof(s), size -= sizeof(s)) {
		memcpy(&s, data, sizeof(s));
		memcpy((uint8_t *)&page->req_cons + 4 * (s.what >> 1 & 3), &s.value, sizeof(s.value));
		one(&r, s.what & 1, s.n % 2100);
	}
	free(page);
	return 0;
}
