/* SPDX-License-Identifier: Apache-2.0 */
/* The producer's side of the shared ring; include/pyaudit/ring.h has layout and protocol. */
#ifndef AGENT_RING_H
#define AGENT_RING_H

#include <stdbool.h>
#include <stddef.h>

#include "pyaudit/ring.h"

/* Bytes of a ring with the default lanes. */
#define RING_LANES (PYAUDIT_LANE_ORDINARY_DEFAULT + PYAUDIT_LANE_URGENT_DEFAULT)
#define RING_SIZE (PYAUDIT_RING_HEADER + RING_LANES / PYAUDIT_LANE_PER_CLAIM * 8 + RING_LANES)

/* Rings made from now on have an ordinary lane of the default's size, doubled so many times. No ring of this process
 * may be in use. */
void ring_use(unsigned shift);
/* Bytes of a ring. */
size_t ring_size(void);

/* Writes the geometry into a fresh, zeroed mapping of ring_size() bytes. */
void ring_format(struct pyaudit_ring *ring);

struct ring_pushed {
	uint64_t index; /* of the record */
	bool half_full; /* the lane is more than half full */
	bool wake;      /* the consumer sleeps, and this thread is the one to wake it */
};

/*
 * Puts one record into a lane. False: the lane is full, which is counted in n_lost (or the consumer
 * took this thread for dead and has counted the record as torn). Lock-free; a thread that dies inside
 * leaves a claim that the consumer can step over.
 */
bool ring_push(struct pyaudit_ring *ring, enum pyaudit_lane lane, const void *record, size_t size,
	       uint32_t tid, struct ring_pushed *ret);

/* Whether more than half of a lane is taken, as far as its hints say. */
bool ring_is_half_full(struct pyaudit_ring *ring, enum pyaudit_lane lane);

#endif
