/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The newest metrics in a file, which is replaced each time. Where the disk is slow, states in between are left
 * out. The file goes when the daemon ends: nobody shall take the last numbers of one that is gone for those of one
 * that runs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replace.h"
#include "sink.h"

/* @data is the path. */
static int
metrics_write(void *data, const struct iovec *items, size_t n_items)
{
	int r = replace_file(data, 0644, &items[n_items - 1], 1);

	return r < 0 ? r : (int)n_items;
}

static void
metrics_close(void *data)
{
	(void)unlink(data);
	free(data);
}

static const struct sink_ops metrics_ops = {
	.name = "metrics",
	.write = metrics_write,
	.close = metrics_close,
};

int
sink_metrics_new(struct sink **ret, const char *path, const struct sink_options *options)
{
	char *copy = strdup(path);
	int r = copy != NULL ? sink_new(ret, &metrics_ops, copy, options) : -ENOMEM;

	if (r < 0)
		free(copy);
	return r;
}
