/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "encode.h"

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

/* Any str, character by character: PyUnicode_AsUTF8 would allocate and leave its copy in the
 * program's object. */
static struct pyaudit_value
copy_str(struct encode_text *text, PyObject *object)
{
	uint32_t start = text->len, limit = text->size;
	ssize_t n = python.PyUnicode_GetLength(object);
	struct pyaudit_value v;
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
	v = pyaudit_value_text(text->bytes + start, text->len - start);
	if (i < n) {
		v.flags = PYAUDIT_VALUE_CUT;
		v.full_len = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
		if (v.full_len <= v.len)
			v.full_len = v.len + 1;
	}
	return v;
}

static struct pyaudit_value
borrow(uint8_t type, const char *s, size_t len)
{
	struct pyaudit_value v = pyaudit_value_text(s, len < PYAUDIT_TEXT_MAX ? len : PYAUDIT_TEXT_MAX);

	v.type = type;
	if (len > PYAUDIT_TEXT_MAX) {
		v.flags = PYAUDIT_VALUE_CUT;
		v.full_len = len > UINT32_MAX ? UINT32_MAX : (uint32_t)len;
	}
	return v;
}

static struct pyaudit_value
exact_str(struct encode_text *text, PyObject *object)
{
	size_t len;

	if (!is_exact_ascii(object))
		return copy_str(text, object);
	memcpy(&len, (const char *)object + python.str_length, sizeof(len));
	return borrow(PYAUDIT_TAG_STR, (const char *)object + python.str_data, len);
}

struct pyaudit_value
encode_str(struct encode_text *text, PyObject *object)
{
	PyObject *type = python_type(object);

	if (type == python.PyUnicode_Type)
		return exact_str(text, object);
	if ((python.PyType_GetFlags(type) & PY_TYPE_UNICODE) != 0)
		return copy_str(text, object);
	return (struct pyaudit_value){0};
}

static struct pyaudit_value
integer(PyObject *object)
{
	struct pyaudit_value v;
	int overflow = 0;

	if (object == python._Py_TrueStruct || object == python._Py_FalseStruct)
		return (struct pyaudit_value){.type = PYAUDIT_TAG_BOOL,
					      .i = object == python._Py_TrueStruct};
	v = pyaudit_value_int(python.PyLong_AsLongLongAndOverflow(object, &overflow));
	if (overflow != 0)
		v = (struct pyaudit_value){.type = PYAUDIT_TAG_BIGINT};
	return v;
}

/* tp_name: second word behind the head of a variable-size object (ob_size, then tp_name). */
static struct pyaudit_value
type_name(PyObject *type)
{
	const char *name;

	memcpy(&name, (const char *)type + python.type_offset + 2 * sizeof(void *), sizeof(name));
	if (name == NULL)
		return pyaudit_value_text("?", 1);
	return borrow(PYAUDIT_TAG_OBJECT, name, strnlen(name, 255));
}

static struct pyaudit_value
bytes(PyObject *object)
{
	char *s = NULL;
	ssize_t len = 0;

	if (python.PyBytes_AsStringAndSize(object, &s, &len) != 0) {
		python.PyErr_Clear();
		return (struct pyaudit_value){.type = PYAUDIT_TAG_NONE};
	}
	return borrow(PYAUDIT_TAG_BYTES, s, (size_t)len);
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

/* Everything but lists. */
static struct pyaudit_value
scalar(struct encode_text *text, PyObject *object)
{
	PyObject *type = python_type(object);
	unsigned long flags;

	if (type == python.PyUnicode_Type)
		return exact_str(text, object);
	if (object == python._Py_NoneStruct)
		return (struct pyaudit_value){.type = PYAUDIT_TAG_NONE};
	flags = python.PyType_GetFlags(type);
	if ((flags & PY_TYPE_LONG) != 0)
		return integer(object);
	if ((flags & PY_TYPE_BYTES) != 0)
		return bytes(object);
	if ((flags & PY_TYPE_UNICODE) != 0)
		return copy_str(text, object);
	if (type == python.PyCode_Type) {
		PyObject *filename = encode_code_filename(object);
		struct pyaudit_value v = {0};

		if (filename != NULL)
			v = encode_str(text, filename);
		v.type = PYAUDIT_TAG_CODE;
		return v;
	}
	if (type == python.PyFloat_Type || python.PyType_IsSubtype(type, python.PyFloat_Type))
		return (struct pyaudit_value){.type = PYAUDIT_TAG_FLOAT,
					      .f = python.PyFloat_AsDouble(object)};
	return type_name(type);
}

/* A borrowed element as a value whose text does not depend on the list keeping it. */
static struct pyaudit_value
list_element(struct encode_text *text, PyObject *list, ssize_t i)
{
	struct pyaudit_value v;
	PyObject *element;

	if (!python.free_threaded || python.PyList_GetItemRef == NULL) {
		element = python.PyList_GetItem(list, i);
		if (element != NULL)
			return scalar(text, element);
		python.PyErr_Clear();
		return (struct pyaudit_value){.type = PYAUDIT_TAG_NONE};
	}
	/* Without a GIL another thread may drop the element: hold it, and copy its text. */
	element = python.PyList_GetItemRef(list, i);
	if (element == NULL) {
		python.PyErr_Clear();
		return (struct pyaudit_value){.type = PYAUDIT_TAG_NONE};
	}
	v = scalar(text, element);
	if ((pyaudit_value_is_text(&v) || v.type == PYAUDIT_TAG_OBJECT) &&
	    (v.s < text->bytes || v.s >= text->bytes + text->size)) {
		uint32_t room = text->size - text->len;
		uint32_t n = v.len < room ? v.len : room;

		memcpy(text->bytes + text->len, v.s, n);
		if (n < v.len)
			v.flags |= PYAUDIT_VALUE_CUT;
		v.s = text->bytes + text->len;
		v.len = n;
		text->len += n;
	}
	python.Py_DecRef(element);
	return v;
}

static struct pyaudit_value
sequence(struct encode_values *values, PyObject *object, bool is_tuple)
{
	ssize_t n = is_tuple ? python.PyTuple_Size(object) : python.PyList_Size(object);
	struct pyaudit_value v = {.type = PYAUDIT_TAG_LIST, .items = &values->value[values->n]};

	if (n < 0) {
		python.PyErr_Clear();
		n = 0;
	}
	v.full_len = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
	for (ssize_t i = 0; i < n && i < PYAUDIT_LIST_MAX && values->n < PYAUDIT_VALUES_MAX; i++) {
		values->value[values->n++] =
			is_tuple ? scalar(values->text, python.PyTuple_GetItem(object, i))
				 : list_element(values->text, object, i);
		v.n_items++;
	}
	if (v.n_items < v.full_len)
		v.flags = PYAUDIT_VALUE_CUT;
	return v;
}

unsigned
encode_args(struct encode_values *values, PyObject *args)
{
	ssize_t n = args != NULL ? python.PyTuple_Size(args) : 0;

	if (n < 0) {
		python.PyErr_Clear();
		n = 0;
	}
	if (n > PYAUDIT_ARGS_MAX)
		n = PYAUDIT_ARGS_MAX;
	values->n = (unsigned)n;
	for (ssize_t i = 0; i < n; i++) {
		PyObject *object = python.PyTuple_GetItem(args, i);
		PyObject *type = python_type(object);
		unsigned long flags = 0;

		if (type != python.PyUnicode_Type && object != python._Py_NoneStruct)
			flags = python.PyType_GetFlags(type);
		if ((flags & (PY_TYPE_LIST | PY_TYPE_TUPLE)) != 0)
			values->value[i] = sequence(values, object, (flags & PY_TYPE_TUPLE) != 0);
		else
			values->value[i] = scalar(values->text, object);
	}
	return (unsigned)n;
}
