/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few functions of CPython that the agent looks up at run time, so that one binary serves
 * every version from 3.8 on without its headers, and the few object layouts it measures on live
 * objects instead of assuming them: normal and free-threaded builds differ, and so do versions.
 * All of it is written once at start or at the first event, and read-only afterwards.
 */
#ifndef AGENT_PYTHON_H
#define AGENT_PYTHON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <wchar.h>

typedef struct py_object PyObject; /* never looked into but by the measured offsets below */
typedef int (*py_hook_fn)(const char *event, PyObject *args, void *data);

/* PyMemAllocatorEx: https://docs.python.org/3/c-api/memory.html */
struct py_allocator {
	void *ctx;
	void *(*malloc)(void *ctx, size_t size);
	void *(*calloc)(void *ctx, size_t n, size_t size);
	void *(*realloc)(void *ctx, void *p, size_t size);
	void (*free)(void *ctx, void *p);
};
#define PY_DOMAIN_RAW 0

/* PyCriticalSection, which is two words in 3.13 to 3.15; the free-threaded build locks one object by it. */
struct py_critical_section {
	uintptr_t words[4];
};

/* Bits of PyType_GetFlags: Include/object.h, part of the stable ABI. */
#define PY_TYPE_LONG (1ul << 24)
#define PY_TYPE_LIST (1ul << 25)
#define PY_TYPE_TUPLE (1ul << 26)
#define PY_TYPE_BYTES (1ul << 27)
#define PY_TYPE_UNICODE (1ul << 28)

/* PYTHON_FUNCTION(result, name, parameters): missing ones leave the agent out of the process. */
#define PYTHON_FUNCTIONS                                                                           \
	PYTHON_FUNCTION(int, PySys_AddAuditHook, (py_hook_fn, void *))                             \
	PYTHON_FUNCTION(const char *, Py_GetVersion, (void))                                       \
	PYTHON_FUNCTION(int, Py_IsInitialized, (void))                                             \
	PYTHON_FUNCTION(void, PyMem_GetAllocator, (int, struct py_allocator *))                    \
	PYTHON_FUNCTION(void, PyMem_SetAllocator, (int, struct py_allocator *))                    \
	PYTHON_FUNCTION(ssize_t, PyTuple_Size, (PyObject *))                                       \
	PYTHON_FUNCTION(PyObject *, PyTuple_GetItem, (PyObject *, ssize_t))                        \
	PYTHON_FUNCTION(ssize_t, PyList_Size, (PyObject *))                                        \
	PYTHON_FUNCTION(PyObject *, PyList_GetItem, (PyObject *, ssize_t))                         \
	PYTHON_FUNCTION(unsigned long, PyType_GetFlags, (PyObject *))                              \
	PYTHON_FUNCTION(int, PyType_IsSubtype, (PyObject *, PyObject *))                           \
	PYTHON_FUNCTION(ssize_t, PyUnicode_GetLength, (PyObject *))                                \
	PYTHON_FUNCTION(uint32_t, PyUnicode_ReadChar, (PyObject *, ssize_t))                       \
	PYTHON_FUNCTION(PyObject *, PyUnicode_FromStringAndSize, (const char *, ssize_t))          \
	PYTHON_FUNCTION(const char *, PyUnicode_AsUTF8AndSize, (PyObject *, ssize_t *))            \
	PYTHON_FUNCTION(int, PyBytes_AsStringAndSize, (PyObject *, char **, ssize_t *))            \
	PYTHON_FUNCTION(long long, PyLong_AsLongLongAndOverflow, (PyObject *, int *))              \
	PYTHON_FUNCTION(double, PyFloat_AsDouble, (PyObject *))                                    \
	PYTHON_FUNCTION(int, PyDict_Next, (PyObject *, ssize_t *, PyObject **, PyObject **))       \
	PYTHON_FUNCTION(PyObject *, PyObject_GetAttrString, (PyObject *, const char *))            \
	PYTHON_FUNCTION(PyObject *, PySys_GetObject, (const char *))                               \
	PYTHON_FUNCTION(void, Py_DecRef, (PyObject *))                                             \
	PYTHON_FUNCTION(PyObject *, PyEval_GetFrame, (void))                                       \
	PYTHON_FUNCTION(int, PyFrame_GetLineNumber, (PyObject *))                                  \
	PYTHON_FUNCTION(PyObject *, Py_BuildValue, (const char *, ...))                            \
	PYTHON_FUNCTION(void, PyErr_SetObject, (PyObject *, PyObject *))                           \
	PYTHON_FUNCTION(void, PyErr_Clear, (void))

/* Not in every version: NULL where missing. */
#define PYTHON_OPTIONAL_FUNCTIONS                                                                  \
	PYTHON_FUNCTION(PyObject *, PyFrame_GetCode, (PyObject *))    /* 3.9, new reference */     \
	PYTHON_FUNCTION(PyObject *, PyFrame_GetBack, (PyObject *))    /* 3.9, new reference */     \
	PYTHON_FUNCTION(PyObject *, PyFrame_GetGlobals, (PyObject *)) /* 3.11, new reference */    \
	PYTHON_FUNCTION(int, PyFrame_GetLasti, (PyObject *))          /* 3.11 */                   \
	PYTHON_FUNCTION(int, PyCode_Addr2Line, (PyObject *, int))                                  \
	PYTHON_FUNCTION(int, PyGC_Disable, (void))                    /* 3.10, earlier state */    \
	PYTHON_FUNCTION(int, PyGC_Enable, (void))                     /* 3.10 */                   \
	PYTHON_FUNCTION(const wchar_t *, Py_GetPrefix, (void))        /* may go after 3.14 */      \
	PYTHON_FUNCTION(char *, PyByteArray_AsString, (PyObject *))                                \
	PYTHON_FUNCTION(ssize_t, PyByteArray_Size, (PyObject *))                                   \
	PYTHON_FUNCTION(PyObject *, PyList_GetItemRef, (PyObject *, ssize_t)) /* 3.13, new ref. */ \
	PYTHON_FUNCTION(void, PyCriticalSection_Begin, (struct py_critical_section *, PyObject *)) /* 3.13 */ \
	PYTHON_FUNCTION(void, PyCriticalSection_End, (struct py_critical_section *)) /* 3.13 */    \
	PYTHON_FUNCTION(void *, PyThreadState_GetUnchecked, (void))   /* 3.13 */                   \
	PYTHON_FUNCTION(void *, _PyThreadState_UncheckedGet, (void))  /* 3.5 to 3.12 */            \
	PYTHON_FUNCTION(void *, PyGILState_GetThisThreadState, (void))

#define PYTHON_OBJECTS                                                                             \
	PYTHON_OBJECT(PyUnicode_Type)                                                              \
	PYTHON_OBJECT(PyByteArray_Type)                                                            \
	PYTHON_OBJECT(PyBytes_Type)                                                                \
	PYTHON_OBJECT(PyLong_Type)                                                                 \
	PYTHON_OBJECT(PyFloat_Type)                                                                \
	PYTHON_OBJECT(PyTuple_Type)                                                                \
	PYTHON_OBJECT(PyList_Type)                                                                 \
	PYTHON_OBJECT(PyDict_Type)                                                                 \
	PYTHON_OBJECT(PyType_Type)                                                                 \
	PYTHON_OBJECT(PyCode_Type)                                                                 \
	PYTHON_OBJECT(_Py_NoneStruct)                                                              \
	PYTHON_OBJECT(_Py_TrueStruct)                                                              \
	PYTHON_OBJECT(_Py_FalseStruct)

struct python {
#define PYTHON_FUNCTION(result, name, parameters) result(*name) parameters;
	PYTHON_FUNCTIONS
	PYTHON_OPTIONAL_FUNCTIONS
#undef PYTHON_FUNCTION
#define PYTHON_OBJECT(name) PyObject *name;
	PYTHON_OBJECTS
#undef PYTHON_OBJECT
	PyObject **PyExc_PermissionError, **PyExc_FileNotFoundError;
	void *_PyRuntime; /* the interpreter's state; NULL where it is not exported */
	size_t runtime_size; /* of it; 0: not known */

	int minor;          /* of 3.minor */
	bool free_threaded; /* ob_type lies behind the longer object head */
	size_t type_offset; /* of ob_type in an object */

	/* Measured by python_measure on live objects; 0: not known, the slow way is taken. */
	size_t str_data;   /* of the bytes of an exact ASCII str */
	size_t str_length; /* of its length */
	size_t str_state;  /* of the word with its flags */
	uint32_t str_ascii; /* bits of that word set in compact ASCII strs, and not both in others */
	size_t tuple_items; /* of the first element of a tuple; its size follows the object head */
	size_t int_size;    /* of the word with size and sign of an int, its first digit behind it */
	bool int_tagged;    /* 3.12 on: that word is a tag, size << 3 | sign */
	size_t code_filename; /* of co_filename in a code object; co_name follows it */
	size_t code_linetable; /* of co_linetable, where lines are remembered: from 3.11 on */
	bool measured;

	char version[32]; /* "3.11.2", NUL terminated */
};

extern struct python python;

/* Is there a Python that the loader bound us to? One comparison. */
bool python_is_linked(void);

/* Looks the table up in @library, a handle of dlopen, or NULL: in the program and what it was
 * linked with. False where there is no (usable) Python. */
bool python_find(void *library);

/* Whether this thread may look at Python objects now: it has a thread state and holds the GIL. */
bool python_is_attached(void);

/* Measures what needs living objects; called from the first event that is looked at. */
void python_measure(void);

/* Measures the layout of code objects on @code, once. False: it cannot be told. */
bool python_measure_code(PyObject *code);

/* The value of an exact int of at most one digit; false where it has more, or @size_offset is 0. */
static inline bool
python_small_int(PyObject *object, size_t size_offset, bool tagged, int64_t *ret)
{
	int64_t size;
	uint32_t digit;

	if (size_offset == 0)
		return false;
	__builtin_memcpy(&size, (const char *)object + size_offset, sizeof(size));
	if (tagged) {
		int64_t sign = size & 3; /* 0: positive, 1: zero, 2: negative */

		size >>= 3;
		size = sign == 1 ? 0 : sign == 2 ? -size : size;
	}
	if (size < -1 || size > 1)
		return false;
	__builtin_memcpy(&digit, (const char *)object + size_offset + sizeof(size), sizeof(digit));
	*ret = size * (int64_t)digit;
	return true;
}

static inline PyObject *
python_type(PyObject *object)
{
	return *(PyObject **)((char *)object + python.type_offset);
}

#endif
