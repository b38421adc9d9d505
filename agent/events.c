/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of events, classes and fields, made from the two .def files. */
#include <string.h>

#include "pyaudit/events.h"

#define CLASS_EXEC PYAUDIT_CLASS_EXEC
#define CLASS_FILE PYAUDIT_CLASS_FILE
#define CLASS_NETWORK PYAUDIT_CLASS_NETWORK
#define CLASS_IMPORT PYAUDIT_CLASS_IMPORT
#define CLASS_NATIVE PYAUDIT_CLASS_NATIVE
#define CLASS_CODE PYAUDIT_CLASS_CODE
#define CLASS_UNPICKLE PYAUDIT_CLASS_UNPICKLE
#define CLASS_STARTUP PYAUDIT_CLASS_STARTUP
#define CLASS_TAMPER PYAUDIT_CLASS_TAMPER
#define CLASS_PROCESS PYAUDIT_CLASS_PROCESS
#define CLASS_NOISE PYAUDIT_CLASS_NOISE

const char *const pyaudit_class_names[PYAUDIT_N_CLASSES] = {
	"exec",	  "file",     "network", "import", "native",
	"code",	  "unpickle", "startup", "tamper", "process",
};

#define F(field, how, arg) {PYAUDIT_F_##field, PYAUDIT_HOW_##how, arg}

const struct pyaudit_event_info pyaudit_events[PYAUDIT_N_EVENTS] = {
	[PYAUDIT_EV_OTHER] = {.name = NULL, .args = ""},
#define PYAUDIT_EVENT(ident, event_name, class_bits, arg_names, first, last, ...)                  \
	[PYAUDIT_EV_##ident] = {.name = event_name,                                                \
				.classes = class_bits,                                             \
				.args = arg_names,                                                 \
				.first_version = first,                                            \
				.last_version = last},
#include "pyaudit/events.def"
#undef PYAUDIT_EVENT
};

const struct pyaudit_source pyaudit_event_sources[PYAUDIT_N_EVENTS][PYAUDIT_SOURCES_MAX] = {
#define PYAUDIT_EVENT(ident, event_name, class_bits, arg_names, first, last, ...)                  \
	[PYAUDIT_EV_##ident] = {__VA_ARGS__},
#include "pyaudit/events.def"
#undef PYAUDIT_EVENT
};

const struct pyaudit_field_info pyaudit_fields[PYAUDIT_N_FIELDS] = {
#define PYAUDIT_FIELD(ident, field_name, field_type, field_scope, what)                            \
	[PYAUDIT_F_##ident] = {field_name, PYAUDIT_TYPE_##field_type,                              \
			       PYAUDIT_SCOPE_##field_scope, what},
#include "pyaudit/fields.def"
#undef PYAUDIT_FIELD
};

uint16_t
pyaudit_event_by_name(const char *name, size_t len)
{
	for (unsigned i = 1; i < PYAUDIT_N_EVENTS; i++)
		if (strlen(pyaudit_events[i].name) == len &&
		    memcmp(pyaudit_events[i].name, name, len) == 0)
			return (uint16_t)i;
	return PYAUDIT_EV_OTHER;
}

unsigned
pyaudit_field_by_name(const char *name, size_t len)
{
	for (unsigned i = 0; i < PYAUDIT_N_FIELDS; i++)
		if (strlen(pyaudit_fields[i].name) == len &&
		    memcmp(pyaudit_fields[i].name, name, len) == 0)
			return i;
	return PYAUDIT_N_FIELDS;
}

uint16_t
pyaudit_class_by_name(const char *name, size_t len)
{
	if (len > 0 && name[0] == '@') {
		name++;
		len--;
	}
	if (len == 3 && memcmp(name, "all", 3) == 0)
		return (uint16_t)((1u << PYAUDIT_N_CLASSES) - 1);
	for (unsigned i = 0; i < PYAUDIT_N_CLASSES; i++)
		if (strlen(pyaudit_class_names[i]) == len &&
		    memcmp(pyaudit_class_names[i], name, len) == 0)
			return (uint16_t)(1u << i);
	return 0;
}
