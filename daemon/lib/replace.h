/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that others read while we write them: written beside, as PATH.new, then renamed, so that a reader finds one
 * state or another and never a part. Not synced.
 */
#ifndef LIB_REPLACE_H
#define LIB_REPLACE_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/* All of it. 0 or a negative errno. */
int write_all(int fd, const void *bytes, size_t size);

/* Puts the parts, one behind the other, in the place of what stands at @path; with @mode, whatever our umask.
 * 0 or a negative errno, and then nothing has changed. */
int replace_file(const char *path, mode_t mode, const struct iovec *parts, size_t n_parts);

#endif
