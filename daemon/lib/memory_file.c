/* SPDX-License-Identifier: Apache-2.0 */
#include "memory_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "replace.h"
#include "pyaudit/le.h"

static const char magic[8] = "PYASEEN1";

/* A head, then @n entries. */
struct head {
	char magic[8];
	pyaudit_le64 secret[2];
	pyaudit_le64 n;
	pyaudit_le64 sum[2]; /* keyhash of the entries with the secret */
};
static_assert(sizeof(struct head) == 48, "head size");

struct line {
	pyaudit_le64 key[2];
	pyaudit_le64 seen_s;
};
static_assert(sizeof(struct line) == 24, "entry size");

static int
read_all(int fd, void *bytes, size_t size)
{
	char *at = bytes;

	while (size > 0) {
		ssize_t n = read(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EBADMSG;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

int
memory_file_read(struct memory_file *ret, const char *path, size_t max)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	CLEANUP(freep) struct line *lines = NULL;
	struct memory_file file = {0};
	struct keyhash sum;
	struct head head;
	struct stat st;
	uint64_t n;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADMSG;
	r = read_all(fd, &head, sizeof(head));
	if (r < 0)
		return r;
	n = pyaudit_get64(head.n);
	if (memcmp(head.magic, magic, sizeof(magic)) != 0 || n > max ||
	    (uint64_t)st.st_size != sizeof(head) + n * sizeof(*lines))
		return -EBADMSG;
	lines = calloc(n + 1, sizeof(*lines));
	file.seen = calloc(n + 1, sizeof(*file.seen));
	if (lines == NULL || file.seen == NULL) {
		free(file.seen);
		return -ENOMEM;
	}
	r = read_all(fd, lines, n * sizeof(*lines));
	for (unsigned i = 0; i < 2; i++)
		file.secret.word[i] = pyaudit_get64(head.secret[i]);
	sum = keyhash_of(&file.secret, lines, n * sizeof(*lines));
	if (r == 0 && (sum.a != pyaudit_get64(head.sum[0]) || sum.b != pyaudit_get64(head.sum[1])))
		r = -EBADMSG;
	if (r < 0) {
		free(file.seen);
		return r;
	}
	for (; file.n < n; file.n++) {
		file.seen[file.n].key.a = pyaudit_get64(lines[file.n].key[0]);
		file.seen[file.n].key.b = pyaudit_get64(lines[file.n].key[1]);
		file.seen[file.n].seen_s = pyaudit_get64(lines[file.n].seen_s);
	}
	*ret = file;
	return 0;
}

int
memory_file_write(const struct memory_file *file, const char *path)
{
	CLEANUP(freep) struct line *lines = calloc(file->n + 1, sizeof(*lines));
	struct keyhash sum;
	struct head head = {.n = pyaudit_le64_of(file->n)};

	if (lines == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < file->n; i++) {
		lines[i].key[0] = pyaudit_le64_of(file->seen[i].key.a);
		lines[i].key[1] = pyaudit_le64_of(file->seen[i].key.b);
		lines[i].seen_s = pyaudit_le64_of(file->seen[i].seen_s);
	}
	memcpy(head.magic, magic, sizeof(magic));
	for (unsigned i = 0; i < 2; i++)
		head.secret[i] = pyaudit_le64_of(file->secret.word[i]);
	sum = keyhash_of(&file->secret, lines, file->n * sizeof(*lines));
	head.sum[0] = pyaudit_le64_of(sum.a);
	head.sum[1] = pyaudit_le64_of(sum.b);

	return replace_file(path, 0600,
			    (struct iovec[]){{&head, sizeof(head)}, {lines, file->n * sizeof(*lines)}}, 2);
}
