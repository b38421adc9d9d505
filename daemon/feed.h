/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's side of a capture: reports as blocks of a capture file, with the policies and
 * processes they need before them, each told once.
 */
#ifndef DAEMON_FEED_H
#define DAEMON_FEED_H

#include "policy.h"
#include "report.h"

#define FEED_QUIET_MS 60000 /* so often the clock is told where nothing else is */

struct feed {
	bool is_whole; /* no filter chooses its events */
	bool is_stale; /* something was told since the clock */
	uint64_t clock_ns; /* last told */
	uint64_t told[POLICY_KEPT]; /* generations */
	unsigned n_told;	    /* ever */
	uint8_t *processes;	    /* bitmap, by key */
	size_t processes_size;
	struct buf blocks;	    /* of the report at hand */
	uint32_t new_key;	    /* told by them; 0: none */
	uint64_t new_generation;
};

struct feed *feed_new(bool whole);
void feed_free(struct feed *feed); /* NULL is fine */

/* Makes `blocks` of a report; they are empty where captures say nothing of it. */
void feed_report(struct feed *feed, const struct policy *policy, const struct report *report,
		 const uint8_t *record, size_t record_size);
/* The same of the daemon's clock, where replaying has use for it: @waiting, an absence may become due. */
void feed_clock(struct feed *feed, uint64_t now_ns, bool waiting);
/* They were sent: what they told need not be told again. */
void feed_sent(struct feed *feed);

#endif
