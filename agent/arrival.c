/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways in. Under LD_PRELOAD the ELF constructor runs before main: where the program is Python,
 * or was linked with libpython, the hook is registered before the interpreter starts, so that it
 * sees start files and works under -I, -S and -E alike. Loaded as a module (from a .pth line), the
 * constructor runs at import.
 *
 * A program may load libpython later (uwsgi, mod_wsgi, an application with plugins), and one that
 * ended its interpreter may initialise it again, with an empty list of hooks. Both are met in
 * setlocale, which Py_PreInitialize calls in every version before the first event
 * (Python/preconfig.c) and which programs call seldom. dlopen would be the obvious place, but it
 * acts for its caller, whose address an interposer changes.
 *
 * Several copies in one process (preloaded and imported) act as one: see others_are_here.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "follow.h"
#include "registration.h"

#define EXPORTED __attribute__((visibility("default")))
#define NOTE_NAME "pyaudit"
#define NOTE_TYPE_AGENT 1

/* By this note copies of the agent know each other: elf(5), "Notes". */
static const struct {
	ElfW(Nhdr) head;
	char name[sizeof(NOTE_NAME)];
} note __attribute__((section(".note.pyaudit"), used, aligned(4))) = {
	{sizeof(NOTE_NAME), 0, NOTE_TYPE_AGENT}, NOTE_NAME};

/* The note of this kind in @bytes, or NULL. */
static const char *
find_note(const char *bytes, size_t size)
{
	while (size >= sizeof(note.head)) {
		ElfW(Nhdr) head;
		size_t length;

		memcpy(&head, bytes, sizeof(head));
		length = sizeof(head) + ((head.n_namesz + 3ul) & ~3ul) + ((head.n_descsz + 3ul) & ~3ul);
		if (length > size)
			return NULL;
		if (head.n_type == NOTE_TYPE_AGENT && head.n_namesz == sizeof(NOTE_NAME) &&
		    memcmp(bytes + sizeof(head), NOTE_NAME, sizeof(NOTE_NAME)) == 0)
			return bytes;
		bytes += length;
		size -= length;
	}
	return NULL;
}

/* @data: do those below us in memory count alone? */
static int
is_other_copy(struct dl_phdr_info *info, size_t size, void *data)
{
	const bool *below = data;

	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];
		union {
			uintptr_t address;
			const char *bytes;
		} at = {info->dlpi_addr + part->p_vaddr};
		const char *found;

		if (part->p_type != PT_NOTE)
			continue;
		found = find_note(at.bytes, part->p_memsz);
		if (found != NULL && found != (const char *)&note &&
		    (!*below || found < (const char *)&note))
			return 1;
	}
	return 0;
}

/* A copy that comes into a running interpreter leaves the field to the one that was there before;
 * of two that are preloaded, the lower one acts. */
static bool
others_are_here(enum pyaudit_route route)
{
	bool below = route != PYAUDIT_ROUTE_IMPORT;

	return dl_iterate_phdr(is_other_copy, &below) != 0;
}

struct look {
	unsigned long long adds; /* objects loaded so far when last looked, one more than counted */
	char path[PATH_MAX];     /* of a libpython that is there */
};

static bool
is_libpython(const char *path)
{
	static const char prefix[] = "libpython3";
	const char *slash = strrchr(path, '/');

	return strncmp(slash != NULL ? slash + 1 : path, prefix, sizeof(prefix) - 1) == 0;
}

static int
find_libpython(struct dl_phdr_info *info, size_t size, void *data)
{
	struct look *look = data;

	(void)size;
	if (look->adds == info->dlpi_adds + 1 || info->dlpi_name == NULL)
		return 1; /* nothing was loaded since */
	if (!is_libpython(info->dlpi_name) || strlen(info->dlpi_name) >= sizeof(look->path))
		return 0;
	memcpy(look->path, info->dlpi_name, strlen(info->dlpi_name) + 1);
	return 1;
}

static int
count_loaded(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	*(unsigned long long *)data = info->dlpi_adds + 1;
	return 1;
}

/* Where libpython came by dlopen. The handle stays, so that it is not unloaded under us. */
static void
look_for_python(enum pyaudit_route route)
{
	static unsigned long long adds;
	struct look look = {.adds = adds};
	void *library = NULL;

	(void)dl_iterate_phdr(find_libpython, &look);
	(void)dl_iterate_phdr(count_loaded, &adds);
	if (look.path[0] != '\0')
		library = dlopen(look.path, RTLD_LAZY | RTLD_NOLOAD);
	if (library != NULL && (others_are_here(route) || !agent_begin(library, route)))
		(void)dlclose(library);
}

/* Called with nothing registered: an interpreter may be about to start. */
static __attribute__((noinline)) void
meet_python(void)
{
	static atomic_flag busy = ATOMIC_FLAG_INIT;
	int saved_errno = errno;

	if (atomic_flag_test_and_set(&busy))
		return;
	if (python.PySys_AddAuditHook == NULL)
		look_for_python(PYAUDIT_ROUTE_LATE);
	else if (agent.route != 0 && !python.Py_IsInitialized() &&
		 registration_state() == PYAUDIT_HOOK_NONE)
		registration_add();
	atomic_flag_clear(&busy);
	errno = saved_errno;
}

EXPORTED char *
setlocale(int category, const char *locale)
{
	static _Atomic(void *) found;
	union {
		void *found;
		char *(*call)(int, const char *);
	} real = {atomic_load_explicit(&found, memory_order_relaxed)};

	if (registration_state() == PYAUDIT_HOOK_NONE)
		meet_python();
	if (real.found == NULL) {
		real.found = dlsym(RTLD_NEXT, "setlocale");
		atomic_store_explicit(&found, real.found, memory_order_relaxed);
	}
	return real.found != NULL ? real.call(category, locale) : NULL;
}

/* Whether an interpreter runs already. From 3.15 on it calls itself initialised only when site is done, which is
 * what runs .pth lines; but this thread has a thread state long before. */
static bool
interpreter_runs(void)
{
	int (*is_initialized)(void);
	void *(*thread_state)(void);
	void *found = dlsym(RTLD_DEFAULT, "Py_IsInitialized");

	memcpy(&is_initialized, &found, sizeof(found));
	if (found != NULL && is_initialized())
		return true;
	found = dlsym(RTLD_DEFAULT, "PyThreadState_GetUnchecked");
	memcpy(&thread_state, &found, sizeof(found));
	return found != NULL && thread_state() != NULL;
}

__attribute__((constructor)) static void
arrive(void)
{
	enum pyaudit_route route = PYAUDIT_ROUTE_PRELOAD;
	bool preloaded;

	if (&environ == NULL)
		return; /* without libc there is nothing to call, and no Python */
	preloaded = follow_arrive();
	if (python_is_linked()) {
		if (interpreter_runs())
			route = PYAUDIT_ROUTE_IMPORT;
		if (!others_are_here(route))
			(void)agent_begin(NULL, route);
	} else if (!preloaded) {
		/* Most likely we were loaded by an interpreter that is hidden in a program. */
		look_for_python(PYAUDIT_ROUTE_IMPORT);
	}
}
