/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the host that commands write: read whole within a bound, replaced by rename, so that a
 * reader sees the old or the new one and a crash leaves no half of either.
 */
#ifndef CTL_PLACE_H
#define CTL_PLACE_H

#include <stddef.h>
#include <sys/types.h>

#define PLACE_SIZE_MAX (1u << 20) /* of a file that is read */

/* The file's text, NUL terminated; the caller frees it. -EFBIG beyond PLACE_SIZE_MAX. */
int place_read(const char *path, char **ret_text, size_t *ret_len);

/* Makes or replaces a file. Mode and owner of one that is there are kept, @mode is for a new one. */
int place_write(const char *path, const char *text, size_t len, mode_t mode);

/* Makes the directory of @path and those above it. */
int place_make_parents(const char *path);

/* "ROOT/path" into a new string, or NULL without memory; @root may be "". */
char *place_below(const char *root, const char *path);

#endif
