/* SPDX-License-Identifier: Apache-2.0 */
/* Built without libsystemd: there is no journal. */
#include <errno.h>

#include "report.h"
#include "sink.h"

int
sink_journal_new(struct sink **ret, size_t queue_size, int notify_fd, struct log *log)
{
	(void)ret;
	(void)queue_size;
	(void)notify_fd;
	(void)log;
	return -EOPNOTSUPP;
}

void
sink_journal_push(struct sink *sink, const struct report *report, uint64_t weight)
{
	(void)sink;
	(void)report;
	(void)weight;
}
