/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a process a Python, and is the agent in it? By what /proc shows: the program's name, and what
 * is mapped. Shared by the daemon, which looks at units that should be watched, and by
 * `pyauditctl ps`, which looks at everything.
 */
#ifndef LIB_CENSUS_H
#define LIB_CENSUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CENSUS_EXE_MAX 4096
#define CENSUS_MAPS_MAX (4u << 20) /* bytes of a process's map that are read */
#define CENSUS_WHY_MAX 512
#define CENSUS_DROPIN "50-pyaudit.conf"

enum census_state {
	CENSUS_GONE,    /* it has ended, or is a thread of the kernel */
	CENSUS_OTHER,   /* no Python */
	CENSUS_HIDDEN,  /* may not be looked into; perhaps a Python */
	CENSUS_FORKED,  /* a child of a watched process that has done nothing yet worth telling */
	CENSUS_LOADED,  /* the agent's library is there, but it has no ring */
	CENSUS_WITHOUT, /* a Python without the agent's library */
};

struct census {
	enum census_state state;
	bool is_named;     /* python in its program's name, not only in what it loaded */
	bool is_cpython;   /* not PyPy and the like */
	bool has_linker;   /* not a static program */
	char exe[CENSUS_EXE_MAX];
};

/* @deep: also a program of another name is read whether it has loaded libpython. */
void census_look(struct census *ret, const char *proc, pid_t pid, bool deep);

/* Why it is not watched, as a word for programs and a sentence for people. @dir is the daemon's
 * runtime directory. */
const char *census_why(const struct census *census, const char *proc, pid_t pid, const char *dir,
		       char ret[CENSUS_WHY_MAX]);

/* Whether @unit has a drop-in of `pyauditctl enable` below @dropins, or its template has. It began to
 * count at *ret_since_ns, CLOCK_REALTIME. */
bool census_is_enabled(const char *dropins, const char *unit, uint64_t *ret_since_ns);

/* When a process started, CLOCK_REALTIME, or 0. */
uint64_t census_started_ns(const char *proc, pid_t pid);

/* Whether the name of a program is that of a Python. */
bool census_is_python_name(const char *name, bool *ret_cpython);

#endif
