/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds CPython in the process and measures the few layouts the hook reads directly. Nothing is
 * taken from a version number that can be seen on an object instead.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "python.h"
#include "symbols.h"

struct python python;

/* Bytes of a type object that are searched for its own type pointer. */
#define TYPE_HEAD_MAX 64
/* Bytes behind a tuple's size in which its elements begin. */
#define TUPLE_HEAD_MAX 32
/* Bytes of a code object that are searched for co_filename. */
#define CODE_HEAD_MAX 256

/* Where Python's names are looked up. */
struct place {
	void *library;		/* for dlsym */
	struct symbols symbols; /* of the object that Python is in */
	bool known;		/* there are such */
};

/* Bound by the loader where the program or a library it was linked with is Python: the one look
 * that every other process pays for. A failing dlsym costs ten times as much. */
extern int PySys_AddAuditHook(py_hook_fn, void *) __attribute__((weak));

bool
python_is_linked(void)
{
	return PySys_AddAuditHook != NULL;
}

static struct place
place_of(void *library)
{
	struct place place = {.library = library != NULL ? library : RTLD_DEFAULT};
	union {
		int (*call)(py_hook_fn, void *);
		void *address;
	} add = {PySys_AddAuditHook};

	if (library != NULL)
		add.address = dlsym(library, "PySys_AddAuditHook");
	place.known = symbols_of(&place.symbols, add.address);
	return place;
}

/* A program that is linked with a libpython may have copies of its variables, which are then those in use: the loader
 * knows. */
static void *
find(const struct place *place, const char *name, bool is_variable)
{
	size_t size;

	if (place->known && (!is_variable || place->symbols.is_program))
		return symbols_find(&place->symbols, name, &size);
	return dlsym(place->library, name);
}

static bool
find_symbols(const struct place *place)
{
	bool complete = true;

	/* Functions come as void *; copying the bytes is the conversion POSIX blesses. */
#define FIND(target, symbol, is_variable)                                                          \
	do {                                                                                       \
		void *found = find(place, symbol, is_variable);                                    \
		memcpy(&(target), &found, sizeof(found));                                          \
	} while (0)
#define PYTHON_FUNCTION(result, name, parameters)                                                  \
	FIND(python.name, #name, false);                                                           \
	complete = complete && python.name != NULL;
	PYTHON_FUNCTIONS
#undef PYTHON_FUNCTION
#define PYTHON_FUNCTION(result, name, parameters) FIND(python.name, #name, false);
	PYTHON_OPTIONAL_FUNCTIONS
#undef PYTHON_FUNCTION
#define PYTHON_OBJECT(name)                                                                        \
	FIND(python.name, #name, true);                                                            \
	complete = complete && python.name != NULL;
	PYTHON_OBJECTS
#undef PYTHON_OBJECT
	FIND(python.PyExc_PermissionError, "PyExc_PermissionError", true);
	FIND(python.PyExc_FileNotFoundError, "PyExc_FileNotFoundError", true);
	FIND(python._PyRuntime, "_PyRuntime", true);
#undef FIND
	python.runtime_size = 0;
	if (place->known)
		(void)symbols_find(&place->symbols, "_PyRuntime", &python.runtime_size);
	return complete && python.PyExc_PermissionError != NULL && python.PyExc_FileNotFoundError != NULL;
}

/* PyLong_Type is an object of type PyType_Type: where that pointer stands is ob_type. */
static bool
measure_type_offset(void)
{
	const char *object = (const char *)python.PyLong_Type;

	for (size_t at = 0; at < TYPE_HEAD_MAX; at += sizeof(void *)) {
		void *word;

		memcpy(&word, object + at, sizeof(word));
		if (word == (void *)python.PyType_Type) {
			python.type_offset = at;
			python.free_threaded = at != sizeof(void *);
			return true;
		}
	}
	return false;
}

bool
python_find(void *library)
{
	struct place place = place_of(library);
	const char *version;
	size_t len;

	if (!find_symbols(&place)) {
		if (!place.known)
			return false;
		place.known = false; /* what is missing there may be elsewhere */
		if (!find_symbols(&place))
			return false;
	}
	version = python.Py_GetVersion();
	if (strncmp(version, "3.", 2) != 0)
		return false;
	python.minor = atoi(version + 2);
	if (python.minor < 8 || (python.minor > 8 && (python.PyFrame_GetCode == NULL ||
						      python.PyFrame_GetBack == NULL)))
		return false;
	len = strcspn(version, " ");
	if (len >= sizeof(python.version))
		len = sizeof(python.version) - 1;
	memcpy(python.version, version, len);
	/* At this point of a program's life the types are not ready, but their addresses are; the
	 * type pointer of a static type may be filled in later, so this may have to wait. */
	(void)measure_type_offset();
	return true;
}

static uint32_t
word_at(PyObject *object, size_t offset)
{
	uint32_t word;

	memcpy(&word, (const char *)object + offset, sizeof(word));
	return word;
}

/*
 * An ASCII str keeps its characters behind its head. The flag words of two ASCII and two other
 * strings tell which bit says ASCII; the bit below it says compact (Include/cpython/
 * unicodeobject.h has the two beside each other in every version).
 */
static void
measure_str(void)
{
	static const char text[4][11] = {"pyaudit", "measure me", "caf\xc3\xa9", "\xe2\x82\xac 5"};
	PyObject *sample[4] = {NULL};
	size_t head = python.type_offset + sizeof(void *); /* object head */
	size_t state = head + 2 * sizeof(ssize_t);         /* length, hash */
	uint32_t same_ascii, ascii;
	ssize_t len = 0;
	const char *data;

	for (unsigned i = 0; i < 4; i++) {
		sample[i] = python.PyUnicode_FromStringAndSize(text[i], (ssize_t)strlen(text[i]));
		if (sample[i] == NULL) {
			python.PyErr_Clear();
			goto out;
		}
	}
	data = python.PyUnicode_AsUTF8AndSize(sample[0], &len);
	if (data == NULL || data <= (const char *)sample[0] || data - (const char *)sample[0] > 128)
		goto out;
	memcpy(&len, (const char *)sample[1] + head, sizeof(len));
	if (len != (ssize_t)strlen(text[1]))
		goto out;
	same_ascii = word_at(sample[0], state) & word_at(sample[1], state);
	ascii = same_ascii & ~word_at(sample[2], state) & ~word_at(sample[3], state);
	/* The lowest, for what stands above the flags is padding; with the compact bit below it set
	 * in all samples. */
	ascii &= 0u - ascii;
	if (ascii <= 1 ||
	    (same_ascii & word_at(sample[2], state) & word_at(sample[3], state) & ascii >> 1) == 0)
		goto out;
	python.str_length = head;
	python.str_state = state;
	python.str_ascii = ascii | ascii >> 1;
	python.str_data = (size_t)(data - (const char *)sample[0]);
out:
	for (unsigned i = 0; i < 4; i++)
		if (sample[i] != NULL)
			python.Py_DecRef(sample[i]);
}

/* The elements of a tuple stand in it: from 3.14 on behind its hash, too. */
static void
measure_tuple(void)
{
	PyObject *members[3] = {python._Py_NoneStruct, python._Py_TrueStruct,
				python._Py_FalseStruct};
	size_t head = python.type_offset + sizeof(void *);
	PyObject *sample = python.Py_BuildValue("(OOO)", members[0], members[1], members[2]);
	ssize_t size;

	if (sample == NULL) {
		python.PyErr_Clear();
		return;
	}
	memcpy(&size, (const char *)sample + head, sizeof(size));
	for (size_t at = head + sizeof(size); size == 3 && at <= head + TUPLE_HEAD_MAX;
	     at += sizeof(void *)) {
		if (memcmp((const char *)sample + at, members, sizeof(members)) == 0) {
			python.tuple_items = at;
			break;
		}
	}
	python.Py_DecRef(sample);
}

/* An int begins with its number of digits, as a negative number where it is negative; from 3.12 on with
 * a tag of both. What is read has to be what the interpreter says, of each sample. */
static bool
int_layout_holds(size_t size_offset, bool tagged)
{
	static const int samples[] = {0, 1, -1, 524288, -70000, (1 << 30) - 1, 1 - (1 << 30)};
	bool holds = true;

	for (size_t i = 0; holds && i < sizeof(samples) / sizeof(samples[0]); i++) {
		PyObject *sample = python.Py_BuildValue("i", samples[i]);
		int64_t found;

		if (sample == NULL) {
			python.PyErr_Clear();
			return false;
		}
		holds = python_small_int(sample, size_offset, tagged, &found) &&
			found == samples[i];
		python.Py_DecRef(sample);
	}
	return holds;
}

static void
measure_int(void)
{
	size_t size_offset = python.type_offset + sizeof(void *);
	bool tagged = python.minor >= 12;

	python.int_tagged = tagged;
	if (int_layout_holds(size_offset, tagged))
		python.int_size = size_offset;
}

void
python_measure(void)
{
	if (python.type_offset == 0 && !measure_type_offset())
		return;
	measure_str();
	measure_tuple();
	measure_int();
	python.measured = true;
}

/* From 3.12 on the current thread state is the thread's own; before, it is that of whoever holds the
 * GIL, which must then be this thread's. PyGILState_Check is of no use: it says yes to everyone
 * once there is a subinterpreter. */
bool
python_is_attached(void)
{
	if (python.PyThreadState_GetUnchecked != NULL)
		return python.PyThreadState_GetUnchecked() != NULL;
	if (python._PyThreadState_UncheckedGet == NULL ||
	    python.PyGILState_GetThisThreadState == NULL)
		return false;
	if (python.minor == 12)
		return python._PyThreadState_UncheckedGet() != NULL;
	return python._PyThreadState_UncheckedGet() != NULL &&
	       python._PyThreadState_UncheckedGet() == python.PyGILState_GetThisThreadState();
}

/* co_linetable stands two words behind co_name, if the object there says so. */
static void
measure_linetable(PyObject *code, size_t name)
{
	PyObject *linetable, *found;

	if (python.minor < 11 || python.PyFrame_GetLasti == NULL || python.PyCode_Addr2Line == NULL)
		return;
	linetable = python.PyObject_GetAttrString(code, "co_linetable");
	if (linetable == NULL) {
		python.PyErr_Clear();
		return;
	}
	memcpy(&found, (const char *)code + name + 2 * sizeof(found), sizeof(found));
	if (found == linetable)
		python.code_linetable = name + 2 * sizeof(found);
	python.Py_DecRef(linetable);
}

bool
python_measure_code(PyObject *code)
{
	PyObject *filename = python.PyObject_GetAttrString(code, "co_filename");
	PyObject *name = python.PyObject_GetAttrString(code, "co_name");
	bool found = false;

	if (filename == NULL || name == NULL)
		python.PyErr_Clear();
	for (size_t at = python.type_offset + sizeof(void *);
	     filename != NULL && name != NULL && !found && at < CODE_HEAD_MAX; at += sizeof(void *)) {
		PyObject *pair[2];

		memcpy(pair, (const char *)code + at, sizeof(pair));
		found = pair[0] == filename && pair[1] == name;
		if (found) {
			measure_linetable(code, at + sizeof(void *));
			python.code_filename = at;
		}
	}
	if (filename != NULL)
		python.Py_DecRef(filename);
	if (name != NULL)
		python.Py_DecRef(name);
	return found;
}
