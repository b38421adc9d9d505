/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The consumer's end of one ring (include/pyaudit/ring.h). The other end is hostile until proven
 * otherwise: the geometry is copied once and checked, every word is loaded once, lengths are
 * checked against that copy, and a record is copied out before anyone looks into it.
 *
 * A daemon that is killed between two instructions leaves a ring that the next one can take up:
 * a record's claim word is freed after its payload and the shared tail moves last, so at the old
 * tail there stands either a claim whose length still holds, or freed words up to the next
 * boundary, which drain_open passes over.
 */
#ifndef LIB_DRAIN_H
#define LIB_DRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pyaudit/record.h"
#include "pyaudit/ring.h"

/* Longest claim: the word itself and the longest record. */
#define DRAIN_CLAIM_MAX (8u + PYAUDIT_RECORD_MAX)
/* Records after which the shared tail is stored, so that producers see room. */
#define DRAIN_TAIL_EVERY 32
/* How long a claim may stand before its thread is looked for. */
#define DRAIN_STUCK_NS 50000000u

struct drain_lane {
	uint8_t *base;
	uint64_t size;
	uint64_t tail;    /* ours; the shared one is only written */
	uint64_t n_told;  /* of n_lost, reported so far */
	uint64_t n_torn;  /* claims of dead threads, not yet taken by drain_take_losses */
	uint64_t n_corrupt; /* impossible claims and skipped positions, likewise */
	uint64_t stuck_at, stuck_since_ns; /* a claim that was found not committed */
	bool broken;      /* its boundaries are lost for good: never looked at again */
};

struct drain {
	struct pyaudit_ring *ring;
	size_t map_size;
	struct drain_lane lane[PYAUDIT_N_LANES];
};

enum drain_outcome {
	DRAIN_EMPTY,  /* nothing more now */
	DRAIN_BUDGET, /* there may be more */
	DRAIN_STUCK,  /* a thread has claimed and not committed yet */
	DRAIN_BROKEN,
};

/* One record, claim word left out; @record is 8-byte aligned and lives until the call returns. */
typedef void drain_record_fn(void *data, enum pyaudit_lane lane, const uint8_t *record,
			     size_t size);
/* Whether the thread that claimed may still commit. @since_ns is when its claim was first seen. */
typedef bool drain_alive_fn(void *data, uint32_t tid, uint64_t since_ns);

struct drain_calls {
	drain_record_fn *record;
	drain_alive_fn *alive;
	void *data;
};

/* Checks the memfd (seals, kind, size, geometry), maps it, and takes up the shared tail. 0, or a
 * negative errno with *ret_why telling what is wrong. Does not take over @fd. */
int drain_open(struct drain *ret, int fd, const char **ret_why);
void drain_close(struct drain *drain);

/* Delivers up to @n_records of a lane. @dead: the process is gone, nobody will commit. */
enum drain_outcome drain_run(struct drain *drain, enum pyaudit_lane lane, unsigned n_records,
			     bool dead, uint64_t now_ns, const struct drain_calls *calls);

/* Whether something stands at either tail: one load per lane. */
bool drain_pending(const struct drain *drain);

/* Sets `asleep` and looks once more: false where something came meanwhile, then not asleep. */
bool drain_sleep(struct drain *drain);

/* The agent has copied @old into @drain's ring (it lost its descriptor): goes on where the old
 * one stood, so that nothing is delivered twice. Nothing is taken over where it is no copy. */
void drain_adopt(struct drain *drain, const struct drain *old);

/* Reads every record that is there now; returns when it has, or at a claim that does not commit. */
void drain_all(struct drain *drain, enum pyaudit_lane lane, bool dead, uint64_t now_ns,
	       const struct drain_calls *calls);

struct drain_losses {
	uint64_t n_full, n_torn, n_corrupt;
};

/* What was lost on a lane since the last call; counts it as told. */
struct drain_losses drain_take_losses(struct drain *drain, enum pyaudit_lane lane);

#endif
