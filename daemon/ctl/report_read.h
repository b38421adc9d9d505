/* SPDX-License-Identifier: Apache-2.0 */
/* Where a report gets its alerts from: the journal, or a file of JSON lines. */
#ifndef CTL_REPORT_READ_H
#define CTL_REPORT_READ_H

#include <stdint.h>
#include <stdio.h>

#include "tally.h"

#define REPORT_LINE_MAX (1u << 20) /* bytes of a line; longer ones are no events of ours */

struct report_span {
	uint64_t since_ns, until_ns; /* CLOCK_REALTIME; 0: no end on that side */
};

bool report_in_span(const struct report_span *span, uint64_t time_ns);

/* 0 or a negative errno; @ret_strange counts lines that are no events. */
int report_read_file(struct tally *tally, const struct report_span *span, FILE *file,
		     uint64_t *ret_strange);

/* @directory: files of a journal, or NULL for that of this host. Entries count that root, the
 * user pyaudit or this user wrote: anyone may write to a journal. 0; -EOPNOTSUPP where this was
 * built without it; or another negative errno. */
int report_read_journal(struct tally *tally, const struct report_span *span,
			const char *directory);

#endif
