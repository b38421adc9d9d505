/* SPDX-License-Identifier: Apache-2.0 */
/* Files with what went before an alert, written by a thread of their own: sink_context.c. */
#ifndef LIB_SINK_CONTEXT_H
#define LIB_SINK_CONTEXT_H

#include "sink.h"

#define SINK_CONTEXT_NAME_MAX 64
#define SINK_CONTEXT_FILES_MAX 1000	 /* kept; the oldest make room */
#define SINK_CONTEXT_BYTES_MAX (16u << 20) /* of all of them */
#define SINK_CONTEXT_QUEUE (1u << 20)	 /* bytes it may be behind; then alerts go without */

struct report;
struct buf;

/* @dir is made when it is first needed. 0 or a negative errno. */
int sink_context_new(struct sink **ret, const char *dir, struct log *log);

/* Has the alert's JSON line written to a file of that name in the directory. False: it will not be. */
bool sink_context_push(struct sink *sink, const struct report *report, const struct buf *line,
		       char ret_name[SINK_CONTEXT_NAME_MAX]);

#endif
