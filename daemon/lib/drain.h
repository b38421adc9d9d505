/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The consumer's end of one ring (include/pyaudit/ring.h). The other end is hostile until proven
 * otherwise: the geometry is copied once and checked, every word is loaded once, lengths are
 * checked against that copy, and a record is copied out before anyone looks into it.
 *
 * Reading and releasing are two: what was read stands in the ring until it is released, so that a
 * daemon that is killed between has lost nothing: the next one reads it again.
 */
#ifndef LIB_DRAIN_H
#define LIB_DRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pyaudit/record.h"
#include "pyaudit/ring.h"

/* Longest payload: the number and the longest record. */
#define DRAIN_PAYLOAD_MAX (PYAUDIT_NUMBER_SIZE + PYAUDIT_RECORD_MAX)
/* Records after which they are released, so that producers see room; where they are not held. */
#define DRAIN_RELEASE_EVERY 32
#define DRAIN_CLAIMS_MIN 16u
/* How long a claim may stand before its thread is looked for. */
#define DRAIN_STUCK_NS 50000000u

/* Records of a lane that nobody got, since its ring was made. */
struct drain_losses {
	uint64_t n_full, n_torn, n_corrupt;
	uint64_t n_unwritten; /* taken out by daemons that were killed before their sinks had them */
};

struct drain_lane {
	uint8_t *base;
	_Atomic uint64_t *claims;
	uint32_t n_words, n_claims;
	uint64_t read;      /* place up to which records were delivered */
	uint64_t tail;      /* ours; the shared one is only written */
	uint64_t torn_from; /* index of the first claim that may count as torn: those before did */
	uint64_t n_torn;    /* claims of dead threads, those an earlier daemon counted included */
	uint64_t n_corrupt; /* places where no record can be */
	uint64_t n_unwritten;
	struct drain_losses told;
	uint64_t stuck_at, stuck_since_ns; /* a claim that was found not committed */
	bool broken;      /* its boundaries are lost for good: never looked at again */
};

struct drain {
	struct pyaudit_ring *ring;
	size_t map_size;
	struct drain_lane lane[PYAUDIT_N_LANES];
};

struct drain_mark {
	uint64_t place, n_torn;
};

enum drain_outcome {
	DRAIN_EMPTY,  /* nothing more now */
	DRAIN_BUDGET, /* there may be more */
	DRAIN_STUCK,  /* a thread has claimed and not committed yet */
	DRAIN_BROKEN,
	DRAIN_FULL, /* of who drains: there is more, and no room for it */
};

/* One record and the number of its attempt; @record is 8-byte aligned and lives until the call
 * returns. */
typedef void drain_record_fn(void *data, enum pyaudit_lane lane, uint64_t number,
			     const uint8_t *record, size_t size);
/* Whether the thread that claimed may still commit. @since_ns is when its claim was first seen. */
typedef bool drain_alive_fn(void *data, uint32_t tid, uint64_t since_ns);

struct drain_calls {
	drain_record_fn *record;
	drain_alive_fn *alive;
	void *data;
	bool hold; /* nothing is released but by drain_release */
};

/* Checks the memfd (seals, kind, size, geometry), maps it, and takes up the shared tail. 0, or a
 * negative errno with *ret_why telling what is wrong. Does not take over @fd. */
int drain_open(struct drain *ret, int fd, const char **ret_why);
void drain_close(struct drain *drain);

/* Delivers up to @n_records of a lane. @dead: the process is gone, nobody will commit. */
enum drain_outcome drain_run(struct drain *drain, enum pyaudit_lane lane, unsigned n_records,
			     bool dead, uint64_t now_ns, const struct drain_calls *calls);

/* How far a lane has been read, and gives the room before such a mark back. */
struct drain_mark drain_mark(const struct drain *drain, enum pyaudit_lane lane);
void drain_release(struct drain *drain, enum pyaudit_lane lane, const struct drain_mark *mark);
/* The same, though the sinks have not written it yet; drain_written says when they have. */
void drain_release_unwritten(struct drain *drain, enum pyaudit_lane lane,
			     const struct drain_mark *mark);
void drain_written(struct drain *drain, enum pyaudit_lane lane, const struct drain_mark *mark);

/* Brings near what drain_run will look at first in the ordinary lane. */
void drain_prefetch(const struct drain *drain);

/* Whether something is there to be read. */
bool drain_pending(const struct drain *drain);

/* Sets `asleep` and looks once more: false where something came meanwhile, then not asleep. */
bool drain_sleep(struct drain *drain);

/* The agent has copied @old into @drain's ring (it lost its descriptor): goes on where the old
 * one stood, so that nothing is delivered twice. Nothing is taken over where it is no copy. */
void drain_adopt(struct drain *drain, const struct drain *old);

/* Reads every record that is there now; returns when it has, or at a claim that does not commit. */
void drain_all(struct drain *drain, enum pyaudit_lane lane, bool dead, uint64_t now_ns,
	       const struct drain_calls *calls);

/* What was lost on a lane since the last call; *ret_total: since the ring was made. @dead: nobody writes
 * any more, and attempts that left no trace are counted as torn. */
struct drain_losses drain_take_losses(struct drain *drain, enum pyaudit_lane lane, bool dead,
				      struct drain_losses *ret_total);

/* Writes where the next daemon finds it that so many full lanes have been told. */
void drain_told(struct drain *drain, enum pyaudit_lane lane, uint64_t n_full);

#endif
