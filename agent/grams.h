/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the texts of a table of grams (include/pyaudit/policy.h) anywhere in a value. libc only. */
#ifndef AGENT_GRAMS_H
#define AGENT_GRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pyaudit/policy.h"

/* Calls @found with the rules of each text that is there, perhaps more than once. @grams is a table of a
 * checked image, whose bytes are @base. */
void pyaudit_grams_scan(const uint8_t *base, const struct pyaudit_grams *grams, const char *s, size_t len,
			void (*found)(void *data, const struct pyaudit_list *rules), void *data);

/* Bytes that one look with vectors of 32 wants at least. */
#define PYAUDIT_ONE_LOOK_32 35

/* Whether it is seen at once that none of the texts is there, and that @s begins with no dot and no slash of it stands
 * before a slash or a dot: nothing is to be normalised but slashes at its end. No may be wrong, and is the answer where
 * the processor has no vectors of 32; where it has none of 64, also for less than PYAUDIT_ONE_LOOK_32 bytes and for
 * such as are not ASCII. */
bool pyaudit_grams_none_in_path(const uint8_t *base, const struct pyaudit_grams *grams, const char *s, size_t len);

#endif
