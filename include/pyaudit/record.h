/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record: one event as it stands in the ring (behind its claim word), in a RECORD frame and in
 * a capture file. A fixed head, then items, each a 4-byte tag head and its bytes.
 *
 * Values of arguments nest: a LIST item is followed by its `count` element items. The order is:
 * NAME (only when event is OTHER), then one item per argument in order, then REAL and
 * REAL_TARGET where they were asked for, then the origin
 * (frames, innermost first: FILE, FUNCTION, MODULE, PACKAGE (for each) and LINE of frame 0, then of frame
 * 1, ...; each frame starts with its FILE item), then RULES, then CONTEXT items, newest first. Unknown tags
 * are skipped by their length.
 */
#ifndef PYAUDIT_RECORD_H
#define PYAUDIT_RECORD_H

#include <assert.h>

#include "pyaudit/le.h"

/* Longest record, head included; also the longest that a ring lane may carry. */
#define PYAUDIT_RECORD_MAX 8192
/* Bytes of one argument that are kept; the length it had goes into the item. */
#define PYAUDIT_TEXT_MAX 4096
/* Elements of a list argument (argv, an address) that are kept. */
#define PYAUDIT_LIST_MAX 64
/* All values of one event, list elements included. */
#define PYAUDIT_VALUES_MAX 96
#define PYAUDIT_ARGS_MAX 16
#define PYAUDIT_STACK_MAX 32
/* Names of distributions of all frames. */
#define PYAUDIT_PACKAGES_MAX 64
/* Rules named in one record; the strongest come first. */
#define PYAUDIT_HITS_MAX 16
/* Events before an alert that its record tells of, and bytes of the text of each. */
#define PYAUDIT_CONTEXT_MAX 32
#define PYAUDIT_CONTEXT_TEXT_MAX 100

enum pyaudit_layer {
	PYAUDIT_LAYER_AUDIT,
	PYAUDIT_LAYER_LIBC,
	PYAUDIT_LAYER_DAEMON,
};

/* Ordered: the strongest of all matching rules wins. */
enum pyaudit_action {
	PYAUDIT_ACTION_NONE,
	PYAUDIT_ACTION_RECORD,
	PYAUDIT_ACTION_ALERT,
	PYAUDIT_ACTION_BLOCK,
	PYAUDIT_ACTION_KILL,
};

enum pyaudit_severity {
	PYAUDIT_SEV_INFO,
	PYAUDIT_SEV_NOTICE,
	PYAUDIT_SEV_WARNING,
	PYAUDIT_SEV_ERROR,
	PYAUDIT_SEV_CRITICAL,
};

enum pyaudit_record_flags {
	PYAUDIT_REC_OBSERVED = 1 << 0, /* the action would have been `block`, but for observe mode */
	PYAUDIT_REC_CUT = 1 << 1,      /* something did not fit whole */
	PYAUDIT_REC_ANNOUNCED = 1 << 3, /* an audit event told of the act before; of the audit layer: the act's first one */
	PYAUDIT_REC_FORKED = 1 << 2,   /* raised in a forked child before its own ring was there */
};

struct pyaudit_record {
	pyaudit_le32 size;  /* with this head; the claim word is not counted */
	pyaudit_le16 event; /* enum pyaudit_event_id */
	uint8_t layer;
	uint8_t action;
	pyaudit_le64 time_ns;    /* CLOCK_REALTIME */
	pyaudit_le64 generation; /* policy that judged it */
	pyaudit_le32 pid;        /* as the process sees itself */
	pyaudit_le32 tid;
	pyaudit_le16 flags;
	uint8_t n_args;
	uint8_t n_frames;
	uint8_t caller; /* frame that raised the event as people see it: see event.h */
	uint8_t reserved[3];
};
static_assert(sizeof(struct pyaudit_record) == 40, "record head size");

enum pyaudit_tag {
	PYAUDIT_TAG_NONE = 1,     /* None; no bytes */
	PYAUDIT_TAG_BOOL = 2,     /* 1 byte */
	PYAUDIT_TAG_INT = 3,      /* 8 bytes, signed */
	PYAUDIT_TAG_FLOAT = 4,    /* 8 bytes, IEEE 754 */
	PYAUDIT_TAG_STR = 5,      /* text: UTF-8; lone surrogates U+DC80..DCFF as the byte they stand for */
	PYAUDIT_TAG_BYTES = 6,    /* bytes */
	PYAUDIT_TAG_LIST = 7,     /* le16: elements that follow; le32: elements it had */
	PYAUDIT_TAG_OBJECT = 8,   /* anything else: its type's name */
	PYAUDIT_TAG_CODE = 9,     /* code object: its co_filename */
	PYAUDIT_TAG_BIGINT = 10,  /* integer beyond 64 bits: no bytes */
	PYAUDIT_TAG_NAME = 32,    /* name of an event the table does not know */
	PYAUDIT_TAG_FILE = 33,
	PYAUDIT_TAG_FUNCTION = 34,
	PYAUDIT_TAG_MODULE = 35,
	PYAUDIT_TAG_LINE = 36,    /* le32 */
	PYAUDIT_TAG_RULES = 37,   /* le16 each: rule numbers in the image of `generation` */
	PYAUDIT_TAG_PACKAGE = 38, /* of the frame at hand: a distribution its file belongs to */
	PYAUDIT_TAG_CONTEXT = 39, /* struct pyaudit_past, then its text */
	PYAUDIT_TAG_REAL = 40,    /* where the event's path leads */
	PYAUDIT_TAG_REAL_TARGET = 41, /* and its second path */
};

/* Head of an item. When CUT is set, a le32 with the full length stands before the bytes (and is
 * counted in `length`). */
struct pyaudit_item {
	uint8_t tag;
	uint8_t flags;
	pyaudit_le16 length; /* bytes that follow this head */
};
static_assert(sizeof(struct pyaudit_item) == 4, "item head size");

#define PYAUDIT_ITEM_CUT 1

/* An event that the process raised before an alert, whether it was recorded or not. Its text, what it was
 * about, ends with the item: a path, a host, the words of a command; of an event that the table does not
 * know, its name. */
struct pyaudit_past {
	pyaudit_le64 time_ns; /* CLOCK_REALTIME to some milliseconds */
	pyaudit_le32 tid;
	pyaudit_le16 event; /* enum pyaudit_event_id */
	uint8_t layer;
	uint8_t action; /* NONE: nobody recorded it */
};
static_assert(sizeof(struct pyaudit_past) == 16, "past event size");

#endif
