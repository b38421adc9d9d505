/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit events and condition fields that both sides know, made from events.def and fields.def.
 * The tables themselves are in agent/events.c, which agent, daemon and tools link alike.
 */
#ifndef PYAUDIT_EVENTS_H
#define PYAUDIT_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Number of an event on the wire. 0 is an event that the table does not know: libraries and
 * programs raise their own; its record carries the name. */
enum pyaudit_event_id {
	PYAUDIT_EV_OTHER = 0,
#define PYAUDIT_EVENT(ident, ...) PYAUDIT_EV_##ident,
#include "pyaudit/events.def"
#undef PYAUDIT_EVENT
	PYAUDIT_N_EVENTS
};

enum pyaudit_field_id {
#define PYAUDIT_FIELD(ident, ...) PYAUDIT_F_##ident,
#include "pyaudit/fields.def"
#undef PYAUDIT_FIELD
	PYAUDIT_N_FIELDS
};

enum pyaudit_field_type {
	PYAUDIT_TYPE_STR,
	PYAUDIT_TYPE_INT,
	PYAUDIT_TYPE_BOOL,
	PYAUDIT_TYPE_LIST,
	PYAUDIT_TYPE_SEV,
	PYAUDIT_TYPE_IP,
};

enum pyaudit_field_scope {
	PYAUDIT_SCOPE_EVENT,
	PYAUDIT_SCOPE_ORIGIN,
	PYAUDIT_SCOPE_PROC,
	PYAUDIT_SCOPE_ALERT,
};

/* Classes gather the events of one kind. An event may be in several or in none. In rules they are
 * written @exec, @file, ...; @all is every event. NOISE is what normal programs raise thousands
 * of times a second and nobody acts on: "all" leaves it out, only its own name selects it. */
enum pyaudit_class {
	PYAUDIT_CLASS_EXEC = 1 << 0,
	PYAUDIT_CLASS_FILE = 1 << 1,
	PYAUDIT_CLASS_NETWORK = 1 << 2,
	PYAUDIT_CLASS_IMPORT = 1 << 3,
	PYAUDIT_CLASS_NATIVE = 1 << 4,
	PYAUDIT_CLASS_CODE = 1 << 5,
	PYAUDIT_CLASS_UNPICKLE = 1 << 6,
	PYAUDIT_CLASS_STARTUP = 1 << 7,
	PYAUDIT_CLASS_TAMPER = 1 << 8,
	PYAUDIT_CLASS_PROCESS = 1 << 9,
	PYAUDIT_CLASS_NOISE = 1 << 15,
};

#define PYAUDIT_N_CLASSES 10
extern const char *const pyaudit_class_names[PYAUDIT_N_CLASSES]; /* "exec", ... by bit */

enum pyaudit_how {
	PYAUDIT_HOW_NONE = 0,
	PYAUDIT_HOW_ARG,
	PYAUDIT_HOW_FIRST,
	PYAUDIT_HOW_SEARCH,
	PYAUDIT_HOW_SYSTEM,
	PYAUDIT_HOW_TRUE,
	PYAUDIT_HOW_OPEN,
	PYAUDIT_HOW_ADDRESS,
	PYAUDIT_HOW_CODE,
};

struct pyaudit_source {
	uint8_t field; /* enum pyaudit_field_id */
	uint8_t how;   /* enum pyaudit_how; NONE ends the list */
	uint8_t arg;
};

#define PYAUDIT_SOURCES_MAX 4

struct pyaudit_event_info {
	const char *name;
	uint16_t classes;
	const char *args; /* names, comma separated, "" for none */
	const char *first_version;
	const char *last_version;
};

struct pyaudit_field_info {
	const char *name;
	uint8_t type;  /* enum pyaudit_field_type */
	uint8_t scope; /* enum pyaudit_field_scope */
	const char *about;
};

extern const struct pyaudit_event_info pyaudit_events[PYAUDIT_N_EVENTS]; /* [0] has name NULL */
/* Which argument gives which field. Apart from the names, for the agent needs only this, and a
 * table without pointers costs nothing where the library is mapped. */
extern const struct pyaudit_source pyaudit_event_sources[PYAUDIT_N_EVENTS][PYAUDIT_SOURCES_MAX];
extern const struct pyaudit_field_info pyaudit_fields[PYAUDIT_N_FIELDS];

/* Acts that are two audit events: subprocess.Popen is followed by os.posix_spawn or, from 3.14 on,
 * _posixsubprocess.fork_exec, and pty.spawn, in a child, by os.exec (Lib/subprocess.py, Lib/pty.py). */
static inline bool
pyaudit_is_first_of_two(unsigned event)
{
	return event == PYAUDIT_EV_SUBPROCESS_POPEN || event == PYAUDIT_EV_PTY_SPAWN;
}

static inline bool
pyaudit_is_second_of_two(unsigned first, unsigned event)
{
	return first == PYAUDIT_EV_PTY_SPAWN
		       ? event == PYAUDIT_EV_OS_EXEC
		       : first == PYAUDIT_EV_SUBPROCESS_POPEN && (event == PYAUDIT_EV_POSIXSUBPROCESS_FORK_EXEC ||
								  event == PYAUDIT_EV_OS_POSIX_SPAWN);
}

/* The event's number, or PYAUDIT_EV_OTHER. Linear: for tools and compilers, not for the hook. */
uint16_t pyaudit_event_by_name(const char *name, size_t len);
/* The field's number, or PYAUDIT_N_FIELDS. */
unsigned pyaudit_field_by_name(const char *name, size_t len);
/* The class's bit ("exec" or "@exec"; "all" is all but NOISE), or 0. */
uint16_t pyaudit_class_by_name(const char *name, size_t len);

#endif
