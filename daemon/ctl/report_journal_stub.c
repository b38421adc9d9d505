/* SPDX-License-Identifier: Apache-2.0 */
/* Built without libsystemd. */
#include <errno.h>

#include "report_read.h"

int
report_read_journal(struct tally *tally, const struct report_span *span, const char *directory)
{
	(void)tally;
	(void)span;
	(void)directory;
	return -EOPNOTSUPP;
}
