/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Python objects to values, without running the program's code: exact types, or the storage of
 * their base type; anything else is named by its type. Text is borrowed where it cannot change
 * (ASCII of an exact str, bytes), else copied.
 */
#ifndef AGENT_ENCODE_H
#define AGENT_ENCODE_H

#include <string.h>

#include "event.h"
#include "python.h"

/* Where text that has to be copied goes. Full: the text is cut. */
struct encode_text {
	char *bytes;
	uint32_t len, size;
};

struct encode_values {
	struct pyaudit_value *value; /* room for PYAUDIT_VALUES_MAX */
	unsigned n;
	struct encode_text *text;
};

unsigned encode_n_args_of_any(PyObject *args);

/* How many elements of @args, the tuple of an event or NULL, are looked at. No exception is left behind. */
static inline unsigned
encode_n_args(PyObject *args)
{
	size_t n;

	if (args == NULL || python.tuple_items == 0 || python_type(args) != python.PyTuple_Type)
		return encode_n_args_of_any(args);
	memcpy(&n, (const char *)args + python.type_offset + sizeof(void *), sizeof(n));
	return n < PYAUDIT_ARGS_MAX ? (unsigned)n : PYAUDIT_ARGS_MAX;
}

/* Their values are the first in @values, where that many are taken, and are filled in any order. */
void encode_arg(struct encode_values *values, PyObject *args, unsigned n);

/* Fills those of @wanted, a bit each and all of them there, that cost a few loads: exact ASCII str, small
 * int, None, bool. Their bits. */
uint32_t encode_plain(struct pyaudit_value *values, PyObject *args, uint32_t wanted);

/* One that is an exact ASCII str. */
bool encode_plain_text(struct pyaudit_value *ret, PyObject *args, unsigned n);

/* An exact or derived str as text; absent for anything else. */
struct pyaudit_value encode_str(struct encode_text *text, PyObject *object);

/* The same for an exact str. */
void encode_exact_str(struct encode_text *text, PyObject *object, struct pyaudit_value *ret);

/* Whether @object is an exact str of these ASCII characters. */
bool encode_is_ascii(PyObject *object, const char *wanted, size_t len);

/* co_filename and co_name of an exact code object. */
PyObject *encode_code_filename(PyObject *code);
PyObject *encode_code_name(PyObject *code);

#endif
