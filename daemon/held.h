/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room in a ring that was read and is not given back yet: the sinks have not written what stood in
 * it. A daemon that is killed meanwhile has lost nothing, for the next one reads it again. A slow sink
 * is waited for, for what it has not come to is not lost as long as it stands in the ring. One that is
 * at a stand (sink_stands) is not: its queue has more room than a ring. The next daemon tells what was given
 * back so as lost, unless the sink came to it after all; one that is killed while its sink takes up again may have
 * written a part of that.
 */
#ifndef DAEMON_HELD_H
#define DAEMON_HELD_H

#include <stdbool.h>
#include <stdint.h>

#include "drain.h"
#include "sink.h"

#define HELD_MAX 4    /* entries; further ones join the last */

/* How far the sinks have to come; 0: they have nothing of it. */
struct held_marks {
	uint64_t ndjson, journal;
};

struct held_entry {
	struct drain_mark mark;
	struct held_marks until;
};

struct held {
	struct held_entry entries[HELD_MAX];
	unsigned n;
	struct held_entry late; /* released before the sinks had it */
	bool is_late;           /* there is one */
};

void held_add(struct held *held, const struct held_entry *entry);

/* The sinks have what was entered first, or one is at a stand: takes it out. False: not yet, or nothing is
 * left. *ret_written: they have it, and all before it. A sink may be NULL. @now_ns: CLOCK_MONOTONIC. */
bool held_take(struct held *held, struct sink *ndjson, struct sink *journal, uint64_t now_ns,
	       struct drain_mark *ret, bool *ret_written);

/* What was taken out unwritten is written now. */
bool held_take_late(struct held *held, struct sink *ndjson, struct sink *journal,
		    struct drain_mark *ret);

/* Nothing is held but what waits for a sink that stands still. */
static inline bool
held_is_empty(const struct held *held)
{
	return held->n == 0;
}

#endif
