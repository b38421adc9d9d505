/* SPDX-License-Identifier: Apache-2.0 */
/* A report's forms. All text in it is forgeable: each form escapes what could mean something in it. */
#ifndef CTL_REPORT_WRITE_H
#define CTL_REPORT_WRITE_H

#include "buf.h"
#include "report_read.h"

struct report_view {
	const struct tally *tally;
	struct report_span span;
	enum tally_by by; /* of text and CSV */
	const char *source; /* "the journal", or a path */
};

void report_write_text(const struct report_view *view, FILE *out);
void report_write_csv(const struct report_view *view, struct buf *out);
void report_write_json(const struct report_view *view, struct buf *out);
void report_write_html(const struct report_view *view, struct buf *out);

#endif
