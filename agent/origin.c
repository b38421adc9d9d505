/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "lines.h"
#include "origin.h"
#include "packages.h"

/* Frames that are looked at when only the caller is wanted: asyncio's way to a subprocess is about
 * twelve frames of the standard library. */
#define CALLER_SEARCH_MAX 48
/* Keys of a module's namespace that are looked at for __name__: it is among the first. */
#define NAME_SEARCH_MAX 6

/* Offsets in a frame object up to 3.10: Include/cpython/frameobject.h. f_back and f_code are read
 * so only in 3.8, which has no functions for them; f_globals until 3.11 brought one. */
#define FRAME_BACK_38 24
#define FRAME_CODE_38 32
#define FRAME_GLOBALS_310 48

static PyObject *
word_of(PyObject *object, size_t offset)
{
	PyObject *word;

	memcpy(&word, (const char *)object + offset, sizeof(word));
	return word;
}

static bool
starts(const struct pyaudit_value *v, uint32_t *at, const char *s, size_t len)
{
	if (v->len - *at < len || memcmp(v->s + *at, s, len) != 0)
		return false;
	*at += (uint32_t)len;
	return true;
}

/* Where the standard library is: "<prefix>/lib", from the interpreter's configuration, which the
 * program cannot rewrite. Two threads that race write the same. */
static struct {
	_Atomic uint32_t len; /* 0: not known yet */
	char path[256];
} stdlib;

static uint32_t
learn_stdlib(void)
{
	const wchar_t *prefix = python.Py_GetPrefix != NULL ? python.Py_GetPrefix() : NULL;
	char path[sizeof(stdlib.path) - 4];
	struct encode_text text = {path, 0, sizeof(path)};
	PyObject *object;

	if (prefix != NULL && prefix[0] != L'\0') {
		for (; *prefix != L'\0' && *prefix < 0x80 && text.len < sizeof(path); prefix++)
			path[text.len++] = (char)*prefix;
		if (*prefix != L'\0')
			return 0;
	} else {
		/* A look-up in sys's namespace, for versions without the function. */
		struct pyaudit_value base;

		object = python.PySys_GetObject("base_prefix"); /* borrowed; no exception */
		if (object == NULL || python_type(object) != python.PyUnicode_Type)
			return 0;
		encode_exact_str(&text, object, &base);
		if (base.len > sizeof(path))
			return 0;
		memmove(path, base.s, base.len);
		text.len = base.len;
	}
	memcpy(stdlib.path, path, text.len);
	memcpy(stdlib.path + text.len, "/lib", 4);
	atomic_store_explicit(&stdlib.len, text.len + 4, memory_order_release);
	return text.len + 4;
}

/* <base_prefix>/lib[64]/python3.N[t]/ but not site-packages or dist-packages below it; frozen
 * modules. It decides which frame is shown as the caller; the stack in an alert is whole. */
static bool
in_stdlib(const struct pyaudit_value *file)
{
	uint32_t len = atomic_load_explicit(&stdlib.len, memory_order_acquire), at = 0;

	if (file->len == 0)
		return false;
	if (file->s[0] != '/')
		return starts(file, &at, "<frozen ", 8);
	if (len == 0 && (len = learn_stdlib()) == 0)
		return false;
	if (!starts(file, &at, stdlib.path, len))
		return false;
	(void)starts(file, &at, "64", 2);
	if (!starts(file, &at, "/python3.", 9))
		return false;
	while (at < file->len && file->s[at] != '/')
		at++;
	return !starts(file, &at, "/site-packages/", 15) && !starts(file, &at, "/dist-packages/", 15);
}

/* __name__ among the first entries of a module's namespace. A look-up would compare keys, and a key may be
 * the program's object. */
static void
find_name(PyObject *globals, struct encode_text *text, struct pyaudit_value *ret)
{
	PyObject *key, *value;
	ssize_t at = 0;

	for (unsigned i = 0; i < NAME_SEARCH_MAX && python.PyDict_Next(globals, &at, &key, &value); i++) {
		if (!encode_is_ascii(key, "__name__", 8))
			continue;
		if (python_type(value) == python.PyUnicode_Type)
			encode_exact_str(text, value, ret);
		return;
	}
}

/* Text that another thread may let go of as soon as the lock is given back. */
static void
keep_text(struct encode_text *text, struct pyaudit_value *value)
{
	if (value->type == 0 || (value->s >= text->bytes && value->s < text->bytes + text->size))
		return;
	if (value->len > text->size - text->len) {
		value->type = 0;
		return;
	}
	memcpy(text->bytes + text->len, value->s, value->len);
	value->s = text->bytes + text->len;
	text->len += value->len;
}

/* Without a GIL the namespace may change under the walk, so it is held as CPython itself holds a dict for a
 * look at its entries. */
static void
find_name_held(PyObject *globals, struct encode_text *text, struct pyaudit_value *ret)
{
	struct py_critical_section section = {{0}};

	if (python.PyCriticalSection_Begin == NULL || python.PyCriticalSection_End == NULL)
		return;
	python.PyCriticalSection_Begin(&section, globals);
	find_name(globals, text, ret);
	keep_text(text, ret);
	python.PyCriticalSection_End(&section);
}

/* __name__ of the frame's globals. */
static void
module_of(PyObject *frame, struct encode_text *text, struct pyaudit_value *ret)
{
	PyObject *globals;
	bool owned = python.PyFrame_GetGlobals != NULL;

	if (!owned && python.minor > 10)
		return;
	globals = owned ? python.PyFrame_GetGlobals(frame) : word_of(frame, FRAME_GLOBALS_310);
	if (globals == NULL)
		return;
	if (python_type(globals) == python.PyDict_Type) {
		if (python.free_threaded)
			find_name_held(globals, text, ret);
		else
			find_name(globals, text, ret);
	}
	if (owned)
		python.Py_DecRef(globals);
}

static PyObject *
code_of(PyObject *frame)
{
	return python.PyFrame_GetCode != NULL ? python.PyFrame_GetCode(frame)
					      : word_of(frame, FRAME_CODE_38);
}

static void
release(PyObject *object)
{
	/* New references come from the functions; 3.8's pointers are borrowed. */
	if (object != NULL && python.PyFrame_GetCode != NULL)
		python.Py_DecRef(object);
}

static PyObject *
back_of(PyObject *frame)
{
	return python.PyFrame_GetBack != NULL ? python.PyFrame_GetBack(frame)
					      : word_of(frame, FRAME_BACK_38);
}

/* The code object is held only for the look: its strings live on, for the frame on the stack
 * keeps its code and the code its strings. */
static void
describe(PyObject *frame, struct encode_text *text, struct pyaudit_origin *ret)
{
	PyObject *code = code_of(frame);
	PyObject *filename, *name;

	ret->file.type = ret->function.type = ret->module.type = 0;
	ret->file.len = ret->function.len = ret->module.len = 0;
	ret->line = 0;
	ret->packages_asked = false;
	ret->n_packages = 0;
	if (code == NULL)
		return;
	filename = encode_code_filename(code);
	name = encode_code_name(code);
	if (filename != NULL && python_type(filename) == python.PyUnicode_Type)
		encode_exact_str(text, filename, &ret->file);
	if (name != NULL && python_type(name) == python.PyUnicode_Type)
		encode_exact_str(text, name, &ret->function);
	module_of(frame, text, &ret->module);
	release(code);
}

static void
locate(PyObject *frame, struct pyaudit_origin *ret)
{
	PyObject *code = code_of(frame);

	if (code == NULL)
		return;
	ret->line = line_of(frame, code);
	release(code);
}

/* The caller alone, as frame 0: describes no more frames than it has to pass. */
static void
find_caller(struct pyaudit_event *event, struct encode_text *text, PyObject *frame)
{
	PyObject *first = frame, *held = NULL;
	struct pyaudit_origin other;

	describe(frame, text, &event->frames[0]);
	event->n_frames = 1;
	for (unsigned n = 1; n < CALLER_SEARCH_MAX && in_stdlib(&event->frames[0].file); n++) {
		PyObject *back = back_of(frame);
		uint32_t keep = text->len;

		release(held);
		held = frame = back;
		if (frame == NULL)
			break;
		describe(frame, text, &other);
		if (!in_stdlib(&other.file)) {
			event->frames[0] = other;
			first = frame;
			break;
		}
		text->len = keep;
	}
	locate(first, &event->frames[0]);
	release(held);
}

static void
whole_stack(struct pyaudit_event *event, struct encode_text *text, PyObject *frame)
{
	PyObject *held = NULL;
	bool found = false;

	while (frame != NULL && event->n_frames < PYAUDIT_STACK_MAX) {
		struct pyaudit_origin *origin = &event->frames[event->n_frames];
		PyObject *back = back_of(frame);

		describe(frame, text, origin);
		if (!found && !in_stdlib(&origin->file)) {
			event->caller = event->n_frames;
			found = true;
		}
		event->n_frames++;
		release(held);
		held = frame = back;
	}
	release(held);
}

/* Frame objects are made here on 3.11, where an allocation can start a collection, and that runs finalisers: the
 * program's code, which may change what the event borrows from. Earlier versions have the frames; later ones collect
 * elsewhere. Returns whether collecting is to be allowed again. */
static bool
without_collecting(void)
{
	return python.minor == 11 && python.PyGC_Disable != NULL && python.PyGC_Disable() != 0;
}

void
origin_walk(struct pyaudit_event *event, struct encode_text *text, unsigned n_wanted)
{
	bool collects = without_collecting();
	PyObject *frame = python.PyEval_GetFrame(); /* borrowed; NULL in threads without Python code */

	event->n_frames = 0;
	event->caller = 0;
	event->lines_asked = n_wanted == 1;
	if (frame != NULL && n_wanted == 1)
		find_caller(event, text, frame);
	else if (frame != NULL)
		whole_stack(event, text, frame);
	if (collects)
		(void)python.PyGC_Enable();
}

void
origin_lines(struct pyaudit_event *event)
{
	bool collects = without_collecting();
	PyObject *frame = python.PyEval_GetFrame(), *held = NULL;

	for (unsigned i = 0; i < event->n_frames && frame != NULL; i++) {
		PyObject *back = back_of(frame);

		locate(frame, &event->frames[i]);
		release(held);
		held = frame = back;
	}
	release(held);
	if (collects)
		(void)python.PyGC_Enable();
}

/* Entries of sys.path that are looked at. */
#define PATH_MAX_ENTRIES 64

/* sys.path as it was when last looked at: another list or length is another path. */
static struct {
	_Atomic(PyObject *) list;
	_Atomic ssize_t len;
} seen_path;

void
origin_know_path(void)
{
	PyObject *list;
	ssize_t n;

	/* Without a GIL another thread may put another list in place of this one. */
	if (python.free_threaded)
		return;
	list = python.PySys_GetObject("path"); /* borrowed; no exception */
	if (list == NULL || (python.PyType_GetFlags(python_type(list)) & PY_TYPE_LIST) == 0)
		return;
	n = python.PyList_Size(list);
	if (list == atomic_load_explicit(&seen_path.list, memory_order_relaxed) &&
	    n == atomic_load_explicit(&seen_path.len, memory_order_relaxed))
		return;
	for (ssize_t i = 0; i < n && i < PATH_MAX_ENTRIES; i++) {
		char copied[PACKAGES_ROOT_MAX];
		struct encode_text text = {copied, 0, sizeof(copied)};
		PyObject *entry = python.PyList_GetItem(list, i);
		struct pyaudit_value dir, file;
		char probe[PACKAGES_ROOT_MAX + 3];

		if (entry == NULL || python_type(entry) != python.PyUnicode_Type)
			continue;
		encode_exact_str(&text, entry, &dir);
		if (dir.flags != 0 || dir.len == 0 || dir.len > PACKAGES_ROOT_MAX)
			continue;
		/* Whatever lies in it is in the standard library: nothing is installed there. */
		memcpy(probe, dir.s, dir.len);
		memcpy(probe + dir.len, "/x", 2);
		file = pyaudit_value_text(probe, dir.len + 2);
		if (!in_stdlib(&file))
			packages_know(dir.s, dir.len);
	}
	atomic_store_explicit(&seen_path.list, list, memory_order_relaxed);
	atomic_store_explicit(&seen_path.len, n, memory_order_relaxed);
}

void
origin_packages(struct pyaudit_origin *frame)
{
	unsigned n;

	frame->n_packages = 0;
	if (!pyaudit_value_is_text(&frame->file) || frame->file.flags != 0 || in_stdlib(&frame->file))
		return;
	if ((uint32_t)getpid() == agent.pid && python_is_attached())
		origin_know_path();
	n = packages_of(frame->file.s, frame->file.len, &frame->packages);
	frame->n_packages = (uint8_t)n;
}
