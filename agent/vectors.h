/* SPDX-License-Identifier: Apache-2.0 */
/* What the processor can do with many bytes at a time. libc only. */
#ifndef AGENT_VECTORS_H
#define AGENT_VECTORS_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes that one instruction can look up in a table of 16. */
enum pyaudit_vectors {
	PYAUDIT_VECTORS_UNKNOWN, /* not asked yet */
	PYAUDIT_VECTORS_NONE,
	PYAUDIT_VECTORS_16,
	PYAUDIT_VECTORS_32,
	PYAUDIT_VECTORS_64, /* and in one of 64 */
};

/* What this processor has; asked once. */
enum pyaudit_vectors pyaudit_vectors(void);
/* For tests: less than it has, until set again. */
void pyaudit_vectors_limit(enum pyaudit_vectors most);

/* Is there a slash before a slash or a dot? Where there are vectors of 32; of 33 bytes at least. */
bool pyaudit_odd_slashes_32(const char *s, size_t len);
/* Where there are vectors of 64; of any text. */
bool pyaudit_odd_slashes_64(const char *s, size_t len);

#endif
