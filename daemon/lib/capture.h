/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Captures (include/pyaudit/capture.h), written and read. Reading trusts nothing: every length is
 * checked, memory is bounded, and an event is given out with the process and the policy that the
 * file names for it.
 */
#ifndef LIB_CAPTURE_H
#define LIB_CAPTURE_H

#include <stdio.h>

#include "compile.h"
#include "process.h"
#include "pyaudit/capture.h"

#define CAPTURE_POLICIES_MAX 1024	  /* of one file */
#define CAPTURE_NAMES_MAX (32u << 20)	  /* bytes of rule ids of one file */
#define CAPTURE_PROCESSES_MAX 65536	  /* known at once */
#define CAPTURE_WHY_MAX 160

/* Writing. Each adds one block, or the file's head. */
/* @whole: there will be no filter. */
void capture_add_head(struct buf *out, uint64_t time_ns, bool whole);
void capture_add_policy(struct buf *out, const struct compile_options *options,
			const struct rule_set *rules);
void capture_add_process(struct buf *out, const struct process *process);
/* @ahead: its time is later than that of the clock just added. */
void capture_add_event(struct buf *out, uint32_t process, bool ahead, const uint8_t *record,
		       size_t size);
void capture_add_clock(struct buf *out, uint64_t time_ns);
/* Rule @id alerted by its memory, in the name of an event of that time. */
void capture_add_fired(struct buf *out, uint64_t time_ns, const char *id);
void capture_add_loss(struct buf *out, uint32_t process, unsigned cause, uint64_t lost);
void capture_add_gone(struct buf *out, uint32_t process);
void capture_add_end(struct buf *out, uint64_t n_events, uint64_t n_lost);

/* Reading */

/* How events of one generation were judged. */
struct capture_policy {
	struct compile_options options; /* generation included */
	char **ids;
	size_t n_ids;
};

struct capture_event {
	uint64_t number; /* from 1 */
	struct pyaudit_decoded *decoded; /* borrows the block; has scratch */
	const uint8_t *record;
	size_t size;
	const struct process *process; /* as the daemon showed it; NULL: not known */
	uint64_t process_number; /* 0: not known; no two processes of a file have the same */
	const struct pyaudit_facts *facts; /* by which it was judged; of an empty process where it
					      is not known */
	const struct capture_policy *policy; /* NULL: not known */
	uint64_t tree; /* the same for processes that come from one; process_number where not known */
	bool is_ahead;	/* memories go by the clock in the place of its time */
	bool has_clock;	  /* the file has one */
	bool tells_fired; /* and all that memories raised */
};

/* 0 to go on, anything else ends the reading and is returned. */
typedef int capture_fn(void *data, const struct capture_event *event);

/* What stands in the file, in its order. */
struct capture_reader {
	capture_fn *event;
	int (*clock)(void *data, uint64_t time_ns); /* or NULL */
	/* An alert by the memory of rule @id; or NULL. */
	int (*fired)(void *data, uint64_t time_ns, const char *id);
};

struct capture_summary {
	uint64_t n_events, n_lost, time_ns;
	bool is_whole; /* ends with END */
};

enum capture_outcome {
	CAPTURE_OK = 0,
	CAPTURE_E_INVALID = 2, /* not a capture, or damaged: `why` says where */
};

/* Reads to the end. 0, CAPTURE_E_INVALID (@why is set; events before the damage were given out), a
 * negative errno, or what a function returned. */
int capture_read(FILE *in, const struct capture_reader *reader, void *data,
		 struct capture_summary *ret, char why[CAPTURE_WHY_MAX]);

/* Size of the block at @bytes, or 0: more bytes are needed to tell; SIZE_MAX: not a block. */
size_t capture_block_size(const uint8_t *bytes, size_t size);

#endif
