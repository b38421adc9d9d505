/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ring.h"
#include "testpoint.h"

/* Each step beyond a lap means that another thread got through meanwhile. So many in a row mean that
 * the program has overwritten the ring: give up, and count the record as lost. */
#define CLAIM_STEPS_MAX 1000

#define WORD sizeof(uint64_t)

struct lane {
	char *bytes;
	_Atomic uint64_t *claims;
	uint32_t n_words, n_claims;
	_Atomic uint64_t *head, *tail;
};

#define CLAIMS_ORDINARY (PYAUDIT_LANE_ORDINARY_DEFAULT / PYAUDIT_LANE_PER_CLAIM)
#define CLAIMS_URGENT (PYAUDIT_LANE_URGENT_DEFAULT / PYAUDIT_LANE_PER_CLAIM)
#define LANES_OFFSET                                                                               \
	(PYAUDIT_RING_HEADER + (CLAIMS_ORDINARY + CLAIMS_URGENT) * (uint32_t)WORD)

/* The geometry we write into the header, for the daemon. Here it is not read from there: the program
 * may have written over it. Of all rings that the process makes; changed before the first one. */
static struct layout {
	uint32_t bytes, size, claims, n_claims;
} layouts[PYAUDIT_N_LANES] = {
	[PYAUDIT_LANE_ORDINARY] = {LANES_OFFSET, PYAUDIT_LANE_ORDINARY_DEFAULT, PYAUDIT_RING_HEADER,
				   CLAIMS_ORDINARY},
	[PYAUDIT_LANE_URGENT] = {LANES_OFFSET + PYAUDIT_LANE_ORDINARY_DEFAULT,
				 PYAUDIT_LANE_URGENT_DEFAULT,
				 PYAUDIT_RING_HEADER + CLAIMS_ORDINARY * (uint32_t)WORD,
				 CLAIMS_URGENT},
};

static struct lane
lane_of(struct pyaudit_ring *ring, enum pyaudit_lane n)
{
	const struct layout *layout = &layouts[n];

	return (struct lane){
		.bytes = (char *)ring + layout->bytes,
		.claims = (_Atomic uint64_t *)(void *)((char *)ring + layout->claims),
		.n_words = layout->size / (uint32_t)WORD,
		.n_claims = layout->n_claims,
		.head = &ring->head[n],
		.tail = &ring->tail[n],
	};
}

void
ring_use(unsigned shift)
{
	struct layout *ordinary = &layouts[PYAUDIT_LANE_ORDINARY];
	struct layout *urgent = &layouts[PYAUDIT_LANE_URGENT];
	uint32_t size = PYAUDIT_LANE_ORDINARY_DEFAULT;

	while (shift-- > 0 && size < PYAUDIT_LANE_SIZE_MAX)
		size *= 2;
	if (size == ordinary->size) /* the page it stands in stays shared */
		return;
	ordinary->size = size;
	ordinary->n_claims = size / PYAUDIT_LANE_PER_CLAIM;
	urgent->claims = ordinary->claims + ordinary->n_claims * (uint32_t)WORD;
	ordinary->bytes = urgent->claims + urgent->n_claims * (uint32_t)WORD;
	urgent->bytes = ordinary->bytes + ordinary->size;
}

size_t
ring_size(void)
{
	const struct layout *last = &layouts[PYAUDIT_LANE_URGENT];

	return last->bytes + last->size;
}

void
ring_format(struct pyaudit_ring *ring)
{
	ring->magic = PYAUDIT_RING_MAGIC;
	ring->version = PYAUDIT_RING_VERSION;
	for (unsigned i = 0; i < PYAUDIT_N_LANES; i++) {
		ring->lane_offset[i] = layouts[i].bytes;
		ring->lane_size[i] = layouts[i].size;
		ring->claims_offset[i] = layouts[i].claims;
		ring->n_claims[i] = layouts[i].n_claims;
	}
}

static _Atomic uint64_t *
claim_at(const struct lane *lane, uint64_t place)
{
	return &lane->claims[pyaudit_place_index(place) & (lane->n_claims - 1)];
}

/* Words left in the lap at @place. */
static uint32_t
words_to_end(const struct lane *lane, uint64_t place)
{
	return lane->n_words - (pyaudit_place_words(place) & (lane->n_words - 1));
}

/* A hint for the next producer: where it fails to be the newest place, that one walks on from it. */
static void
move_head(const struct lane *lane, uint64_t place)
{
	if ((int64_t)(place - atomic_load_explicit(lane->head, memory_order_relaxed)) > 0)
		atomic_store_explicit(lane->head, place, memory_order_release);
}

struct claimed {
	uint64_t place;
	uint64_t word; /* as it was claimed */
};

/* Claims @n_words at the end of the lane. False: it is full. */
static bool
claim(const struct lane *lane, uint32_t n_words, uint32_t tid, struct claimed *ret,
      bool *ret_half_full)
{
	uint64_t place = atomic_load_explicit(lane->head, memory_order_acquire);

	for (uint32_t steps = lane->n_claims + CLAIM_STEPS_MAX; steps > 0; steps--) {
		uint64_t tail = atomic_load_explicit(lane->tail, memory_order_acquire);
		_Atomic uint64_t *word = claim_at(lane, place);
		uint64_t seen = atomic_load_explicit(word, memory_order_acquire);
		uint64_t free_word =
			pyaudit_claim_free(pyaudit_place_index(place), lane->n_claims);
		uint32_t used, n = n_words, to_end;

		if (seen != free_word) {
			int32_t ahead = pyaudit_claim_ahead(seen, free_word);

			if (ahead < 0)
				return false;
			place = ahead > 0 ? tail
					  : pyaudit_place_after(place, pyaudit_claim_words(seen));
			continue;
		}
		to_end = words_to_end(lane, place);
		if (n > to_end)
			n += to_end;
		used = pyaudit_place_words(pyaudit_place_words(place) - pyaudit_place_words(tail));
		if (used + n > lane->n_words) {
			if (atomic_load_explicit(lane->tail, memory_order_acquire) == tail)
				return false;
			continue;
		}
		ret->place = place;
		ret->word = pyaudit_claim_make(free_word, tid, n, PYAUDIT_CLAIM_CLAIMED);
		TEST_POINT("claim");
		if (!atomic_compare_exchange_strong_explicit(word, &seen, ret->word,
							     memory_order_acq_rel,
							     memory_order_relaxed))
			continue;
		TEST_POINT("claimed");
		*ret_half_full = used + n > lane->n_words / 2;
		move_head(lane, pyaudit_place_after(place, n));
		return true;
	}
	return false;
}

bool
ring_push(struct pyaudit_ring *ring, enum pyaudit_lane n, const void *record, size_t size,
	  uint32_t tid, struct ring_pushed *ret)
{
	struct lane lane = lane_of(ring, n);
	uint32_t n_words = (uint32_t)((PYAUDIT_NUMBER_SIZE + size + WORD - 1) / WORD);
	/* Before the commit in the order of all: the consumer that is about to sleep looks at it. */
	uint64_t number =
		atomic_fetch_add_explicit(&ring->n_tried[n], 1, memory_order_seq_cst);
	struct claimed claimed;
	uint32_t to_end;
	char *at;

	ret->wake = false;
	TEST_POINT("numbered");
	if (!claim(&lane, n_words, tid, &claimed, &ret->half_full)) {
		TEST_POINT("full");
		atomic_fetch_add_explicit(&ring->n_lost[n], 1, memory_order_relaxed);
		ret->half_full = true;
		return false;
	}
	ret->index = pyaudit_place_index(claimed.place);
	TEST_POINT("head moved");
	to_end = words_to_end(&lane, claimed.place);
	at = lane.bytes + (n_words > to_end ? 0 : (lane.n_words - to_end) * WORD);
	memcpy(at, &number, sizeof(number));
	memcpy(at + PYAUDIT_NUMBER_SIZE, record, size);
	TEST_POINT("written");
	/* The commit must be visible before asleep is read; the consumer sets asleep before it
	 * reads the claims again: one of the two sees the other. */
	if (!atomic_compare_exchange_strong_explicit(
		    claim_at(&lane, claimed.place), &claimed.word,
		    claimed.word ^ PYAUDIT_CLAIM_CLAIMED ^ PYAUDIT_CLAIM_COMMITTED,
		    memory_order_seq_cst, memory_order_relaxed))
		return false;
	TEST_POINT("committed");
	ret->wake = atomic_load(&ring->asleep) != 0 && atomic_exchange(&ring->asleep, 0) != 0;
	TEST_POINT("pushed");
	return true;
}

bool
ring_is_half_full(struct pyaudit_ring *ring, enum pyaudit_lane n)
{
	struct lane lane = lane_of(ring, n);
	uint64_t head = atomic_load_explicit(lane.head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(lane.tail, memory_order_relaxed);

	return pyaudit_place_words(pyaudit_place_words(head) - pyaudit_place_words(tail)) >
	       lane.n_words / 2;
}
