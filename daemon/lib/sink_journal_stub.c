/* SPDX-License-Identifier: Apache-2.0 */
/* Built without libsystemd: there is no journal. */
#include <errno.h>

#include "report.h"
#include "sink.h"

int
sink_journal_new(struct sink **ret, const struct sink_options *options)
{
	(void)ret;
	(void)options;
	return -EOPNOTSUPP;
}

void
sink_journal_push(struct sink *sink, const struct report *report, uint64_t weight)
{
	(void)sink;
	(void)report;
	(void)weight;
}
