/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PySys_AddAuditHook allocates its list entry with the raw allocator of the moment. Registered
 * before -X dev or PYTHONMALLOC=debug put theirs in place, the entry would later be freed by an
 * allocator that did not make it, which aborts. So the entry's address is noted, and when the
 * interpreter clears its hooks, that one pointer goes back to where it came from.
 *
 * The noted address serves another end: an entry is { next, function, data }
 * (Include/internal/pycore_runtime.h, 3.8 to 3.15), and a new one goes to the end of the list. So
 * an entry that was the first stays where _PyRuntime points, and whoever unhooks us, by ctypes or
 * by /proc/self/mem, changes one of these words. They are compared at the acts of the libc layer,
 * and by the daemon from outside.
 */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "registration.h"

static struct {
	struct py_allocator at_start; /* raw allocator when the hook was added */
	struct py_allocator at_end;   /* and when the list was cleared */
	void *address;
	void *const *head; /* pointer to the first entry, in _PyRuntime; NULL: ours was not first */
} entry;

static _Atomic(enum pyaudit_hook_state) state;

/* Other threads may allocate meanwhile, where the interpreter is up already. */
static _Thread_local bool registering;

static void *
noting_malloc(void *ctx, size_t size)
{
	void *p = entry.at_start.malloc(ctx, size);

	if (registering)
		entry.address = p;
	return p;
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
	if (p == entry.address && p != NULL) {
		entry.address = NULL;
		entry.at_start.free(entry.at_start.ctx, p);
		return;
	}
	entry.at_end.free(ctx, p);
}

/* Where _PyRuntime holds the pointer to our entry: it is the first. */
static void *const *
find_head(void)
{
	void *const *runtime = python._PyRuntime;

	for (size_t i = 0; runtime != NULL && i < python.runtime_size / sizeof(*runtime); i++)
		if (runtime[i] == entry.address)
			return &runtime[i];
	return NULL;
}

static py_hook_fn
function_of(const void *address)
{
	py_hook_fn function;

	memcpy(&function, (const char *)address + sizeof(void *), sizeof(function));
	return function;
}

/* In a forked child the ring is still its parent's until it has one of its own. */
static void
enter(enum pyaudit_hook_state now)
{
	atomic_store(&state, now);
	if (agent.ring != NULL && agent.pid == (uint32_t)getpid())
		registration_tell(agent.ring);
}

void
registration_add(void)
{
	struct py_allocator noting;

	python.PyMem_GetAllocator(PY_DOMAIN_RAW, &entry.at_start);
	if (entry.at_start.malloc == later_malloc) { /* what an earlier life left in place */
		python.PyMem_SetAllocator(PY_DOMAIN_RAW, &entry.at_end);
		entry.at_start = entry.at_end;
	}
	noting = entry.at_start;
	noting.malloc = noting_malloc;
	entry.address = NULL;
	entry.head = NULL;
	registering = true;
	python.PyMem_SetAllocator(PY_DOMAIN_RAW, &noting);
	(void)python.PySys_AddAuditHook(hook_event, NULL);
	registering = false;
	python.PyMem_SetAllocator(PY_DOMAIN_RAW, &entry.at_start);
	/* A hook that was there before may refuse ours, and then this call says 0 as well. */
	if (entry.address == NULL || function_of(entry.address) != hook_event) {
		entry.address = NULL;
		enter(PYAUDIT_HOOK_REFUSED);
		return;
	}
	entry.head = find_head();
	enter(PYAUDIT_HOOK_LISTED);
}

enum pyaudit_hook_state
registration_state(void)
{
	return atomic_load_explicit(&state, memory_order_relaxed);
}

void
registration_cleared(void)
{
	struct py_allocator sorting;

	entry.head = NULL;
	enter(PYAUDIT_HOOK_NONE);
	if (entry.address == NULL)
		return;
	python.PyMem_GetAllocator(PY_DOMAIN_RAW, &entry.at_end);
	if (memcmp(&entry.at_end, &entry.at_start, sizeof(entry.at_end)) == 0)
		return;
	sorting = (struct py_allocator){entry.at_end.ctx, later_malloc, later_calloc, later_realloc,
					sorting_free};
	python.PyMem_SetAllocator(PY_DOMAIN_RAW, &sorting);
}

void
registration_tell(struct pyaudit_ring *ring)
{
	py_hook_fn function = hook_event;
	uint64_t word = 0;

	static_assert(sizeof(function) <= sizeof(word), "a function's address fits");
	memcpy(&word, &function, sizeof(function));
	/* Unsaid before it changes, said when it is whole: the daemon looks at any time. */
	atomic_store(&ring->hook_state, PYAUDIT_HOOK_NONE);
	atomic_store(&ring->hook_head, (uint64_t)(uintptr_t)entry.head);
	atomic_store(&ring->hook_entry, (uint64_t)(uintptr_t)entry.address);
	atomic_store(&ring->hook_function, word);
	atomic_store(&ring->hook_state, registration_state());
}

bool
registration_holds(void)
{
	void *const *head = entry.head;
	const void *address = entry.address;

	if (head == NULL || address == NULL || registration_state() != PYAUDIT_HOOK_LISTED)
		return true;
	return *(void *const volatile *)head == address && function_of(address) == hook_event;
}
