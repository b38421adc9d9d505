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
 *   lane[0]         ordinary records
 *   lane[1]         alerts and denials, room that ordinary events cannot fill
 *
 * A lane is a power of two of bytes, indexed by ever growing 64-bit positions (position modulo
 * size). At each record boundary stands a claim word, 8-byte aligned:
 *
 *   bits 63..48  lap: (position / size) modulo 2^16
 *   bits 47..26  tid of the thread that claimed it
 *   bits 25..2   length in bytes of the whole record with its claim word, a multiple of 8
 *   bits  1..0   FREE 0, CLAIMED 1, COMMITTED 2, PAD 3 (skip to the end of the lane)
 *
 * A FREE word has tid and length 0, so a fresh memfd (zeros) is a free first lap.
 *
 * Producer, for a record of n bytes (claim word included, rounded up to 8):
 *   1. t = tail (acquire), h = head (acquire). h + n - t > size, and tail still t: full; add one to
 *      n_lost[lane].
 *   2. Record would cross the end: claim the rest as PAD (same steps) and start again.
 *   3. CAS word[h] from FREE|lap(h) to CLAIMED|lap|tid|n. Failed: someone else claimed it; help
 *      head forward past that claim (CAS head from h to h + its length) and start again.
 *   4. CAS head from h to h + n (a failure means another thread helped).
 *   5. Write the record behind the claim word; store the word as COMMITTED (release).
 * The length is published by the same CAS that claims, so a producer that dies at any step leaves
 * a ring whose next boundary is known.
 *
 * Consumer: at tail, load the word (acquire). FREE: empty (where head has passed it, nothing was
 * claimed there yet). COMMITTED: copy the record out, then set every word of it to
 * FREE|lap + 1, then store tail (release). PAD: the same without a copy. CLAIMED: stop; if the
 * claiming thread no longer lives, skip it and count one torn record. Where the claimer did not
 * live to move head past its claim, the consumer does so before it frees the words.
 * Refilling before tail moves is what makes step 3 safe: a producer that slept a whole lap between
 * steps 1 and 3 finds another lap number and fails. Payload may look like FREE|lap (zeros do, for a
 * producer of the first lap); so after step 3 the producer reads tail again, and where that has
 * passed h it puts back what it found and starts again. Between the two a consumer may copy that
 * one record with a wrong word; claims in an array of their own would close that window.
 * Payload is stored and copied as relaxed atomic words, for a claim may look at it.
 *
 * Waking: the consumer sets `asleep` before it stops polling this ring, then looks at the lanes
 * once more; a producer that committed and finds asleep set, and swaps it to 0, sends one WAKE
 * frame. Both sides use sequentially consistent operations for this pair.
 */
#ifndef PYAUDIT_RING_H
#define PYAUDIT_RING_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

#define PYAUDIT_RING_MAGIC 0x31524150u /* "PAR1" */
#define PYAUDIT_RING_VERSION 1
#define PYAUDIT_RING_HEADER 4096 /* bytes before lane 0 */

#define PYAUDIT_LANE_SIZE_MIN 4096u
#define PYAUDIT_LANE_SIZE_MAX (16u << 20)
#define PYAUDIT_LANE_ORDINARY_DEFAULT (512u << 10)
#define PYAUDIT_LANE_URGENT_DEFAULT (64u << 10)

enum pyaudit_lane {
	PYAUDIT_LANE_ORDINARY,
	PYAUDIT_LANE_URGENT,
	PYAUDIT_N_LANES,
};

#define PYAUDIT_CLAIM_FREE 0u
#define PYAUDIT_CLAIM_CLAIMED 1u
#define PYAUDIT_CLAIM_COMMITTED 2u
#define PYAUDIT_CLAIM_PAD 3u
#define PYAUDIT_CLAIM_STATE 3u
#define PYAUDIT_CLAIM_LENGTH 0x3fffffcu /* bits 25..2 */
#define PYAUDIT_CLAIM_TID_SHIFT 26
#define PYAUDIT_CLAIM_TID_MASK 0x3fffffu /* pid_max is at most 2^22: proc_sys_kernel(5) */
#define PYAUDIT_CLAIM_LAP_SHIFT 48

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
	uint64_t lane_offset[PYAUDIT_N_LANES];
	uint64_t lane_size[PYAUDIT_N_LANES];
	uint8_t reserved0[24];

	/* Written by the daemon. */
	_Alignas(64) _Atomic uint64_t tail[PYAUDIT_N_LANES];
	_Atomic uint64_t generation; /* newest policy: differs from the agent's, it reads its socket */
	_Atomic uint64_t beat_ns;    /* CLOCK_MONOTONIC of the last drain; 0: never attached */
	_Atomic uint32_t asleep;     /* 1: send WAKE after the next record; the agent swaps it to 0 */
	_Atomic uint32_t paused;     /* not 0: the agent lets every event pass, unrecorded... */
	_Atomic uint64_t n_told[PYAUDIT_N_LANES]; /* of n_lost, reported: for the next daemon */
	uint8_t reserved1[8];

	/* Written by the agent's threads. */
	_Alignas(64) _Atomic uint64_t head[PYAUDIT_N_LANES];
	_Atomic uint64_t n_lost[PYAUDIT_N_LANES]; /* records that found their lane full */
	_Atomic uint64_t n_denied;                /* acts refused, delivered or not */
	_Atomic uint64_t generation_used;         /* policy the agent judges by */
	_Atomic uint64_t n_failed;                /* events too deep within the judging of others */
	uint8_t reserved2[8];

	/* Written by the agent when it registers its hook: where the daemon looks whether the hook is
	 * still in the interpreter's list. Addresses in the agent's process; 0: it cannot be told. */
	_Alignas(64) _Atomic uint64_t hook_head; /* of the pointer to the first entry */
	_Atomic uint64_t hook_entry;             /* of our entry, which it holds */
	_Atomic uint64_t hook_function;          /* the entry's second word */
	_Atomic uint32_t hook_state;             /* enum pyaudit_hook_state */
	_Atomic uint32_t hook_told;              /* 1: the agent has told that it is gone */
	uint8_t reserved3[32];
};
static_assert(sizeof(struct pyaudit_ring) == 256, "ring header layout");
static_assert(sizeof(struct pyaudit_ring) <= PYAUDIT_RING_HEADER, "ring header size");

static inline uint64_t
pyaudit_claim_free(uint64_t position, uint64_t lane_size)
{
	return (position / lane_size & 0xffff) << PYAUDIT_CLAIM_LAP_SHIFT;
}

static inline uint64_t
pyaudit_claim_make(uint64_t position, uint64_t lane_size, uint32_t tid, uint32_t length,
		   uint32_t state)
{
	return pyaudit_claim_free(position, lane_size) |
	       (uint64_t)(tid & PYAUDIT_CLAIM_TID_MASK) << PYAUDIT_CLAIM_TID_SHIFT | length | state;
}

static inline uint32_t
pyaudit_claim_length(uint64_t word)
{
	return (uint32_t)(word & PYAUDIT_CLAIM_LENGTH);
}

static inline uint32_t
pyaudit_claim_tid(uint64_t word)
{
	return (uint32_t)(word >> PYAUDIT_CLAIM_TID_SHIFT) & PYAUDIT_CLAIM_TID_MASK;
}

#endif
