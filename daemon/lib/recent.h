/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's memory of what it said lately, for clients that ask `since`. Events are kept as the
 * records they came as and made into text only when someone asks; that costs one copy each. A
 * ring of bytes: the oldest entries make room.
 */
#ifndef LIB_RECENT_H
#define LIB_RECENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "process.h"

#define RECENT_SIZE_MIN 65536

struct recent_entry {
	uint64_t seq, time_ns;
	uint64_t weight;         /* events it stands for */
	uint64_t weight_before;  /* of all entries ever kept before this one */
	struct process *process; /* a reference, or NULL */
	const char *event;       /* of a line; a constant */
	uint32_t size;
	uint8_t kind;   /* enum report_kind */
	bool is_line;   /* a finished JSON line; else a record */
	bool is_filler; /* skip to the beginning of the memory */
};

struct recent {
	uint8_t *bytes;
	size_t size;
	uint64_t head, tail; /* ever growing positions; entries in [tail, head) */
	uint64_t weight;     /* of all entries ever kept */
};

/* @size 0: nothing is kept. */
int recent_init(struct recent *recent, size_t size);
void recent_fini(struct recent *recent);

/* @entry's weights, size and is_filler are filled in here; takes a reference of the process.
 * What is longer than half the memory is not kept. */
void recent_add(struct recent *recent, struct recent_entry entry, uint64_t weight,
		const void *bytes, size_t size);

/* Entry at position *at, or the oldest where that is gone already; moves *at behind it. NULL at
 * the end. *ret_bytes stands 8-byte aligned until the next recent_add. */
const struct recent_entry *recent_next(const struct recent *recent, uint64_t *at,
				       const uint8_t **ret_bytes);

#endif
