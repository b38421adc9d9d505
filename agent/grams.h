/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the texts of a table of grams (include/pyaudit/policy.h) anywhere in a value. libc only. */
#ifndef AGENT_GRAMS_H
#define AGENT_GRAMS_H

#include <stddef.h>
#include <stdint.h>

#include "pyaudit/policy.h"

/* By how many bytes at a time a value may be searched; what the processor has not is not used. */
enum pyaudit_vectors {
	PYAUDIT_VECTORS_UNKNOWN, /* not asked yet */
	PYAUDIT_VECTORS_NONE,
	PYAUDIT_VECTORS_16,
	PYAUDIT_VECTORS_32,
};

/* What this processor has; asked once. */
enum pyaudit_vectors pyaudit_vectors(void);
/* For tests: less than it has, until set again. */
void pyaudit_vectors_limit(enum pyaudit_vectors most);

/* Calls @found with the rules of each text that is there, perhaps more than once. @grams is a table of a
 * checked image, whose bytes are @base. */
void pyaudit_grams_scan(const uint8_t *base, const struct pyaudit_grams *grams, const char *s, size_t len,
			void (*found)(void *data, const struct pyaudit_list *rules), void *data);

#endif
