/* SPDX-License-Identifier: Apache-2.0 */
/* What first-seen rules remember, as a file: replaced as a whole, and refused as a whole where damaged. */
#ifndef LIB_MEMORY_FILE_H
#define LIB_MEMORY_FILE_H

#include "keyhash.h"

struct memory_file {
	struct keyhash_secret secret; /* the keys are hashed with it: the file is its owner's alone */
	struct memory_file_seen {
		struct keyhash key;
		uint64_t seen_s;
	} *seen; /* longest unused first */
	size_t n;
};

/* 0 (the caller frees seen); -ENOENT; -EBADMSG: not such a file, damaged, or larger than @max; or another
 * negative errno. */
int memory_file_read(struct memory_file *ret, const char *path, size_t max);
int memory_file_write(const struct memory_file *file, const char *path);

#endif
