/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * blkfront: the guest's end of a virtual disk (vbd), over port.h. Asynchronous, made for bursts; one thread. A user's loop is
 *
 *	blkfront_step(bf);                                 the handshake, and coming back after a back end that died
 *	blkfront_submit(bf, io) for each io of a burst; blkfront_kick(bf);
 *	n = blkfront_poll(bf, done, N); use them;
 *	if (nothing to do && blkfront_arm(bf)) port_wait(deadline);
 *
 * An io that was submitted comes back from blkfront_poll exactly once, whatever happens to back ends in between: what one of them left unanswered is given to
 * the next, in the order in which it was submitted. A flush that was answered covers the writes that had been answered before it was submitted, no others.
 *
 * The bytes lie in pages that are granted once for each connection and recycled (feature-persistent). They are used in place (blkfront_pages_take), or
 * blkfront copies between them and a buffer of the caller's. The back end can write a page at any time. It is not trusted: when it breaks the protocol, the vbd
 * is closed, what was unanswered ends with -EIO, and nothing else happens. Sectors are of 512 bytes everywhere, as on the ring, whatever the disk's own sector size.
 */
#ifndef FRONTEND_BLKFRONT_H
#define FRONTEND_BLKFRONT_H

#include "xenbus.h"

struct blkfront;

#define BLKFRONT_SECTOR 512u
#define BLKFRONT_IO_PAGES 256u
#define BLKFRONT_IO_MAX (BLKFRONT_IO_PAGES * SLUICE_PAGE_SIZE) /* most bytes of one read or write */

enum blkfront_op {
	BLKFRONT_READ,
	BLKFRONT_WRITE,
	BLKFRONT_FLUSH,          /* no sector, no bytes */
	BLKFRONT_DISCARD,        /* the content may be anything after */
	BLKFRONT_SECURE_DISCARD, /* the content is gone for good */
};

/* One io; zeroed before its first use. From submit until poll gives it back, it and its buffer are blkfront's. */
struct blkfront_io {
	enum blkfront_op op;
	uint64_t sector; /* the first one; a multiple of the disk's sector size */
	uint64_t len;    /* bytes; a multiple of the disk's sector size; read and write: at most BLKFRONT_IO_MAX */
	void *data;      /* read and write: len bytes of the caller's, any alignment, copied; NULL: the pages that blkfront_pages_take gave */
	void *owner;     /* the caller's */
	int result;      /* out: 0, or -EIO, -EOPNOTSUPP (the back end's word), -EINVAL (sector or len), -ERANGE (behind the end), -EROFS, -ENOMEM, -ENODEV */

	/* blkfront's own */
	struct blkfront_io *next, *prev;
	uint16_t nr_pages, issued; /* pages; how many of them have been put into requests */
	uint16_t unanswered;       /* requests */
	bool all_issued;
	uint16_t page[BLKFRONT_IO_PAGES];
};

enum blkfront_state {
	BLKFRONT_ABSENT,     /* no such vbd in XenStore (yet) */
	BLKFRONT_CONNECTING, /* waits for the back end; ios wait, too */
	BLKFRONT_CONNECTED,  /* ios are served */
	BLKFRONT_CLOSED,     /* closed by the back end: ios wait as long as it may come back; or by us because it broke the protocol: they fail */
};

/* The disk, valid once connected. Its size may change while it is (blkfront_step sees it). */
struct blkfront_info {
	uint64_t sectors;              /* of 512 bytes */
	uint32_t sector_size;          /* bytes, 512 to 4096: what sector and len of an io must be multiples of */
	uint32_t physical_sector_size; /* bytes, a hint */
	bool readonly, removable, cdrom;
	bool can_flush, can_discard, can_secure_discard;
	uint32_t discard_granularity, discard_alignment; /* bytes */
	/* of the connection */
	bool persistent;               /* the back end keeps our pages mapped */
	unsigned ring_slots;           /* requests in flight at most */
	unsigned max_segments;         /* pages of one request */
};

struct blkfront_options {
	unsigned pages; /* most pages for data; 0: 1024. At least BLKFRONT_IO_PAGES are allowed. They are allocated and granted as they are needed */
};

struct blkfront_stats {
	uint64_t reads, writes, flushes, discards; /* ios answered without error */
	uint64_t read_bytes, write_bytes;
	uint64_t errors;      /* ios answered with an error */
	uint64_t requests;    /* put into the ring; large ios take several when the back end wants it so */
	uint64_t requeued;    /* ios in the ring of a connection that ended: the next back end gets them */
	uint64_t connections; /* how often it was connected */
};

/* The vbd at device/vbd/<number>, such as 51712 for xvda. NULL when there is no memory. Does nothing yet: call blkfront_step. */
struct blkfront *blkfront_create(struct xenbus *xb, uint32_t number, const struct blkfront_options *options);
/* Disconnects, says Closed, frees. Ios that were not polled out are forgotten. Pages that the back end still has mapped are leaked. NULL is fine. */
void blkfront_destroy(struct blkfront *bf);

/* Move the handshake on as far as it goes now. Cheap when XenStore has nothing new. */
enum blkfront_state blkfront_step(struct blkfront *bf);
const struct blkfront_info *blkfront_info(const struct blkfront *bf);
const struct blkfront_stats *blkfront_stats(const struct blkfront *bf);

/*
 * Give io the pages for its len bytes, to be used in place: each full but the last. -EAGAIN: not now, others are to come back; -ENOMEM: none to be had;
 * -EINVAL: len. They stay the io's, over any number of submits of at most that len, until blkfront_pages_give.
 */
int blkfront_pages_take(struct blkfront *bf, struct blkfront_io *io);
void blkfront_pages_give(struct blkfront *bf, struct blkfront_io *io);
/* Where the bytes from i * 4096 on are. The address holds until the next blkfront_step. */
void *blkfront_page(const struct blkfront *bf, const struct blkfront_io *io, unsigned i);

/* Queue one io. Never fails: an error comes as its result. */
void blkfront_submit(struct blkfront *bf, struct blkfront_io *io);
/* Start what is queued and fits, the rest follows from blkfront_poll; at most one notification. */
void blkfront_kick(struct blkfront *bf);
/* Up to n ios that were answered, in any order; returns how many. */
unsigned blkfront_poll(struct blkfront *bf, struct blkfront_io **done, unsigned n);
/* Ask for an event when something is answered. False: there is something already, do not wait. */
bool blkfront_arm(struct blkfront *bf);

#endif
