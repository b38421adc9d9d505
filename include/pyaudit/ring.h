/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared-memory ring: many producers (threads of one process), one consumer (the daemon).
 *
 * One memfd per process, made by the agent at its first need, sealed against resizing and handed
 * to the daemon with the HELLO frame. So nothing waits for the daemon: what is recorded before it
 * answers, while it restarts or while it is stopped stands in the ring until it looks. The daemon
 * checks seals and sizes and copies the geometry once; afterwards nothing in the mapping is
 * trusted but bounds-checked copies.
 *
 *   page 0          struct pyaudit_ring
 *   claims[0]       of the ordinary lane: one word for each record that stands in it
 *   claims[1]       of the urgent lane
 *   lane[0]         bytes of ordinary records
 *   lane[1]         bytes of alerts and denials, room that ordinary events cannot fill
 *
 * Places. A record has an index (how many were claimed before it) and a position (how many words of
 * eight bytes they took). A place is both in one word: index in bits 63..24, position modulo 2^24 in
 * bits 23..0; so it is loaded, stored and compared in one step. `tail` is the place of the oldest
 * record the daemon may still need. `head` is a hint: the place after some recent claim.
 *
 * Claims. Claim words stand in an array of their own, that of index i at i modulo n_claims. No
 * payload is ever stored there, so what a producer finds is a claim word:
 *
 *   bits 63..36  lap: (index / n_claims) modulo 2^28
 *   bits 35..14  tid of the thread that claimed it
 *   bits 13..2   words of payload from the place before to the one after
 *   bits  1..0   FREE 0, CLAIMED 1, COMMITTED 2, TORN 3
 *
 *   FREE|lap ---producer---> CLAIMED ---producer---> COMMITTED ---consumer---> FREE|lap + 1
 *                               \------consumer----> TORN ---------consumer------^
 *
 * A FREE word has tid and words 0, so a fresh memfd (zeros) is a free first lap. A record does not
 * cross the end of its lane: one that would leaves the rest of the lap unused and stands at the
 * lane's beginning, and its claim covers both. Its payload is the number of the attempt
 * (PYAUDIT_NUMBER_SIZE bytes), then the record.
 *
 * Producer, for a record of n words:
 *   1. number = n_tried++. Every attempt has one; those that are never seen were lost.
 *   2. p = head (acquire).
 *   3. t = tail (acquire), then w = claim word of p (acquire):
 *        of p's lap and not FREE: somebody has claimed it; p = place after it, again 3
 *        of a later lap: the hint is older than the tail; p = t, again 3
 *        of an earlier lap: the claims of a whole lap are waiting to be read: full
 *        FREE and of p's lap: p is the end. Not n words between it and t: full, if tail still is t
 *   4. CAS the word from FREE|lap to CLAIMED|lap|tid|n (acquire, release). Failed: again 3.
 *   5. head = place after (release), unless it is there or further already.
 *   6. Write the payload.
 *   7. CAS the word from CLAIMED to COMMITTED (sequentially consistent).
 *   Full: add one to n_lost. A failed step 7: the consumer took this thread for dead; counted there.
 *
 * Consumer, at its own place r, which begins at tail:
 *   1. w = claim word of r (acquire). FREE: nothing is there. CLAIMED by a thread that no longer
 *      lives: CAS it to TORN, count one torn record; by one that lives: stop here. COMMITTED: copy the
 *      payload out. r = place after.
 *   2. Some time later, when what was read is safe (written by the sinks): `written` = index r, `torn` =
 *      (index r, torn records so far), tail = r (release), then each claim word between the old tail
 *      and r = FREE|lap + 1 (release). Where the sinks do not write for long, `written` stays behind: a
 *      next daemon that finds it so tells of that many as lost.
 *
 * Why this holds:
 *   - Places are right. Index i's claim word changes from FREE|lap(i) once (step 4 is the only way),
 *     so the length of record i is decided once, and the place after it by the place before. By
 *     induction every place in head, tail, or reached in step 3 is that of a real record or of the end.
 *   - FREE|lap(i) at a place not beyond the end is the end. Below the end words are not FREE, or
 *     free for a later lap. So a CAS that succeeds in step 4 claims at the very end, however long its
 *     thread slept after step 2 or 3: what was claimed meanwhile has changed the word. The lap
 *     comes again after 2^28 laps (2^40 claims of the ordinary lane, by default), in one sleep.
 *   - Room is real. tail was read before the word and only grows, so there is at least as much
 *     room as step 3 found; and nobody else claims that room, for the end has not moved. Payload
 *     below tail was copied before tail was stored (release, acquire).
 *   - A producer may die anywhere. Before 4 nothing was changed but n_tried (told as torn when its
 *     process ends). Between 4 and 7 its claim's length is known to everyone, others pass it in
 *     step 3, and the consumer steps over it. Nobody needs its step 5.
 *   - The consumer may die anywhere. Before tail is stored, the next one reads the same again. After
 *     it, some claims of the lap below tail are not freed: the next one frees those first. `torn` names the
 *     index it counts up to, so that torn records between are not counted twice.
 *   - A record is whole: the consumer copies after COMMITTED (7, release; 1, acquire).
 *   The one assumption: a thread taken for dead is. It would write into room that is no longer its own.
 *
 * Every interleaving of small cases, with threads and consumer dying at every step, is run through
 * the code that ships: tests/unit/test_ring_model.c.
 *
 * A lane whose n_tried - n_lost is the index of r has nothing to be read, for every attempt is accounted
 * for, and a consumer need not look at its claims: pages of a lane that was never used are not touched.
 *
 * Waiting: a producer that wants to know that its record is safe looks at `written` until that is beyond the
 * record's index; agent/ack.h.
 *
 * Waking: the consumer sets `asleep` before it stops polling this ring, then looks at counters and claims
 * once more; a producer that committed and finds asleep set, and swaps it to 0, sends one WAKE
 * frame. Both sides use sequentially consistent operations for this pair.
 */
#ifndef PYAUDIT_RING_H
#define PYAUDIT_RING_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

#define PYAUDIT_RING_MAGIC 0x31524150u /* "PAR1" */
#define PYAUDIT_RING_VERSION 2
#define PYAUDIT_RING_HEADER 4096 /* bytes before the claims */

#define PYAUDIT_LANE_SIZE_MIN 4096u
#define PYAUDIT_LANE_SIZE_MAX (16u << 20)
#define PYAUDIT_LANE_ORDINARY_DEFAULT (512u << 10)
#define PYAUDIT_LANE_URGENT_DEFAULT (256u << 10)

/* A lane has one claim for so many of its bytes; short records find it full a little earlier. */
#define PYAUDIT_LANE_PER_CLAIM 64u

enum pyaudit_lane {
	PYAUDIT_LANE_ORDINARY,
	PYAUDIT_LANE_URGENT,
	PYAUDIT_N_LANES,
};

#define PYAUDIT_NUMBER_SIZE 8 /* bytes of payload before a record */

#define PYAUDIT_CLAIM_FREE 0u
#define PYAUDIT_CLAIM_CLAIMED 1u
#define PYAUDIT_CLAIM_COMMITTED 2u
#define PYAUDIT_CLAIM_TORN 3u
#define PYAUDIT_CLAIM_STATE 3u
#define PYAUDIT_CLAIM_WORDS_SHIFT 2
#define PYAUDIT_CLAIM_WORDS_MASK 0xfffu
#define PYAUDIT_CLAIM_TID_SHIFT 14
#define PYAUDIT_CLAIM_TID_MASK 0x3fffffu /* pid_max is at most 2^22: proc_sys_kernel(5) */
#define PYAUDIT_CLAIM_LAP_SHIFT 36
#define PYAUDIT_CLAIM_LAP_MASK 0xfffffffu

#define PYAUDIT_PLACE_SHIFT 24
#define PYAUDIT_PLACE_WORDS 0xffffffu
#define PYAUDIT_PLACE_INDEX 0xffffffffffu

/* `paused`: ...always, or until this second of CLOCK_MONOTONIC, so that a pause ends in time also
 * where no daemon is left to end it. */
#define PYAUDIT_PAUSED 1u

enum pyaudit_hook_state {
	PYAUDIT_HOOK_NONE,    /* no interpreter at present, or an older agent */
	PYAUDIT_HOOK_LISTED,  /* in the interpreter's list of hooks */
	PYAUDIT_HOOK_REFUSED, /* a hook that was there before did not let ours in */
};

/* Each cache line has one writer side. All integers are native: both ends share one machine. */
struct pyaudit_ring {
	/* Geometry: written once by the agent before HELLO, copied once by the daemon. */
	uint32_t magic;
	uint32_t version;
	uint32_t lane_offset[PYAUDIT_N_LANES];
	uint32_t lane_size[PYAUDIT_N_LANES];    /* bytes, a power of two */
	uint32_t claims_offset[PYAUDIT_N_LANES];
	uint32_t n_claims[PYAUDIT_N_LANES];     /* a power of two */
	uint8_t reserved0[24];

	/* Written by the daemon at every turn. */
	_Alignas(64) _Atomic uint64_t tail[PYAUDIT_N_LANES]; /* places */
	_Atomic uint64_t beat_ns;    /* CLOCK_MONOTONIC of the last drain; 0: never attached */
	_Atomic uint32_t asleep;     /* 1: send WAKE after the next record; the agent swaps it to 0 */
	uint8_t reserved1[36];

	/* Written by the daemon now and then. What it was about to say is here for the next one. */
	_Alignas(64) _Atomic uint64_t generation; /* newest policy: differs from the agent's, it
						   * reads its socket */
	_Atomic uint32_t paused;     /* not 0: the agent lets every event pass, unrecorded... */
	_Atomic uint32_t late_told;  /* of n_late */
	_Atomic uint64_t n_told[PYAUDIT_N_LANES]; /* of n_lost, reported */
	_Atomic uint64_t torn[PYAUDIT_N_LANES];   /* a place's index, and the torn records before it */
	_Atomic uint64_t written[PYAUDIT_N_LANES]; /* index up to which the sinks have what was read */

	/* Written by the agent's threads. */
	_Alignas(64) _Atomic uint64_t head[PYAUDIT_N_LANES];    /* places, a hint */
	_Atomic uint64_t n_tried[PYAUDIT_N_LANES]; /* records that were to be put in */
	_Atomic uint64_t n_lost[PYAUDIT_N_LANES];  /* those that found their lane full */
	_Atomic uint64_t n_denied;                 /* acts refused, delivered or not */
	_Atomic uint64_t n_failed;                 /* events too deep within the judging of others */

	/* Written by the agent when it takes a policy, and when it registers its hook: where the daemon
	 * looks whether the hook is still in the interpreter's list. Addresses in the agent's process;
	 * 0: it cannot be told. */
	_Alignas(64) _Atomic uint64_t hook_head; /* of the pointer to the first entry */
	_Atomic uint64_t hook_entry;             /* of our entry, which it holds */
	_Atomic uint64_t hook_function;          /* the entry's second word */
	_Atomic uint32_t hook_state;             /* enum pyaudit_hook_state */
	_Atomic uint32_t hook_told;              /* 1: the agent has told that it is gone */
	_Atomic uint64_t generation_used;        /* policy the agent judges by */
	_Atomic uint32_t n_late;                 /* acts that waited for their alert in vain (`ack`) */
	uint8_t reserved4[20];
};
static_assert(sizeof(struct pyaudit_ring) == 320, "ring header layout");
static_assert(sizeof(struct pyaudit_ring) <= PYAUDIT_RING_HEADER, "ring header size");

static inline uint64_t
pyaudit_place_make(uint64_t index, uint64_t words)
{
	return index << PYAUDIT_PLACE_SHIFT | (words & PYAUDIT_PLACE_WORDS);
}

static inline uint64_t
pyaudit_place_index(uint64_t place)
{
	return place >> PYAUDIT_PLACE_SHIFT;
}

static inline uint32_t
pyaudit_place_words(uint64_t place)
{
	return (uint32_t)place & PYAUDIT_PLACE_WORDS;
}

/* The place after a record of so many words. */
static inline uint64_t
pyaudit_place_after(uint64_t place, uint32_t n_words)
{
	return pyaudit_place_make(pyaudit_place_index(place) + 1, (uint32_t)place + n_words);
}

/* The claim word that waits for a claim of this index. */
static inline uint64_t
pyaudit_claim_free(uint64_t index, uint32_t n_claims)
{
	return (index >> __builtin_ctz(n_claims) & PYAUDIT_CLAIM_LAP_MASK) << PYAUDIT_CLAIM_LAP_SHIFT;
}

static inline uint64_t
pyaudit_claim_make(uint64_t free_word, uint32_t tid, uint32_t n_words, uint32_t state)
{
	return free_word | (uint64_t)(tid & PYAUDIT_CLAIM_TID_MASK) << PYAUDIT_CLAIM_TID_SHIFT |
	       (n_words & PYAUDIT_CLAIM_WORDS_MASK) << PYAUDIT_CLAIM_WORDS_SHIFT | state;
}

/* How many laps @word is ahead of @free_word; negative: behind. */
static inline int32_t
pyaudit_claim_ahead(uint64_t word, uint64_t free_word)
{
	uint32_t laps = (uint32_t)((word >> PYAUDIT_CLAIM_LAP_SHIFT) -
				   (free_word >> PYAUDIT_CLAIM_LAP_SHIFT));

	return (int32_t)(laps << 4) / 16; /* 28 bits with their sign */
}

static inline uint32_t
pyaudit_claim_words(uint64_t word)
{
	return (uint32_t)word >> PYAUDIT_CLAIM_WORDS_SHIFT & PYAUDIT_CLAIM_WORDS_MASK;
}

static inline uint32_t
pyaudit_claim_tid(uint64_t word)
{
	return (uint32_t)(word >> PYAUDIT_CLAIM_TID_SHIFT) & PYAUDIT_CLAIM_TID_MASK;
}

#endif
