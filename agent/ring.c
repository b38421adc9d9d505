/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ring.h"

/* A test build puts a function here that is called with the number of the step just done, and may
 * kill the producer there. */
#ifndef RING_TEST_POINT
#define RING_TEST_POINT(step) ((void)0)
#endif

/* Each failed attempt means that another thread got through. So many in a row mean that the
 * program has overwritten the ring: give up, and count the record as lost. */
#define CLAIM_ATTEMPTS_MAX 1000

struct lane {
	char *bytes;
	uint64_t size;
	_Atomic uint64_t *head, *tail, *n_lost;
};

static struct lane
lane_of(struct pyaudit_ring *ring, enum pyaudit_lane n)
{
	return (struct lane){.bytes = (char *)ring + ring->lane_offset[n],
			     .size = ring->lane_size[n],
			     .head = &ring->head[n],
			     .tail = &ring->tail[n],
			     .n_lost = &ring->n_lost[n]};
}

static _Atomic uint64_t *
word_at(const struct lane *lane, uint64_t position)
{
	return (_Atomic uint64_t *)(void *)(lane->bytes + (position & (lane->size - 1)));
}

void
ring_format(struct pyaudit_ring *ring)
{
	ring->magic = PYAUDIT_RING_MAGIC;
	ring->version = PYAUDIT_RING_VERSION;
	ring->lane_offset[PYAUDIT_LANE_ORDINARY] = PYAUDIT_RING_HEADER;
	ring->lane_size[PYAUDIT_LANE_ORDINARY] = PYAUDIT_LANE_ORDINARY_DEFAULT;
	ring->lane_offset[PYAUDIT_LANE_URGENT] =
		PYAUDIT_RING_HEADER + PYAUDIT_LANE_ORDINARY_DEFAULT;
	ring->lane_size[PYAUDIT_LANE_URGENT] = PYAUDIT_LANE_URGENT_DEFAULT;
}

/*
 * Claims @length bytes at the head. Returns the claim's position, or UINT64_MAX where the lane is
 * full. A claim that would cross the lane's end takes the rest of the lap as PAD and goes on.
 */
static uint64_t
claim(const struct lane *lane, uint32_t length, uint32_t tid, bool *ret_half_full)
{
	for (unsigned attempt = 0; attempt < CLAIM_ATTEMPTS_MAX; attempt++) {
		/* Tail first: it never passes a head that is read later, so the difference is at worst
		 * too large, and full is looked at twice. */
		uint64_t tail = atomic_load_explicit(lane->tail, memory_order_acquire);
		uint64_t head = atomic_load_explicit(lane->head, memory_order_acquire);
		uint64_t to_end = lane->size - (head & (lane->size - 1));
		bool pad = length > to_end;
		uint32_t n = pad ? (uint32_t)to_end : length;
		uint64_t expected = pyaudit_claim_free(head, lane->size);
		uint64_t wanted = pyaudit_claim_make(head, lane->size, tid, n,
						     pad ? PYAUDIT_CLAIM_PAD : PYAUDIT_CLAIM_CLAIMED);

		if (head + n - tail > lane->size) {
			if (atomic_load_explicit(lane->tail, memory_order_acquire) == tail)
				return UINT64_MAX;
			continue;
		}
		RING_TEST_POINT(1);
		if (!atomic_compare_exchange_strong_explicit(word_at(lane, head), &expected, wanted,
							     memory_order_acq_rel,
							     memory_order_acquire)) {
			/* Another thread was first. Help it move the head past its claim, so that
			 * its death just there does not stop everyone; a word of another lap means
			 * that head has long moved on, and the next look will see it. */
			uint64_t next = head + pyaudit_claim_length(expected);

			if (next != head && expected >> PYAUDIT_CLAIM_LAP_SHIFT ==
						    pyaudit_claim_free(head, lane->size) >>
							    PYAUDIT_CLAIM_LAP_SHIFT)
				(void)atomic_compare_exchange_strong_explicit(
					lane->head, &head, next, memory_order_acq_rel,
					memory_order_relaxed);
			continue;
		}
		/* A thread that slept since it read head, while others went all the way round, may have
		 * met payload that looks like a free word: zeros, in the first lap. Then the consumer has
		 * long passed this position. Put back what was there, and start again. */
		if ((int64_t)(atomic_load_explicit(lane->tail, memory_order_acquire) - head) > 0) {
			(void)atomic_compare_exchange_strong_explicit(
				word_at(lane, head), &wanted, expected, memory_order_acq_rel,
				memory_order_relaxed);
			continue;
		}
		RING_TEST_POINT(2);
		*ret_half_full = head + n - tail > lane->size / 2;
		expected = head;
		(void)atomic_compare_exchange_strong_explicit(lane->head, &expected, head + n,
							      memory_order_acq_rel,
							      memory_order_relaxed);
		RING_TEST_POINT(3);
		if (!pad)
			return head;
	}
	return UINT64_MAX;
}

/* Word by word, atomically: a thread that slept between reading head and its claim may still try a
 * compare-and-swap on a word that has become payload. It fails, but it looks. */
static void
store_record(_Atomic uint64_t *words, const void *record, size_t size)
{
	const char *bytes = record;
	size_t n = size / sizeof(uint64_t), left = size % sizeof(uint64_t);
	uint64_t word;

	for (size_t i = 0; i < n; i++) {
		memcpy(&word, bytes + i * sizeof(word), sizeof(word));
		atomic_store_explicit(&words[i], word, memory_order_relaxed);
	}
	if (left > 0) {
		word = 0;
		memcpy(&word, bytes + n * sizeof(word), left);
		atomic_store_explicit(&words[n], word, memory_order_relaxed);
	}
}

bool
ring_push(struct pyaudit_ring *ring, enum pyaudit_lane n, const void *record, size_t size,
	  uint32_t tid, bool *ret_half_full, bool *ret_wake)
{
	struct lane lane = lane_of(ring, n);
	uint32_t length = (uint32_t)((sizeof(uint64_t) + size + 7) & ~(size_t)7);
	uint64_t position = claim(&lane, length, tid, ret_half_full);
	_Atomic uint64_t *word;

	if (position == UINT64_MAX) {
		atomic_fetch_add_explicit(lane.n_lost, 1, memory_order_relaxed);
		*ret_half_full = true;
		*ret_wake = false;
		return false;
	}
	word = word_at(&lane, position);
	store_record(word + 1, record, size);
	RING_TEST_POINT(4);
	atomic_store_explicit(word,
			      pyaudit_claim_make(position, lane.size, tid, length,
						 PYAUDIT_CLAIM_COMMITTED),
			      memory_order_release);
	RING_TEST_POINT(5);
	/* The commit must be visible before asleep is read; the consumer sets asleep before it
	 * reads the words again: one of the two sees the other. */
	atomic_thread_fence(memory_order_seq_cst);
	*ret_wake = atomic_load_explicit(&ring->asleep, memory_order_relaxed) != 0 &&
		    atomic_exchange(&ring->asleep, 0) != 0;
	return true;
}
