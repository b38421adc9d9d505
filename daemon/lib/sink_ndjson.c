/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines appended to a file, many in one write. A write that stops in the middle of a line goes on
 * there the next time, so a line is whole or at the very end.
 *
 * A file that was renamed or removed (logrotate) is noticed before a write, at the end of a line, and a
 * new one is opened under the name: nobody has to send a signal, and no line is lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "sink.h"

struct ndjson {
	int fd;
	char *path; /* NULL: not a file of ours, a descriptor that was handed over */
	size_t n_written; /* bytes of the next line that are in the file already */
};

static int open_file(const char *path);

/* Whether another file, or none, has the name by now. */
static bool
was_moved(const struct ndjson *file)
{
	struct stat ours, named;

	if (file->path == NULL || file->n_written > 0 || fstat(file->fd, &ours) < 0)
		return false;
	if (stat(file->path, &named) < 0)
		return errno == ENOENT;
	return ours.st_dev != named.st_dev || ours.st_ino != named.st_ino;
}

static int
ndjson_write(void *data, const struct iovec *items, size_t n_items)
{
	struct ndjson *file = data;
	size_t n_done = 0;

	if (was_moved(file)) {
		int fd = open_file(file->path);

		if (fd < 0)
			return -errno;
		(void)close(file->fd);
		file->fd = fd;
	}

	while (n_done == 0) {
		struct iovec iov[SINK_BATCH];
		ssize_t n;

		memcpy(iov, items, n_items * sizeof(*items));
		iov[0].iov_base = (char *)iov[0].iov_base + file->n_written;
		iov[0].iov_len -= file->n_written;
		n = writev(file->fd, iov, (int)n_items);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		file->n_written += (size_t)n;
		for (; n_done < n_items && file->n_written >= items[n_done].iov_len; n_done++)
			file->n_written -= items[n_done].iov_len;
	}
	return (int)n_done;
}

static void
ndjson_close(void *data)
{
	struct ndjson *file = data;
	off_t end = lseek(file->fd, 0, SEEK_END);

	/* The beginning of a line that was given up. A pipe keeps it. */
	if (file->n_written > 0 && end >= (off_t)file->n_written)
		(void)!ftruncate(file->fd, end - (off_t)file->n_written);
	(void)close(file->fd);
	free(file->path);
	free(file);
}

static const struct sink_ops ndjson_ops = {
	.name = "ndjson",
	.write = ndjson_write,
	.close = ndjson_close,
};

/* A descriptor that was handed to us, by number, or -1. */
static int
inherited(const char *path)
{
	int fd, n = 0;

	if (strcmp(path, "-") == 0)
		return STDOUT_FILENO;
	if ((sscanf(path, "/dev/fd/%d%n", &fd, &n) == 1 ||
	     sscanf(path, "/proc/self/fd/%d%n", &fd, &n) == 1) &&
	    path[n] == 0)
		return fd;
	return -1;
}

/* A daemon that was killed while it wrote has left the beginning of a line, which is told again. */
static void
end_last_line(const char *path, int fd)
{
	CLEANUP(closep) int again = -1;
	struct stat st;
	char last;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return;
	again = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (again >= 0 && pread(again, &last, 1, st.st_size - 1) == 1 && last != '\n')
		(void)!write(fd, "\n", 1);
}

static int
open_file(const char *path)
{
	int fd = inherited(path), flags;

	if (fd >= 0)
		return fcntl(fd, F_DUPFD_CLOEXEC, 3);
	/* A FIFO without a reader must not hold the daemon up; afterwards the thread may wait. */
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	if (fd >= 0) {
		flags = fcntl(fd, F_GETFL);
		(void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
		end_last_line(path, fd);
	}
	return fd;
}

int
sink_ndjson_new(struct sink **ret, const char *path, const struct sink_options *options)
{
	CLEANUP(freep) struct ndjson *file = calloc(1, sizeof(*file));
	int r;

	if (file == NULL)
		return -ENOMEM;
	file->fd = open_file(path);
	if (file->fd < 0)
		return -errno;
	r = 0;
	if (inherited(path) < 0) {
		file->path = strdup(path);
		r = file->path == NULL ? -ENOMEM : 0;
	}
	if (r == 0)
		r = sink_new(ret, &ndjson_ops, file, options);
	if (r == 0) {
		(void)TAKE_PTR(file);
		return 0;
	}
	(void)close(file->fd);
	free(file->path);
	return r;
}
