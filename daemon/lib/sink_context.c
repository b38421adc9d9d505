/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process had done before an alert, for readers of the journal: one file for each alert, its JSON line,
 * in a directory of the daemon's own. The journal's entry names the file. The newest are kept, in number and in
 * bytes; a file that cannot be written is given up, for the alert itself does not depend on it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "report.h"
#include "sink_context.h"

#define SUFFIX ".json"

struct context_file {
	char name[SINK_CONTEXT_NAME_MAX];
	uint64_t size;
};

struct context_files {
	char *dir;
	struct log *log;
	int fd; /* of the directory; -1: not opened yet */
	struct context_file files[SINK_CONTEXT_FILES_MAX]; /* a ring of names, oldest at @first */
	size_t first, n;
	uint64_t bytes;
};

/* A name that we give: it begins with its time, so that names are in the order of their alerts. */
static int
is_ours(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name), suffix = strlen(SUFFIX);

	return len > suffix + 20 && len < SINK_CONTEXT_NAME_MAX &&
	       strcmp(entry->d_name + len - suffix, SUFFIX) == 0 &&
	       strspn(entry->d_name, "0123456789TZ.-") == len - suffix + 1;
}

static void
drop_oldest(struct context_files *files)
{
	struct context_file *oldest = &files->files[files->first];

	if (unlinkat(files->fd, oldest->name, 0) < 0 && errno != ENOENT)
		log_warning(files->log, "context: cannot remove %s/%s: %s", files->dir, oldest->name,
			    strerror(errno));
	files->bytes -= oldest->size;
	files->first = (files->first + 1) % SINK_CONTEXT_FILES_MAX;
	files->n--;
}

/* Room for one more of @size bytes. */
static void
make_room(struct context_files *files, uint64_t size)
{
	while (files->n > 0 && (files->n == SINK_CONTEXT_FILES_MAX ||
				files->bytes + size > SINK_CONTEXT_BYTES_MAX))
		drop_oldest(files);
}

static void
add_file(struct context_files *files, const char *name, uint64_t size)
{
	struct context_file *file =
		&files->files[(files->first + files->n) % SINK_CONTEXT_FILES_MAX];

	(void)memccpy(file->name, name, 0, sizeof(file->name) - 1); /* is_ours: it fits */
	file->name[sizeof(file->name) - 1] = 0;
	file->size = size;
	files->bytes += size;
	files->n++;
}

/* Makes the directory where it is not there, and looks what daemons before have left in it. */
static int
open_dir(struct context_files *files)
{
	CLEANUP(freep) struct dirent **entries = NULL;
	CLEANUP(closep) int fd = -1;
	struct stat st;
	int n;

	if (mkdir(files->dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(files->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return -EPERM; /* others could put files and links there */
	n = scandirat(fd, ".", &entries, is_ours, alphasort);
	if (n < 0)
		return -errno;
	files->fd = TAKE_FD(fd);
	for (int i = 0; i < n; i++) {
		if (fstatat(files->fd, entries[i]->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			make_room(files, (uint64_t)st.st_size);
			add_file(files, entries[i]->d_name, (uint64_t)st.st_size);
		}
		free(entries[i]);
	}
	return 0;
}

static int
write_file(struct context_files *files, const char *name, const char *bytes, size_t size)
{
	CLEANUP(closep) int fd = -1;
	size_t at = 0;

	fd = openat(files->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	while (at < size) {
		ssize_t n = write(fd, bytes + at, size - at);
		int r = n < 0 ? -errno : 0;

		if (r == -EINTR)
			continue;
		if (r < 0) { /* half a file is none */
			(void)unlinkat(files->fd, name, 0);
			return r;
		}
		at += (size_t)n;
	}
	add_file(files, name, size);
	return 0;
}

/* An item is the name, its NUL, and what is to stand in the file. */
static int
context_write(void *data, const struct iovec *items, size_t n_items)
{
	struct context_files *files = data;
	const char *name = items[0].iov_base;
	size_t skipped = strnlen(name, items[0].iov_len) + 1, size;
	int r = 0;

	(void)n_items; /* at least 1 */
	if (skipped > items[0].iov_len)
		return -EBADMSG;
	size = items[0].iov_len - skipped;
	if (files->fd < 0)
		r = open_dir(files);
	if (r == 0) {
		make_room(files, size);
		r = write_file(files, name, name + skipped, size);
	}
	if (r < 0)
		log_warning(files->log, "context: %s/%s could not be written: %s", files->dir, name,
			    strerror(-r));
	return 1;
}

static void
context_close(void *data)
{
	struct context_files *files = data;

	if (files->fd >= 0)
		(void)close(files->fd);
	free(files->dir);
	free(files);
}

static const struct sink_ops context_ops = {
	.name = "context",
	.write = context_write,
	.close = context_close,
};

int
sink_context_new(struct sink **ret, const char *dir, struct log *log)
{
	const struct sink_options options = {
		.queue_size = SINK_CONTEXT_QUEUE, .notify_fd = -1, .log = log};
	struct context_files *files = calloc(1, sizeof(*files));
	int r = -ENOMEM;

	if (files == NULL)
		return r;
	files->fd = -1;
	files->log = log;
	files->dir = strdup(dir);
	if (files->dir != NULL)
		r = sink_new(ret, &context_ops, files, &options);
	if (r < 0) {
		free(files->dir);
		free(files);
	}
	return r;
}

bool
sink_context_push(struct sink *sink, const struct report *report, const struct buf *line,
		  char ret_name[SINK_CONTEXT_NAME_MAX])
{
	time_t seconds = (time_t)(report->time_ns / 1000000000u);
	char when[32];
	struct buf item;
	struct tm tm;
	bool ok;

	if (line->failed || gmtime_r(&seconds, &tm) == NULL ||
	    strftime(when, sizeof(when), "%Y%m%dT%H%M%S", &tm) == 0)
		return false;
	(void)snprintf(ret_name, SINK_CONTEXT_NAME_MAX, "%s.%09lluZ-%llu" SUFFIX, when,
		       (unsigned long long)(report->time_ns % 1000000000u),
		       (unsigned long long)report->seq);
	buf_init(&item);
	buf_add(&item, ret_name, strlen(ret_name) + 1);
	buf_add(&item, line->data, line->len);
	ok = !item.failed && sink_push(sink, item.data, item.len, 0, true);
	buf_fini(&item);
	return ok;
}
