/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership by scope: CLEANUP(fn) releases a variable when it leaves its block, TAKE_PTR gives
 * its value away and leaves NULL behind. The helpers leave errno as found, so that a failing
 * function can return -errno past them.
 */
#ifndef LIB_CLEANUP_H
#define LIB_CLEANUP_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

#define TAKE_PTR(ptr)                                                                              \
	__extension__({                                                                            \
		__typeof__(ptr) *p_ = &(ptr);                                                      \
		__typeof__(ptr) v_ = *p_;                                                          \
		*p_ = NULL;                                                                        \
		v_;                                                                                \
	})

#define TAKE_FD(fd)                                                                                \
	__extension__({                                                                            \
		int *p_ = &(fd);                                                                   \
		int v_ = *p_;                                                                      \
		*p_ = -1;                                                                          \
		v_;                                                                                \
	})

/* For any pointer to memory of malloc: CLEANUP(freep) char *text. */
static inline void
freep(void *ptr)
{
	int saved_errno = errno;

	free(*(void **)ptr);
	errno = saved_errno;
}

static inline void
fclosep(FILE **file)
{
	int saved_errno = errno;

	if (*file != NULL)
		(void)fclose(*file);
	errno = saved_errno;
}

static inline void
closep(int *fd)
{
	int saved_errno = errno;

	if (*fd >= 0)
		(void)close(*fd);
	errno = saved_errno;
}

#endif
