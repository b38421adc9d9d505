/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "origin.h"

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

/* <base_prefix>/lib[64]/python3.N[t]/ but not site-packages or dist-packages below it; frozen
 * modules. What sys.base_prefix says is the program's word: it decides which frame is shown as
 * the caller, the stack in an alert is whole. */
static bool
in_stdlib(const struct pyaudit_value *file)
{
	PyObject *prefix;
	char room[256];
	struct encode_text text = {room, 0, sizeof(room)};
	struct pyaudit_value base;
	uint32_t at = 0;

	if (starts(file, &at, "<frozen ", 8))
		return true;
	if (file->len == 0 || file->s[0] != '/')
		return false;
	prefix = python.PySys_GetObject("base_prefix"); /* borrowed; no exception */
	if (prefix == NULL)
		return false;
	base = encode_str(&text, prefix);
	if (!pyaudit_value_is_text(&base) || !starts(file, &at, base.s, base.len) ||
	    !starts(file, &at, "/lib", 4))
		return false;
	(void)starts(file, &at, "64", 2);
	if (!starts(file, &at, "/python3.", 9))
		return false;
	while (at < file->len && file->s[at] != '/')
		at++;
	return !starts(file, &at, "/site-packages/", 15) && !starts(file, &at, "/dist-packages/", 15);
}

/* __name__ of the frame's globals: looked for by walking the first entries, because a look-up
 * would compare keys, and a key may be the program's object. Not without a GIL: the dict may
 * change under the walk. */
static struct pyaudit_value
module_of(PyObject *frame, struct encode_text *text)
{
	static const char wanted[] = "__name__";
	struct pyaudit_value name = {0};
	PyObject *globals, *key, *value;
	bool owned = python.PyFrame_GetGlobals != NULL;
	ssize_t at = 0;

	if (python.free_threaded || (!owned && python.minor > 10))
		return name;
	globals = owned ? python.PyFrame_GetGlobals(frame) : word_of(frame, FRAME_GLOBALS_310);
	if (globals == NULL)
		return name;
	if (python_type(globals) == python.PyDict_Type)
		for (unsigned i = 0;
		     i < NAME_SEARCH_MAX && python.PyDict_Next(globals, &at, &key, &value); i++) {
			struct pyaudit_value k;
			uint32_t keep = text->len;

			if (python_type(key) != python.PyUnicode_Type)
				continue;
			k = encode_str(text, key);
			text->len = keep;
			if (k.len != sizeof(wanted) - 1 || memcmp(k.s, wanted, k.len) != 0)
				continue;
			if (python_type(value) == python.PyUnicode_Type)
				name = encode_str(text, value);
			break;
		}
	if (owned)
		python.Py_DecRef(globals);
	return name;
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

static struct pyaudit_value
text_or_absent(PyObject *object, struct encode_text *text)
{
	return object != NULL ? encode_str(text, object) : (struct pyaudit_value){0};
}

/* The code object is held only for the look: its strings live on, for the frame on the stack
 * keeps its code and the code its strings. */
static struct pyaudit_origin
describe(PyObject *frame, struct encode_text *text)
{
	struct pyaudit_origin origin = {0};
	PyObject *code = code_of(frame);
	int line;

	if (code == NULL)
		return origin;
	origin.file = text_or_absent(encode_code_filename(code), text);
	origin.function = text_or_absent(encode_code_name(code), text);
	release(code);
	origin.module = module_of(frame, text);
	line = python.PyFrame_GetLineNumber(frame);
	origin.line = line > 0 ? (uint32_t)line : 0;
	return origin;
}

void
origin_walk(struct pyaudit_event *event, struct encode_text *text, unsigned n_wanted)
{
	PyObject *frame = python.PyEval_GetFrame(); /* borrowed; NULL in threads without Python code */
	unsigned limit = n_wanted == 1 ? CALLER_SEARCH_MAX : PYAUDIT_STACK_MAX;
	struct pyaudit_origin first = {0};
	uint32_t keep = text->len;
	bool found = false, owned = false;
	unsigned n = 0;

	event->n_frames = 0;
	event->caller = 0;
	while (frame != NULL && n < limit && !(found && n_wanted == 1)) {
		struct pyaudit_origin origin = describe(frame, text);
		bool foreign = !found && !in_stdlib(&origin.file);
		PyObject *back = back_of(frame);

		if (n == 0) {
			first = origin;
			keep = text->len;
		}
		if (foreign)
			event->caller = (uint8_t)(n_wanted == 1 ? 0 : n);
		found = found || foreign;
		if (n_wanted > 1)
			event->frames[event->n_frames++] = origin;
		else if (found)
			event->frames[0] = origin;
		else if (n > 0)
			text->len = keep;
		if (owned)
			release(frame);
		owned = true;
		frame = back;
		n++;
	}
	if (owned)
		release(frame);
	if (n_wanted == 1 && n > 0) {
		if (!found)
			event->frames[0] = first;
		event->n_frames = 1;
	}
}
