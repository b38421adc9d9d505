/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a program to its end, bounded in time and output, and hands over what it wrote. */
#ifndef CTL_SPAWN_H
#define CTL_SPAWN_H

#include <stddef.h>

#define SPAWN_OUTPUT_MAX (256u << 10) /* of each stream; what is beyond is read and dropped */

struct spawn_result {
	int status;      /* of waitpid */
	char *out, *err; /* NUL terminated, never NULL */
	size_t out_len, err_len;
};

/* @argv[0] is looked for in PATH. @preload replaces LD_PRELOAD for it; NULL takes that away. Its
 * standard input is empty. 0; -ETIMEDOUT, when it was killed; or another negative errno (the
 * program is not there: -ENOENT). The result is to be freed in any case. */
int spawn_run(const char *const *argv, const char *preload, int timeout_ms,
	      struct spawn_result *ret);
void spawn_result_fini(struct spawn_result *result);

#endif
