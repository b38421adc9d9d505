/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what programs did to a draft of what they may do: for each script the programs it starts, the
 * hosts it talks to, the files it reads and writes, the libraries it loads, the text it runs as
 * code. The draft is a rule file that raises an alert for all else.
 */
#ifndef LIB_LEARN_H
#define LIB_LEARN_H

#include "capture.h"

#define LEARN_SCRIPTS_MAX 256
#define LEARN_VALUES_MAX 65536 /* of one kind and script; beyond it no rule is made of the kind */

struct learn;

struct learn *learn_new(void);
void learn_free(struct learn *learn);
void learn_freep(struct learn **learn);

/* Takes an event; @script_glob, of a compiled pattern, is the caller's business. 0 or -ENOMEM. */
int learn_event(struct learn *learn, const struct capture_event *event);

struct learn_summary {
	size_t n_scripts, n_rules;
	size_t n_left_out; /* scripts beyond LEARN_SCRIPTS_MAX: their events count as left out */
};

/* The rule file, with comments. @source is named in it. 0 or -ENOMEM. */
int learn_write(struct learn *learn, const char *source, struct buf *out,
		struct learn_summary *ret);

#endif
