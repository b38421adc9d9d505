/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fstat and its kin by system call: as functions libc has them since 2.33 only, and a host's library is mounted into
 * containers whose libc may be older.
 */
#ifndef AGENT_STATUS_H
#define AGENT_STATUS_H

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int
status_call(int dirfd, const char *path, struct stat *ret, int flags)
{
#if defined(__x86_64__) || defined(__aarch64__)
	/* Here libc's struct is the kernel's. */
	return (int)syscall(SYS_newfstatat, dirfd, path, ret, flags);
#else
	return fstatat(dirfd, path, ret, flags);
#endif
}

static inline int
status_at(int dirfd, const char *path, struct stat *ret)
{
	return status_call(dirfd, path, ret, 0);
}

static inline int
status_of(int fd, struct stat *ret)
{
	return status_call(fd, "", ret, AT_EMPTY_PATH);
}

#endif
