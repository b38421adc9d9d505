/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One audit event as the evaluator sees it: typed values that borrow their bytes. The agent fills
 * it from Python objects, the daemon and the tools from records and from rule tests; field
 * extraction, verdict and record encoding work on this form alone. libc only.
 */
#ifndef AGENT_EVENT_H
#define AGENT_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pyaudit/events.h"
#include "pyaudit/record.h"

#define PYAUDIT_VALUE_CUT 1 /* len < full_len (LIST: n_items < full_len) */

struct pyaudit_value {
	uint8_t type;     /* enum pyaudit_tag, NONE..BIGINT; 0: absent */
	uint8_t flags;
	uint16_t n_items; /* LIST */
	uint32_t len;     /* STR, BYTES, OBJECT, CODE: bytes at s */
	uint32_t full_len;
	union {
		int64_t i; /* INT, BOOL */
		double f;
		const char *s; /* not NUL terminated */
		const struct pyaudit_value *items;
	};
};

struct pyaudit_origin {
	struct pyaudit_value file, function, module; /* STR or absent */
	uint32_t line;
	bool packages_asked;
	uint8_t n_packages; /* distributions that the file belongs to, as far as asked */
	const struct pyaudit_value *packages;
};

/* Facts of a process, indexed by field - PYAUDIT_F_PROC_PID. Absent ones have type 0. */
#define PYAUDIT_N_FACTS (PYAUDIT_F_PROC_VENV - PYAUDIT_F_PROC_PID + 1)
struct pyaudit_facts {
	struct pyaudit_value fact[PYAUDIT_N_FACTS];
};

struct pyaudit_event {
	uint16_t id; /* enum pyaudit_event_id */
	uint8_t layer;
	uint8_t n_args;
	bool announced; /* libc layer: the audit layer told of this act; audit layer: an event before it did */
	uint32_t name_len;
	const char *name;
	const struct pyaudit_value *args;
	/* Where set, arguments are filled in when first asked for: fetch(event, n) for each whose
	 * bit is not in `fetched` yet. */
	uint32_t fetched;
	void (*fetch)(struct pyaudit_event *event, unsigned n);

	/* Frames, innermost first. n_frames counts those filled; where the first or all of them
	 * are asked for and origin is set, it is called once with the number wanted (1 or
	 * PYAUDIT_STACK_MAX) and fills frames and n_frames. */
	struct pyaudit_origin *frames; /* room for PYAUDIT_STACK_MAX */
	uint8_t n_frames;
	uint8_t caller; /* index of the caller: the innermost frame outside the standard library,
			   so that subprocess.run names the line that called it; else frame 0 */
	uint8_t origin_asked; /* largest number asked for so far */
	bool lines_asked;     /* the frames have their lines */
	void (*origin)(struct pyaudit_event *event, unsigned n_wanted);
	/* Where set, fills in the lines of the frames that are there when first asked for, unless origin did: what
	 * takes the most of a whole stack, and rules hardly ask for it. */
	void (*lines)(struct pyaudit_event *event);
	/* Where set, fills in the packages of a frame when first asked for. */
	void (*packages)(struct pyaudit_origin *frame);
	void *data; /* of fetch and origin */

	/* Where the paths lead, STR or absent. Where resolve is set, it is called once when they are
	 * first asked for, and takes their text from the scratch. */
	struct pyaudit_value real, real_target;
	bool real_asked;
	void (*resolve)(struct pyaudit_event *event);

	/* Room for values that are made (joined argv, lists of stack files). Reset by nobody: an
	 * event uses it up, and what no longer fits is cut. */
	char *scratch;
	uint32_t scratch_len, scratch_size;
};

/* Makes sure that the packages of a frame are there, if it has any. */
static inline void
pyaudit_event_need_packages(struct pyaudit_event *event, unsigned n)
{
	struct pyaudit_origin *frame = &event->frames[n];

	if (!frame->packages_asked && event->packages != NULL) {
		event->packages(frame);
		frame->packages_asked = true;
	}
}

/* Makes sure that @n frames are there, where there are as many. They are made anew: what was known of the
 * caller's packages is asked for again, so that the record has it. */
static inline void
pyaudit_event_need_frames(struct pyaudit_event *event, unsigned n)
{
	bool packages = event->n_frames > event->caller &&
			event->frames[event->caller].packages_asked;

	if (event->origin_asked < n && event->origin != NULL) {
		event->lines_asked = false;
		event->origin(event, n);
		event->origin_asked = (uint8_t)n;
		if (packages && event->caller < event->n_frames)
			pyaudit_event_need_packages(event, event->caller);
	}
}

/* Makes sure that the frames that are there have their lines. Where there are none, this thread may not be one that looks. */
static inline void
pyaudit_event_need_lines(struct pyaudit_event *event)
{
	if (!event->lines_asked && event->n_frames > 0 && event->lines != NULL) {
		event->lines_asked = true;
		event->lines(event);
	}
}

/* Makes sure that real and real_target are there, if the paths lead somewhere. */
static inline void
pyaudit_event_need_real(struct pyaudit_event *event)
{
	if (!event->real_asked && event->resolve != NULL) {
		event->real_asked = true;
		event->resolve(event);
	}
}

/* Makes sure that argument @n, below n_args, is there. */
static inline void
pyaudit_event_need_arg(struct pyaudit_event *event, unsigned n)
{
	if (event->fetch != NULL && (event->fetched >> n & 1) == 0) {
		event->fetched |= UINT32_C(1) << n;
		event->fetch(event, n);
	}
}

static inline struct pyaudit_value
pyaudit_value_text(const char *s, size_t len)
{
	return (struct pyaudit_value){.type = PYAUDIT_TAG_STR, .len = (uint32_t)len,
				      .full_len = (uint32_t)len, .s = s};
}

static inline struct pyaudit_value
pyaudit_value_int(int64_t i)
{
	return (struct pyaudit_value){.type = PYAUDIT_TAG_INT, .i = i};
}

/* A value that has text a condition can test: STR, BYTES or CODE. */
static inline bool
pyaudit_value_is_text(const struct pyaudit_value *v)
{
	return v->type == PYAUDIT_TAG_STR || v->type == PYAUDIT_TAG_BYTES ||
	       v->type == PYAUDIT_TAG_CODE;
}

/* fields.c */

/* One joined command line or, of other events, where a path leads, argv of a shell, programs, the four lists of a stack,
 * kinds of credentials: whatever rules ask of an event, it fits. */
#define PYAUDIT_SCRATCH_SIZE 10240

/*
 * Puts into *ret the value of an EVENT or ORIGIN field: STR/BYTES for text fields, INT, BOOL, or
 * LIST for list fields (its items are STR or BYTES; other elements are left out). Returns false
 * where the event has no such field or its value is of another type (an object in place of a
 * path): conditions on it do not hold. Never allocates; the result borrows from the event and its
 * scratch.
 */
bool pyaudit_field(struct pyaudit_event *event, unsigned field, struct pyaudit_value *ret);

/* Fields that are an argument as it stands, and the argument; absent where it is no text. Not copied, for
 * what was written a moment ago in small parts is not to be had at once by a wide load. */
#define PYAUDIT_PLAIN_FIELDS                                                                                        \
	(UINT64_C(1) << PYAUDIT_F_EXEC_CWD | UINT64_C(1) << PYAUDIT_F_FILE_PATH | UINT64_C(1) << PYAUDIT_F_FILE_TARGET | \
	 UINT64_C(1) << PYAUDIT_F_URL_FULL | UINT64_C(1) << PYAUDIT_F_URL_METHOD |                                       \
	 UINT64_C(1) << PYAUDIT_F_IMPORT_MODULE | UINT64_C(1) << PYAUDIT_F_IMPORT_PATH |                                 \
	 UINT64_C(1) << PYAUDIT_F_CODE_FILENAME | UINT64_C(1) << PYAUDIT_F_CODE_SOURCE |                                 \
	 UINT64_C(1) << PYAUDIT_F_PICKLE_MODULE | UINT64_C(1) << PYAUDIT_F_PICKLE_NAME |                                 \
	 UINT64_C(1) << PYAUDIT_F_LIB_PATH | UINT64_C(1) << PYAUDIT_F_LIB_SYMBOL |                                       \
	 UINT64_C(1) << PYAUDIT_F_ENV_NAME | UINT64_C(1) << PYAUDIT_F_ENV_VALUE | UINT64_C(1) << PYAUDIT_F_SCRIPT)
const struct pyaudit_value *pyaudit_field_plain(struct pyaudit_event *event, unsigned field);

/* Where an event has a field from, or NULL. */
static inline const struct pyaudit_source *
pyaudit_source_of(unsigned event, unsigned field)
{
	const struct pyaudit_source *source = pyaudit_event_sources[event];

	for (unsigned i = 0; i < PYAUDIT_SOURCES_MAX && source[i].how != PYAUDIT_HOW_NONE; i++)
		if (source[i].field == field)
			return &source[i];
	return NULL;
}

/* Which argument of an event a plain field is, whatever it holds; PYAUDIT_ARGS_MAX where it is none. */
static inline unsigned
pyaudit_field_argument(unsigned event, unsigned field)
{
	const struct pyaudit_source *source = NULL;

	if ((PYAUDIT_PLAIN_FIELDS >> field & 1) != 0)
		source = pyaudit_source_of(event, field);
	return source != NULL && source->how == PYAUDIT_HOW_ARG ? source->arg : PYAUDIT_ARGS_MAX;
}

/* proc.c: what the arguments and the control group of a process say of it */

/* The script of a Python process: a path, "-c", "-m module" (made in @buf) or "-" (standard
 * input, no arguments). @argv is a LIST of texts. Absent (type 0) where it is not to be told. */
struct pyaudit_value pyaudit_script_of(const struct pyaudit_value *argv, char *buf, size_t size);
/* The systemd unit and the container id in a control group path; absent where there is none. */
struct pyaudit_value pyaudit_unit_of(const struct pyaudit_value *cgroup);
struct pyaudit_value pyaudit_container_of(const struct pyaudit_value *cgroup);

/* programs.c: what a command line starts */

#define PYAUDIT_PROGRAMS_MAX PYAUDIT_LIST_MAX

struct pyaudit_program_word {
	struct pyaudit_value name; /* last component; STR */
	unsigned at;		   /* its word of argv */
};

/* The last component of @path, and of the words of @argv, a LIST, that it is told to start, as far as they can be told
 * from its options; what they are told to start in turn. Returns how many, 1 at least. */
unsigned pyaudit_programs(const struct pyaudit_value *path, const struct pyaudit_value *argv,
			  struct pyaudit_program_word ret[PYAUDIT_PROGRAMS_MAX]);

/* codec.c */

/* Arguments and frames must have been fetched. Writes the event as one record of at most PYAUDIT_RECORD_MAX bytes; returns its size. What
 * does not fit is cut, and said so. @rules are hits, strongest first. */
struct pyaudit_verdict;
size_t pyaudit_record_encode(uint8_t out[PYAUDIT_RECORD_MAX], const struct pyaudit_event *event,
			     const struct pyaudit_verdict *verdict, uint64_t generation,
			     uint64_t time_ns, uint32_t pid, uint32_t tid);

/* An earlier event of the process as the agent keeps it for alerts. */
struct pyaudit_context {
	uint64_t time_ns;
	uint32_t number; /* how many were kept before, and 1; 0: none stands here */
	uint32_t tid;
	uint32_t full_len; /* of the text */
	uint16_t event;
	uint8_t layer, action;
	uint8_t len;
	bool is_raw; /* the text is whole, and credentials in it are not replaced */
	char text[PYAUDIT_CONTEXT_TEXT_MAX];
};

/* What the event was about, into @ret->text. The arguments needed for it are fetched. */
void pyaudit_context_text(struct pyaudit_context *ret, struct pyaudit_event *event);

/* Adds an item behind a record; returns its new size, which is @size where there was no room. */
size_t pyaudit_record_add_context(uint8_t record[PYAUDIT_RECORD_MAX], size_t size,
				  const struct pyaudit_context *context);

/* The same, decoded. */
struct pyaudit_decoded_context {
	uint64_t time_ns;
	uint32_t tid;
	uint16_t event;
	uint8_t layer, action;
	struct pyaudit_value text; /* len 0: none */
};

/* What a decoded record needs beside the bytes it borrows from. */
struct pyaudit_decoded {
	struct pyaudit_event event; /* frames and args point into this struct */
	uint8_t action;
	uint16_t flags;
	uint64_t time_ns, generation;
	uint32_t pid, tid;
	uint16_t hits[PYAUDIT_HITS_MAX];
	uint8_t n_hits;
	uint8_t n_context;
	struct pyaudit_value values[PYAUDIT_VALUES_MAX];
	struct pyaudit_origin frames[PYAUDIT_STACK_MAX];
	struct pyaudit_value packages[PYAUDIT_PACKAGES_MAX]; /* of the frames */
	unsigned n_packages;
	struct pyaudit_decoded_context context[PYAUDIT_CONTEXT_MAX]; /* newest first */
};

/* Checks and decodes a record from an untrusted peer. 0, or -EBADMSG; *ret borrows @bytes. */
int pyaudit_record_decode(struct pyaudit_decoded *ret, const uint8_t *bytes, size_t size);

#endif
