/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "encode.h"

#define TYPE_NAME_MAX 255 /* bytes of a type's name that are kept */
#define PY_TYPE_BASES                                                                              \
	(PY_TYPE_LONG | PY_TYPE_LIST | PY_TYPE_TUPLE | PY_TYPE_BYTES | PY_TYPE_UNICODE)

static bool
is_exact_ascii(PyObject *object)
{
	uint32_t state;

	if (python.str_data == 0)
		return false;
	memcpy(&state, (const char *)object + python.str_state, sizeof(state));
	return (state & python.str_ascii) == python.str_ascii;
}

/* Appends one code point as UTF-8. A lone surrogate of the surrogateescape kind becomes the byte
 * it stands for, as the file system calls would see it; any other one its three-byte form. */
static bool
put_char(struct encode_text *text, uint32_t limit, uint32_t c)
{
	unsigned char b[4];
	unsigned n;

	if (c < 0x80) {
		b[0] = (unsigned char)c;
		n = 1;
	} else if (c >= 0xdc80 && c <= 0xdcff) {
		b[0] = (unsigned char)(c - 0xdc00);
		n = 1;
	} else if (c < 0x800) {
		b[0] = (unsigned char)(0xc0 | c >> 6);
		b[1] = (unsigned char)(0x80 | (c & 0x3f));
		n = 2;
	} else if (c < 0x10000) {
		b[0] = (unsigned char)(0xe0 | c >> 12);
		b[1] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
		b[2] = (unsigned char)(0x80 | (c & 0x3f));
		n = 3;
	} else {
		b[0] = (unsigned char)(0xf0 | c >> 18);
		b[1] = (unsigned char)(0x80 | (c >> 12 & 0x3f));
		b[2] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
		b[3] = (unsigned char)(0x80 | (c & 0x3f));
		n = 4;
	}
	if (limit - text->len < n)
		return false;
	memcpy(text->bytes + text->len, b, n);
	text->len += n;
	return true;
}

/* Values are written where they will stay: a struct of several small stores that is copied at once
 * by wide loads stalls the processor, three times per event. */
static inline void
set_text(struct pyaudit_value *ret, uint8_t type, const char *s, size_t len)
{
	ret->type = type;
	ret->flags = 0;
	ret->n_items = 0;
	ret->len = ret->full_len = (uint32_t)len;
	ret->s = s;
	if (__builtin_expect(len > PYAUDIT_TEXT_MAX, 0)) {
		ret->flags = PYAUDIT_VALUE_CUT;
		ret->len = PYAUDIT_TEXT_MAX;
		ret->full_len = len > UINT32_MAX ? UINT32_MAX : (uint32_t)len;
	}
}

/* Any str, character by character: PyUnicode_AsUTF8 would allocate and leave its copy in the
 * program's object. */
static void
copy_str(struct encode_text *text, PyObject *object, struct pyaudit_value *ret)
{
	uint32_t start = text->len, limit = text->size;
	ssize_t n = python.PyUnicode_GetLength(object);
	ssize_t i;

	if (n < 0) {
		python.PyErr_Clear();
		n = 0;
	}
	if (limit - start > PYAUDIT_TEXT_MAX)
		limit = start + PYAUDIT_TEXT_MAX;
	for (i = 0; i < n; i++)
		if (!put_char(text, limit, python.PyUnicode_ReadChar(object, i)))
			break;
	set_text(ret, PYAUDIT_TAG_STR, text->bytes + start, text->len - start);
	if (i < n) {
		ret->flags = PYAUDIT_VALUE_CUT;
		ret->full_len = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
		if (ret->full_len <= ret->len)
			ret->full_len = ret->len + 1;
	}
}

static inline void
exact_ascii(PyObject *object, struct pyaudit_value *ret)
{
	size_t len;

	memcpy(&len, (const char *)object + python.str_length, sizeof(len));
	set_text(ret, PYAUDIT_TAG_STR, (const char *)object + python.str_data, len);
}

static inline void
exact_str(struct encode_text *text, PyObject *object, struct pyaudit_value *ret)
{
	if (is_exact_ascii(object))
		exact_ascii(object, ret);
	else
		copy_str(text, object, ret);
}

void
encode_exact_str(struct encode_text *text, PyObject *object, struct pyaudit_value *ret)
{
	exact_str(text, object, ret);
}

bool
encode_is_ascii(PyObject *object, const char *wanted, size_t len)
{
	char copied[64];
	struct encode_text text = {copied, 0, sizeof(copied)};
	struct pyaudit_value v;

	if (python_type(object) != python.PyUnicode_Type)
		return false;
	exact_str(&text, object, &v);
	return v.len == len && memcmp(v.s, wanted, len) == 0;
}

struct pyaudit_value
encode_str(struct encode_text *text, PyObject *object)
{
	PyObject *type = python_type(object);
	struct pyaudit_value v = {0};

	if (type == python.PyUnicode_Type)
		exact_str(text, object, &v);
	else if ((python.PyType_GetFlags(type) & PY_TYPE_UNICODE) != 0)
		copy_str(text, object, &v);
	return v;
}

static void
set_number(struct pyaudit_value *ret, uint8_t type, int64_t number)
{
	*ret = (struct pyaudit_value){.type = type, .i = number};
}

static void
integer(PyObject *object, struct pyaudit_value *ret)
{
	int overflow = 0;
	long long number = python.PyLong_AsLongLongAndOverflow(object, &overflow);

	set_number(ret, overflow != 0 ? PYAUDIT_TAG_BIGINT : PYAUDIT_TAG_INT,
		   overflow != 0 ? 0 : number);
}

/* tp_name: second word behind the head of a variable-size object (ob_size, then tp_name). */
static void
type_name(PyObject *type, struct pyaudit_value *ret)
{
	const char *name;

	memcpy(&name, (const char *)type + python.type_offset + 2 * sizeof(void *), sizeof(name));
	if (name == NULL)
		name = "?";
	set_text(ret, PYAUDIT_TAG_OBJECT, name, strnlen(name, TYPE_NAME_MAX));
}

static void
bytes(PyObject *object, struct pyaudit_value *ret)
{
	char *s = NULL;
	ssize_t len = 0;

	if (python.PyBytes_AsStringAndSize(object, &s, &len) == 0) {
		set_text(ret, PYAUDIT_TAG_BYTES, s, (size_t)len);
		return;
	}
	python.PyErr_Clear();
	set_number(ret, PYAUDIT_TAG_NONE, 0);
}

/* A bytearray can change, so its bytes are copied. */
static void
copy_bytearray(struct encode_text *text, PyObject *object, struct pyaudit_value *ret)
{
	ssize_t size = python.PyByteArray_Size(object);
	size_t len = size > 0 ? (size_t)size : 0, room = text->size - text->len;
	size_t n = len < PYAUDIT_TEXT_MAX ? len : PYAUDIT_TEXT_MAX;

	if (n > room)
		n = room;
	if (n > 0)
		memcpy(text->bytes + text->len, python.PyByteArray_AsString(object), n);
	set_text(ret, PYAUDIT_TAG_BYTES, text->bytes + text->len, n);
	text->len += (uint32_t)n;
	if (n < len) {
		ret->flags = PYAUDIT_VALUE_CUT;
		ret->full_len = len > UINT32_MAX ? UINT32_MAX : (uint32_t)len;
	}
}

static void
code(struct encode_text *text, PyObject *object, struct pyaudit_value *ret)
{
	PyObject *filename = encode_code_filename(object);

	*ret = filename != NULL ? encode_str(text, filename) : (struct pyaudit_value){0};
	ret->type = PYAUDIT_TAG_CODE;
}

PyObject *
encode_code_filename(PyObject *code)
{
	PyObject *object;

	if (python.code_filename == 0 && !python_measure_code(code))
		return NULL;
	memcpy(&object, (const char *)code + python.code_filename, sizeof(object));
	return object;
}

PyObject *
encode_code_name(PyObject *code)
{
	PyObject *object;

	if (python.code_filename == 0 && !python_measure_code(code))
		return NULL;
	memcpy(&object, (const char *)code + python.code_filename + sizeof(object), sizeof(object));
	return object;
}

/* Everything but lists; the common exact types first. */
static void
scalar(struct encode_text *text, PyObject *object, struct pyaudit_value *ret)
{
	PyObject *type = python_type(object);
	unsigned long flags;

	if (type == python.PyUnicode_Type) {
		exact_str(text, object, ret);
	} else if (object == python._Py_NoneStruct) {
		set_number(ret, PYAUDIT_TAG_NONE, 0);
	} else if (type == python.PyLong_Type) {
		integer(object, ret);
	} else if (type == python.PyBytes_Type) {
		bytes(object, ret);
	} else if (object == python._Py_TrueStruct || object == python._Py_FalseStruct) {
		set_number(ret, PYAUDIT_TAG_BOOL, object == python._Py_TrueStruct);
	} else if (type == python.PyCode_Type) {
		code(text, object, ret);
	} else if ((flags = python.PyType_GetFlags(type) & PY_TYPE_BASES) == 0) {
		if (type == python.PyFloat_Type ||
		    python.PyType_IsSubtype(type, python.PyFloat_Type))
			*ret = (struct pyaudit_value){.type = PYAUDIT_TAG_FLOAT,
						      .f = python.PyFloat_AsDouble(object)};
		else if (python.PyByteArray_AsString != NULL && python.PyByteArray_Size != NULL &&
			 python.PyType_IsSubtype(type, python.PyByteArray_Type))
			copy_bytearray(text, object, ret);
		else
			type_name(type, ret);
	} else if (flags == PY_TYPE_LONG) {
		integer(object, ret);
	} else if (flags == PY_TYPE_BYTES) {
		bytes(object, ret);
	} else if (flags == PY_TYPE_UNICODE) {
		copy_str(text, object, ret);
	} else {
		type_name(type, ret); /* a list in a list */
	}
}

/* Without a GIL another thread may drop the element: it is held, and its text is copied. */
static void
shared_list_element(struct encode_text *text, PyObject *list, ssize_t i, struct pyaudit_value *ret)
{
	PyObject *element = python.PyList_GetItemRef(list, i);

	if (element == NULL) {
		python.PyErr_Clear();
		set_number(ret, PYAUDIT_TAG_NONE, 0);
		return;
	}
	scalar(text, element, ret);
	if ((pyaudit_value_is_text(ret) || ret->type == PYAUDIT_TAG_OBJECT) &&
	    (ret->s < text->bytes || ret->s >= text->bytes + text->size)) {
		uint32_t room = text->size - text->len;
		uint32_t n = ret->len < room ? ret->len : room;

		memcpy(text->bytes + text->len, ret->s, n);
		if (n < ret->len)
			ret->flags |= PYAUDIT_VALUE_CUT;
		ret->s = text->bytes + text->len;
		ret->len = n;
		text->len += n;
	}
	python.Py_DecRef(element);
}

static void
list_element(struct encode_text *text, PyObject *list, ssize_t i, struct pyaudit_value *ret)
{
	PyObject *element;

	if (python.free_threaded && python.PyList_GetItemRef != NULL) {
		shared_list_element(text, list, i, ret);
		return;
	}
	element = python.PyList_GetItem(list, i);
	if (element != NULL) {
		scalar(text, element, ret);
		return;
	}
	python.PyErr_Clear();
	set_number(ret, PYAUDIT_TAG_NONE, 0);
}

static void
sequence(struct encode_values *values, PyObject *object, bool is_tuple, struct pyaudit_value *ret)
{
	ssize_t n = is_tuple ? python.PyTuple_Size(object) : python.PyList_Size(object);

	if (n < 0) {
		python.PyErr_Clear();
		n = 0;
	}
	*ret = (struct pyaudit_value){.type = PYAUDIT_TAG_LIST,
				      .full_len = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n,
				      .items = &values->value[values->n]};
	for (ssize_t i = 0; i < n && i < PYAUDIT_LIST_MAX && values->n < PYAUDIT_VALUES_MAX; i++) {
		struct pyaudit_value *item = &values->value[values->n++];

		if (is_tuple)
			scalar(values->text, python.PyTuple_GetItem(object, i), item);
		else
			list_element(values->text, object, i, item);
		ret->n_items++;
	}
	if (ret->n_items < ret->full_len)
		ret->flags = PYAUDIT_VALUE_CUT;
}

static inline PyObject *
tuple_item(PyObject *tuple, unsigned n)
{
	PyObject *item;

	if (python.tuple_items == 0)
		return python.PyTuple_GetItem(tuple, (ssize_t)n);
	memcpy(&item, (const char *)tuple + python.tuple_items + n * sizeof(item), sizeof(item));
	return item;
}

unsigned
encode_n_args_of_any(PyObject *args)
{
	ssize_t n = args != NULL ? python.PyTuple_Size(args) : 0;

	if (n < 0) {
		python.PyErr_Clear();
		n = 0;
	}
	return n < PYAUDIT_ARGS_MAX ? (unsigned)n : PYAUDIT_ARGS_MAX;
}

static inline __attribute__((always_inline)) bool
plain_text(PyObject *object, PyObject *type, struct pyaudit_value *ret)
{
	if (type != python.PyUnicode_Type || !is_exact_ascii(object))
		return false;
	exact_ascii(object, ret);
	return true;
}

/* What costs a few loads. */
static inline __attribute__((always_inline)) bool
plain_arg(PyObject *object, PyObject *type, struct pyaudit_value *ret)
{
	int64_t number;

	if (plain_text(object, type, ret))
		return true;
	if (object == python._Py_NoneStruct)
		set_number(ret, PYAUDIT_TAG_NONE, 0);
	else if (type == python.PyLong_Type &&
		 python_small_int(object, python.int_size, python.int_tagged, &number))
		set_number(ret, PYAUDIT_TAG_INT, number);
	else if (object == python._Py_TrueStruct || object == python._Py_FalseStruct)
		set_number(ret, PYAUDIT_TAG_BOOL, object == python._Py_TrueStruct);
	else
		return false;
	return true;
}

void
encode_arg(struct encode_values *values, PyObject *args, unsigned n)
{
	PyObject *object = tuple_item(args, n);
	PyObject *type = python_type(object);
	struct pyaudit_value *ret = &values->value[n];
	unsigned long flags;

	/* Most arguments are told by their exact type; lists are the exception. */
	if (plain_arg(object, type, ret))
		return;
	flags = python.PyType_GetFlags(type) & (PY_TYPE_LIST | PY_TYPE_TUPLE);
	if (flags != 0)
		sequence(values, object, flags == PY_TYPE_TUPLE, ret);
	else
		scalar(values->text, object, ret);
}

uint32_t
encode_plain(struct pyaudit_value *values, PyObject *args, uint32_t wanted)
{
	uint32_t filled = 0;

	for (; wanted != 0; wanted &= wanted - 1) {
		unsigned i = (unsigned)__builtin_ctz(wanted);
		PyObject *object = tuple_item(args, i);

		if (plain_arg(object, python_type(object), &values[i]))
			filled |= UINT32_C(1) << i;
	}
	return filled;
}

bool
encode_plain_text(struct pyaudit_value *ret, PyObject *args, unsigned n)
{
	PyObject *object = tuple_item(args, n);

	return plain_text(object, python_type(object), ret);
}
