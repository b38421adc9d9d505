/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the agent gets in and what it leaves behind: the ELF constructor runs before main under
 * LD_PRELOAD, and at import where the library is loaded as a module. Where there is no Python it
 * does nothing. The hook is registered before the interpreter starts, so that it sees start files
 * and works under -I, -S and -E alike.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "link.h"

struct agent agent = {.socket = {.fd = -1}, .memfd = {.fd = -1}};

/* A page of its own, wiped by the kernel in forked children however they were forked. */
static union {
	struct agent_life life;
	char page[4096];
} life_page __attribute__((aligned(4096)));
struct agent_life *agent_life = &life_page.life;

/*
 * PySys_AddAuditHook allocates its list entry with the raw allocator of the moment. Registered
 * before -X dev or PYTHONMALLOC=debug put theirs in place, the entry would later be freed by an
 * allocator that did not make it, which aborts. So the entry's address is noted, and when the
 * interpreter clears its hooks, that one pointer goes back to where it came from.
 */
static struct {
	struct py_allocator at_start; /* raw allocator when the hook was added */
	struct py_allocator at_end;   /* and when the list was cleared */
	void *entry;
} entry;

static void *
noting_malloc(void *ctx, size_t size)
{
	entry.entry = entry.at_start.malloc(ctx, size);
	return entry.entry;
}

static void *
later_malloc(void *ctx, size_t size)
{
	return entry.at_end.malloc(ctx, size);
}

static void *
later_calloc(void *ctx, size_t n, size_t size)
{
	return entry.at_end.calloc(ctx, n, size);
}

static void *
later_realloc(void *ctx, void *p, size_t size)
{
	return entry.at_end.realloc(ctx, p, size);
}

static void
sorting_free(void *ctx, void *p)
{
	if (p == entry.entry && p != NULL) {
		entry.entry = NULL;
		entry.at_start.free(entry.at_start.ctx, p);
		return;
	}
	entry.at_end.free(ctx, p);
}

static int
add_hook(void)
{
	struct py_allocator noting;
	int r;

	python.PyMem_GetAllocator(PY_DOMAIN_RAW, &entry.at_start);
	noting = entry.at_start;
	noting.malloc = noting_malloc;
	python.PyMem_SetAllocator(PY_DOMAIN_RAW, &noting);
	r = python.PySys_AddAuditHook(hook_event, NULL);
	python.PyMem_SetAllocator(PY_DOMAIN_RAW, &entry.at_start);
	return r;
}

void
agent_hooks_cleared(void)
{
	struct py_allocator sorting;

	if (entry.entry == NULL)
		return;
	python.PyMem_GetAllocator(PY_DOMAIN_RAW, &entry.at_end);
	if (memcmp(&entry.at_end, &entry.at_start, sizeof(entry.at_end)) == 0)
		return;
	sorting = (struct py_allocator){entry.at_end.ctx, later_malloc, later_calloc, later_realloc,
					sorting_free};
	python.PyMem_SetAllocator(PY_DOMAIN_RAW, &sorting);
}

/* For kernels without MADV_WIPEONFORK. */
static void
wipe_in_child(void)
{
	memset(&life_page.life, 0, sizeof(life_page.life));
}

__attribute__((constructor)) static void
agent_start(void)
{
	const char *disable = getenv(PYAUDIT_ENV_DISABLE);
	const char *dir;

	if (!python_find())
		return;
	if (disable != NULL && disable[0] != '\0')
		return;
	dir = getenv(PYAUDIT_ENV_DIR);
	if (dir == NULL || dir[0] != '/')
		dir = PYAUDIT_DIR_DEFAULT;
	if (strlen(dir) >= sizeof(agent.dir))
		return;
	memcpy(agent.dir, dir, strlen(dir) + 1);
	agent.route = python.Py_IsInitialized() ? PYAUDIT_ROUTE_IMPORT : PYAUDIT_ROUTE_PRELOAD;
	atomic_store(&agent.generation, &agent.no_generation);
	if (madvise(&life_page, sizeof(life_page), MADV_WIPEONFORK) != 0 &&
	    pthread_atfork(NULL, NULL, wipe_in_child) != 0)
		return;
	agent_life->epoch = (uint32_t)getpid();
	link_attach(PYAUDIT_REASON_START);
	if (atomic_load(&agent.policy) != NULL)
		atomic_store(&agent_life->attached, 1);
	(void)add_hook();
}
