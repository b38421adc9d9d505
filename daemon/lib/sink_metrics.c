/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The newest metrics in a file: written beside it, then renamed, so that a reader finds one state or another and
 * never a part. Where the disk is slow, states in between are left out. The file goes when the daemon ends: nobody
 * shall take the last numbers of one that is gone for those of one that runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "sink.h"

struct metrics_file {
	char *path, *temporary;
};

static void
file_free(struct metrics_file *file)
{
	free(file->path);
	free(file->temporary);
	free(file);
}

static int
write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
replace(const struct metrics_file *file, const struct iovec *item)
{
	CLEANUP(closep) int fd = -1;
	int r;

	(void)unlink(file->temporary);
	fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	r = fchmod(fd, 0644) < 0 ? -errno : 0; /* whatever our umask: it is there to be read */
	if (r == 0)
		r = write_all(fd, item->iov_base, item->iov_len);
	if (r == 0 && rename(file->temporary, file->path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(file->temporary);
	return r;
}

static int
metrics_write(void *data, const struct iovec *items, size_t n_items)
{
	int r = replace(data, &items[n_items - 1]);

	return r < 0 ? r : (int)n_items;
}

static void
metrics_close(void *data)
{
	struct metrics_file *file = data;

	(void)unlink(file->path);
	file_free(file);
}

static const struct sink_ops metrics_ops = {
	.name = "metrics",
	.write = metrics_write,
	.close = metrics_close,
};

int
sink_metrics_new(struct sink **ret, const char *path, const struct sink_options *options)
{
	struct metrics_file *file = calloc(1, sizeof(*file));
	int r = -ENOMEM;

	if (file == NULL)
		return r;
	file->path = strdup(path);
	if (asprintf(&file->temporary, "%s.new", path) < 0)
		file->temporary = NULL;
	if (file->path != NULL && file->temporary != NULL)
		r = sink_new(ret, &metrics_ops, file, options);
	if (r < 0)
		file_free(file);
	return r;
}
