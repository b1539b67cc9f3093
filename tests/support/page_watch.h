/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tells a test of each access to a page, one by one: the page is protected, an access faults, is told of, is let through by a single step, told of again, and the page
 * is protected anew. Between the two the test may change the page as a peer would (XSA-155).
 */
#ifndef TESTS_PAGE_WATCH_H
#define TESTS_PAGE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

/* `accessed`: with the offset of the access's first byte in the page. `after`: the access is done and the page can be written; NULL: nothing to do. A crash elsewhere ends the test. */
void page_watch_begin(uint8_t *page, void (*accessed)(unsigned at, bool write), void (*after)(void));
void page_watch_end(void);

#endif
