/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of what first-seen rules remember: any bytes are read, or refused as a whole. Where the first byte
 * is odd its sum is set right, for that keeps out accidents only. What was read is written, and is the same.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD 48u /* magic, secret, number of entries, sum */
#define LINE 24u
#define ENTRIES_MAX 64u

static char path[128], copy_path[140];

static void
remove_files(void)
{
	(void)unlink(path);
	(void)unlink(copy_path);
}

static void
write_file(const uint8_t *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	(void)close(fd);
}

static void
set_right(uint8_t *bytes, size_t size)
{
	struct keyhash_secret secret;
	pyaudit_le64 word[2];
	struct keyhash sum;

	memcpy(bytes, "PYASEEN1", 8);
	memcpy(word, bytes + 8, sizeof(word));
	secret.word[0] = pyaudit_get64(word[0]);
	secret.word[1] = pyaudit_get64(word[1]);
	word[0] = pyaudit_le64_of((size - HEAD) / LINE);
	memcpy(bytes + 24, word, sizeof(word[0]));
	sum = keyhash_of(&secret, bytes + HEAD, size - HEAD);
	word[0] = pyaudit_le64_of(sum.a);
	word[1] = pyaudit_le64_of(sum.b);
	memcpy(bytes + 32, word, sizeof(word));
}

static void
write_again(const struct memory_file *file)
{
	struct memory_file copy;

	assert(memory_file_write(file, copy_path) == 0);
	assert(memory_file_read(&copy, copy_path, ENTRIES_MAX) == 0);
	assert(copy.n == file->n);
	assert(file->n == 0 || memcmp(copy.seen, file->seen, file->n * sizeof(*file->seen)) == 0);
	free(copy.seen);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory_file file = {0};
	struct memory *memory;
	uint8_t *bytes;
	int r;

	if (path[0] == '\0') {
		const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

		(void)snprintf(path, sizeof(path), "%s/pyaudit-fuzz-seen.%d", dir, (int)getpid());
		(void)snprintf(copy_path, sizeof(copy_path), "%s.copy", path);
		(void)atexit(remove_files);
	}
	bytes = malloc(size + 1);
	if (bytes == NULL)
		abort();
	if (size > 0)
		memcpy(bytes, data, size);
	if (size >= HEAD && (data[0] & 1) != 0)
		set_right(bytes, size);
	write_file(bytes, size);
	free(bytes);
	r = memory_file_read(&file, path, ENTRIES_MAX);
	assert(r == 0 || r == -EBADMSG);
	if (r == 0) {
		assert(file.n <= ENTRIES_MAX);
		write_again(&file);
		free(file.seen);
	}
	memory = memory_new();
	if (memory == NULL)
		abort();
	r = memory_load(memory, path);
	assert(r == 0 || r == -EBADMSG);
	assert(memory_stats(memory).n_seen <= MEMORY_SEEN_MAX);
	memory_free(memory);
	return 0;
}
