/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allocator that fails once, for tests/e2e/test_faults.py: preloaded into the daemon, alone.
 *
 *   FAIL_MALLOC_AT     the number of the allocation that gets nothing, from 1 on
 *   FAIL_MALLOC_COUNT  a file that is told at the end how many there were
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

static _Atomic unsigned long n_allocations, fail_at;

__attribute__((constructor)) static void
begin(void)
{
	const char *at = getenv("FAIL_MALLOC_AT");

	fail_at = at != NULL ? strtoul(at, NULL, 10) : 0;
	(void)unsetenv("LD_PRELOAD"); /* not for what the daemon starts */
	n_allocations = 0;
}

__attribute__((destructor)) static void
end(void)
{
	const char *path = getenv("FAIL_MALLOC_COUNT");
	FILE *out = path != NULL ? fopen(path, "w") : NULL;

	if (out == NULL)
		return;
	(void)fprintf(out, "%lu\n", n_allocations);
	(void)fclose(out);
}

static bool
fails(void)
{
	if (++n_allocations != fail_at)
		return false;
	errno = ENOMEM;
	return true;
}

void *
malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *old, size_t size)
{
	return fails() ? NULL : __libc_realloc(old, size);
}
