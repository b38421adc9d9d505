/* SPDX-License-Identifier: Apache-2.0 */
#include "spool.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

#define SEGMENT_MAGIC 0x53415950u /* "PYAS" */
#define SEGMENT_VERSION 1
#define ITEM_MAGIC 0x49415950u /* "PYAI" */

/* Native integers: a spool is read on the machine that wrote it. */
struct segment_head {
	uint32_t magic, version;
	uint64_t read; /* offset of the first item that is not written yet */
};

struct item_head {
	uint32_t magic, size;
	uint64_t weight;
	uint32_t reserved, sum;
};
static_assert(sizeof(struct item_head) == 24, "item head layout");

struct segment {
	uint64_t number, size, read;
	uint64_t n_items, weight; /* behind @read */
};

struct spool {
	char *dir, *name;
	uint64_t size_max, used, n_items, lost;
	struct segment segments[SPOOL_FILES_MAX]; /* oldest first */
	size_t n_segments;
	int read_fd, write_fd; /* of the oldest and the newest, or -1 */
	uint8_t *buffer;
	size_t buffer_size;
	struct item_head gathered[SPOOL_BATCH];
	size_t n_gathered;
	struct log *log;
};

static uint32_t
sum_of(const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint32_t sum = 2166136261u;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ at[i]) * 16777619u;
	return sum;
}

static bool
path_of(const struct spool *spool, uint64_t number, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s/%s.%020llu", spool->dir, spool->name,
			(unsigned long long)number) < PATH_MAX;
}

static int
open_segment(const struct spool *spool, uint64_t number, int flags)
{
	char path[PATH_MAX];
	int fd;

	if (!path_of(spool, number, path))
		return -ENAMETOOLONG;
	fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	return fd < 0 ? -errno : fd;
}

static void
unlink_segment(const struct spool *spool, uint64_t number)
{
	char path[PATH_MAX];

	if (path_of(spool, number, path))
		(void)unlink(path);
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static bool
head_is_sane(const struct item_head *head)
{
	return head->magic == ITEM_MAGIC && head->size <= SPOOL_ITEM_MAX;
}

/* Reads the whole of it or nothing. */
static bool
read_at(int fd, void *out, size_t size, uint64_t offset)
{
	while (size > 0) {
		ssize_t n = pread(fd, out, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		out = (char *)out + n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return true;
}

static bool
has_buffer(struct spool *spool, size_t size)
{
	uint8_t *larger;

	if (size <= spool->buffer_size)
		return true;
	larger = realloc(spool->buffer, size);
	if (larger == NULL)
		return false;
	spool->buffer = larger;
	spool->buffer_size = size;
	return true;
}

/* Counts what stands whole in a segment and cuts off the rest. False: nothing is left of it. */
static bool
check_segment(struct spool *spool, struct segment *segment, int fd)
{
	struct segment_head head;
	struct item_head item;
	struct stat st;
	uint64_t at;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    !read_at(fd, &head, sizeof(head), 0) || head.magic != SEGMENT_MAGIC ||
	    head.version != SEGMENT_VERSION || head.read < sizeof(head) ||
	    head.read > (uint64_t)st.st_size)
		return false;
	segment->read = at = head.read;
	while (read_at(fd, &item, sizeof(item), at) && head_is_sane(&item)) {
		if (!has_buffer(spool, item.size) ||
		    !read_at(fd, spool->buffer, item.size, at + sizeof(item)) ||
		    sum_of(spool->buffer, item.size) != item.sum)
			break;
		at += sizeof(item) + item.size;
		segment->n_items++;
		segment->weight += item.weight;
	}
	segment->size = at;
	if ((uint64_t)st.st_size > at) {
		log_warning(spool->log, "%s: the last %llu bytes of a file of the spool are no items: "
					"cut off", spool->name, (unsigned long long)((uint64_t)st.st_size - at));
		(void)!ftruncate(fd, (off_t)at);
	}
	return segment->n_items > 0;
}

static int
by_number(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* The files of our name, in their order. */
static void
list_segments(struct spool *spool)
{
	DIR *dir = opendir(spool->dir);
	size_t len = strlen(spool->name);
	const struct dirent *entry;

	while (dir != NULL && spool->n_segments < SPOOL_FILES_MAX && (entry = readdir(dir)) != NULL) {
		const char *number = entry->d_name + len + 1;

		if (strncmp(entry->d_name, spool->name, len) != 0 || entry->d_name[len] != '.' ||
		    strlen(number) != 20 || strspn(number, "0123456789") != 20)
			continue;
		spool->segments[spool->n_segments++] =
			(struct segment){.number = strtoull(number, NULL, 10)};
	}
	if (dir != NULL)
		(void)closedir(dir);
	if (spool->n_segments > 1)
		qsort(spool->segments, spool->n_segments, sizeof(spool->segments[0]), by_number);
}

/* What an earlier daemon left. */
static void
take_up(struct spool *spool)
{
	size_t n = 0;

	list_segments(spool);
	for (size_t i = 0; i < spool->n_segments; i++) {
		struct segment segment = spool->segments[i];
		int fd = open_segment(spool, segment.number, O_RDWR);

		if (fd < 0)
			continue;
		if (check_segment(spool, &segment, fd)) {
			spool->used += segment.size;
			spool->n_items += segment.n_items;
			spool->segments[n++] = segment;
		} else {
			unlink_segment(spool, segment.number);
		}
		(void)close(fd);
	}
	spool->n_segments = n;
	if (spool->n_items > 0)
		log_notice(spool->log, "%s: %llu items stand in the spool", spool->name,
			   (unsigned long long)spool->n_items);
}

int
spool_open(struct spool **ret, const char *dir, const char *name, uint64_t size_max, struct log *log)
{
	struct spool *spool;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (access(dir, R_OK | W_OK | X_OK) < 0)
		return -errno;
	spool = calloc(1, sizeof(*spool));
	if (spool == NULL)
		return -ENOMEM;
	spool->dir = strdup(dir);
	spool->name = strdup(name);
	spool->size_max = size_max < SPOOL_SIZE_MIN ? SPOOL_SIZE_MIN : size_max;
	spool->read_fd = spool->write_fd = -1;
	spool->log = log;
	if (spool->dir == NULL || spool->name == NULL || !has_buffer(spool, SPOOL_BUFFER)) {
		spool_close(spool);
		return -ENOMEM;
	}
	take_up(spool);
	*ret = spool;
	return 0;
}

void
spool_close(struct spool *spool)
{
	if (spool == NULL)
		return;
	close_fd(&spool->read_fd);
	close_fd(&spool->write_fd);
	free(spool->dir);
	free(spool->name);
	free(spool->buffer);
	free(spool);
}

uint64_t
spool_n_items(const struct spool *spool)
{
	return spool->n_items;
}

uint64_t
spool_used(const struct spool *spool)
{
	return spool->used;
}

unsigned
spool_percent(const struct spool *spool)
{
	return (unsigned)(spool->used * 100 / spool->size_max);
}

uint64_t
spool_take_lost(struct spool *spool)
{
	uint64_t lost = spool->lost;

	spool->lost = 0;
	return lost;
}

/* Another file at the end. */
static int
begin_segment(struct spool *spool)
{
	struct segment_head head = {SEGMENT_MAGIC, SEGMENT_VERSION, sizeof(head)};
	struct segment segment = {.number = 1, .size = sizeof(head), .read = sizeof(head)};
	ssize_t n;
	int fd;

	if (spool->n_segments == SPOOL_FILES_MAX)
		return SPOOL_E_FULL;
	if (spool->n_segments > 0)
		segment.number = spool->segments[spool->n_segments - 1].number + 1;
	fd = open_segment(spool, segment.number, O_RDWR | O_CREAT | O_TRUNC);
	if (fd < 0)
		return fd;
	n = pwrite(fd, &head, sizeof(head), 0);
	if (n != sizeof(head)) {
		int r = n < 0 ? -errno : -ENOSPC;

		(void)close(fd);
		unlink_segment(spool, segment.number);
		return r;
	}
	close_fd(&spool->write_fd);
	spool->write_fd = fd;
	spool->segments[spool->n_segments++] = segment;
	spool->used += segment.size;
	return 0;
}

static int
open_last_for(struct spool *spool, uint64_t room)
{
	size_t n = spool->n_segments;

	if (n == 0 || spool->segments[n - 1].size + room > spool->size_max / SPOOL_SEGMENTS)
		return begin_segment(spool);
	if (spool->write_fd < 0)
		spool->write_fd = open_segment(spool, spool->segments[n - 1].number, O_RDWR);
	return spool->write_fd < 0 ? spool->write_fd : 0;
}

int
spool_add(struct spool *spool, const void *bytes, size_t size, uint64_t weight, bool urgent)
{
	struct item_head head = {.magic = ITEM_MAGIC, .size = (uint32_t)size, .weight = weight};
	uint64_t limit = urgent ? spool->size_max : spool->size_max / 4 * 3;
	union {
		const void *in;
		void *out;
	} item = {.in = bytes};
	struct iovec iov[2] = {{&head, sizeof(head)}, {item.out, size}};
	uint64_t room = sizeof(head) + size;
	struct segment *last;
	ssize_t n;
	int r;

	if (size > SPOOL_ITEM_MAX || spool->used + room > limit)
		return SPOOL_E_FULL;
	r = open_last_for(spool, room);
	if (r != 0)
		return r;
	head.sum = sum_of(bytes, size);
	last = &spool->segments[spool->n_segments - 1];
	n = pwritev(spool->write_fd, iov, 2, (off_t)last->size);
	if (n != (ssize_t)room) {
		r = n < 0 ? -errno : -ENOSPC;
		(void)!ftruncate(spool->write_fd, (off_t)last->size);
		return r;
	}
	last->size += room;
	last->n_items++;
	last->weight += weight;
	spool->used += room;
	spool->n_items++;
	return SPOOL_TAKEN;
}

/* The oldest file is through, or cannot be read: what is left of it is lost. */
static void
drop_segment(struct spool *spool)
{
	struct segment *first = &spool->segments[0];

	close_fd(&spool->read_fd);
	if (spool->n_segments == 1)
		close_fd(&spool->write_fd);
	unlink_segment(spool, first->number);
	spool->used -= first->size;
	spool->n_items -= first->n_items;
	spool->lost += first->weight;
	spool->n_segments--;
	memmove(first, first + 1, spool->n_segments * sizeof(*first));
}

/* Items of the oldest file, from where it is read. */
static size_t
read_segment(struct spool *spool, struct iovec *iov, uint64_t *weights)
{
	struct segment *segment = &spool->segments[0];
	uint64_t left = segment->size - segment->read;
	struct item_head head;
	size_t at = 0, n = 0, size;

	if (spool->read_fd < 0)
		spool->read_fd = open_segment(spool, segment->number, O_RDWR);
	if (spool->read_fd < 0 || !read_at(spool->read_fd, &head, sizeof(head), segment->read) ||
	    !head_is_sane(&head) || !has_buffer(spool, sizeof(head) + head.size))
		return 0;
	size = left < spool->buffer_size ? (size_t)left : spool->buffer_size;
	if (!read_at(spool->read_fd, spool->buffer, size, segment->read))
		return 0;
	while (n < SPOOL_BATCH && size - at >= sizeof(head)) {
		memcpy(&head, spool->buffer + at, sizeof(head));
		if (!head_is_sane(&head) || head.size > size - at - sizeof(head) ||
		    sum_of(spool->buffer + at + sizeof(head), head.size) != head.sum)
			break;
		iov[n].iov_base = spool->buffer + at + sizeof(head);
		iov[n].iov_len = head.size;
		weights[n] = head.weight;
		spool->gathered[n++] = head;
		at += sizeof(head) + head.size;
	}
	return n;
}

size_t
spool_gather(struct spool *spool, struct iovec iov[SPOOL_BATCH], uint64_t weights[SPOOL_BATCH])
{
	spool->n_gathered = 0;
	while (spool->n_gathered == 0 && spool->n_segments > 0) {
		spool->n_gathered = read_segment(spool, iov, weights);
		if (spool->n_gathered > 0)
			break;
		log_error(spool->log, "%s: a file of the spool cannot be read, %llu items are lost",
			  spool->name, (unsigned long long)spool->segments[0].n_items);
		drop_segment(spool);
	}
	return spool->n_gathered;
}

void
spool_pop(struct spool *spool, size_t n)
{
	struct segment *segment = &spool->segments[0];

	assert(n <= spool->n_gathered && n <= segment->n_items);
	for (size_t i = 0; i < n; i++) {
		segment->read += sizeof(spool->gathered[i]) + spool->gathered[i].size;
		segment->weight -= spool->gathered[i].weight;
	}
	segment->n_items -= n;
	spool->n_items -= n;
	spool->n_gathered = 0;
	if (segment->read >= segment->size)
		drop_segment(spool);
	else if (pwrite(spool->read_fd, &segment->read, sizeof(segment->read),
			offsetof(struct segment_head, read)) < 0)
		log_warning(spool->log, "%s: cannot write to the spool: %s", spool->name,
			    strerror(errno));
}
