/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events to records and back (include/pyaudit/record.h). The encoder never fails: what does not
 * fit is cut and marked. The decoder gets its bytes from an untrusted peer: it checks every length
 * before it looks, and gives out values that point into the bytes it was handed.
 */
#include <errno.h>
#include <string.h>

#include "event.h"
#include "secrets.h"
#include "verdict.h"

/* Arguments may not fill the room that the caller's frame and the rules need. */
#define ORIGIN_ROOM 768
#define RULES_ROOM (sizeof(struct pyaudit_item) + 2 * PYAUDIT_HITS_MAX)

struct writer {
	uint8_t *at, *end;
	bool cut;
	struct pyaudit_secrets secrets; /* of the arguments */
};

/* The head of an item goes out as one word. */
static inline uint8_t *
put_head(uint8_t *at, uint8_t tag, uint8_t flags, uint32_t length)
{
	pyaudit_le32 head = pyaudit_le32_of(tag | (uint32_t)flags << 8 | length << 16);

	static_assert(sizeof(head) == sizeof(struct pyaudit_item), "item head size");
	memcpy(at, &head, sizeof(head));
	return at + sizeof(head);
}

static inline bool
write_item(struct writer *w, uint8_t tag, const void *bytes, uint32_t len)
{
	if (__builtin_expect((size_t)(w->end - w->at) < sizeof(struct pyaudit_item) + len, 0)) {
		w->cut = true;
		return false;
	}
	w->at = put_head(w->at, tag, 0, len);
	if (len > 0)
		memcpy(w->at, bytes, len);
	w->at += len;
	return true;
}

static __attribute__((noinline)) bool
write_cut_text(struct writer *w, uint8_t tag, const struct pyaudit_value *v)
{
	pyaudit_le32 full = pyaudit_le32_of(v->full_len);
	size_t room = (size_t)(w->end - w->at);
	uint32_t len = v->len < PYAUDIT_TEXT_MAX ? v->len : PYAUDIT_TEXT_MAX;

	w->cut = true;
	if (room < sizeof(struct pyaudit_item) + sizeof(full))
		return false;
	room -= sizeof(struct pyaudit_item) + sizeof(full);
	if (len > room)
		len = (uint32_t)room;
	w->at = put_head(w->at, tag, PYAUDIT_ITEM_CUT, (uint32_t)sizeof(full) + len);
	memcpy(w->at, &full, sizeof(full));
	w->at += sizeof(full);
	if (len > 0)
		memcpy(w->at, v->s, len);
	w->at += len;
	return true;
}

static inline bool
write_text(struct writer *w, uint8_t tag, const struct pyaudit_value *v)
{
	if (__builtin_expect(v->flags == 0 && v->len <= PYAUDIT_TEXT_MAX &&
				     (size_t)(w->end - w->at) >= sizeof(struct pyaudit_item) + v->len,
			     1))
		return write_item(w, tag, v->s, v->len);
	return write_cut_text(w, tag, v);
}

/* Text with `<redacted:KIND>` in place of what looks like a credential, if something does. */
static __attribute__((noinline)) bool
write_looked_at(struct writer *w, uint8_t tag, const struct pyaudit_value *v)
{
	struct pyaudit_secrets dry = w->secrets, begun = w->secrets;
	size_t head = sizeof(struct pyaudit_item), whole, room, len;
	struct pyaudit_secret secret;
	pyaudit_le32 full;
	bool cut;

	if (!pyaudit_secret_next(&w->secrets, v, 0, &secret))
		return write_text(w, tag, v);
	w->secrets = begun;
	whole = pyaudit_redact(&dry, v, NULL, 0);
	cut = v->flags != 0 || whole > PYAUDIT_TEXT_MAX;
	if (!cut && (size_t)(w->end - w->at) < head + whole)
		cut = true;
	head += cut ? sizeof(full) : 0;
	w->cut = w->cut || cut;
	if ((size_t)(w->end - w->at) < head)
		return false;
	room = (size_t)(w->end - w->at) - head;
	len = whole < PYAUDIT_TEXT_MAX ? whole : PYAUDIT_TEXT_MAX;
	len = len < room ? len : room;
	(void)pyaudit_redact(&w->secrets, v, (char *)w->at + head, len);
	full = pyaudit_le32_of(v->full_len > len ? v->full_len : (uint32_t)whole);
	(void)put_head(w->at, tag, cut ? PYAUDIT_ITEM_CUT : 0,
		       (uint32_t)(head + len - sizeof(struct pyaudit_item)));
	if (cut)
		memcpy(w->at + sizeof(struct pyaudit_item), &full, sizeof(full));
	w->at += head + len;
	return true;
}

static inline bool
write_argument(struct writer *w, uint8_t tag, const struct pyaudit_value *v)
{
	if (__builtin_expect(pyaudit_secret_likely(&w->secrets, v), 0))
		return write_looked_at(w, tag, v);
	return write_text(w, tag, v);
}

static inline bool
write_scalar(struct writer *w, const struct pyaudit_value *v)
{
	pyaudit_le64 number;
	uint64_t bits;
	uint8_t truth;

	switch (v->type) {
	case PYAUDIT_TAG_BOOL:
		truth = v->i != 0;
		return write_item(w, v->type, &truth, 1);
	case PYAUDIT_TAG_INT:
		number = pyaudit_le64_of((uint64_t)v->i);
		return write_item(w, v->type, &number, sizeof(number));
	case PYAUDIT_TAG_FLOAT:
		memcpy(&bits, &v->f, sizeof(bits));
		number = pyaudit_le64_of(bits);
		return write_item(w, v->type, &number, sizeof(number));
	case PYAUDIT_TAG_STR:
	case PYAUDIT_TAG_BYTES:
	case PYAUDIT_TAG_CODE:
		return write_argument(w, v->type, v);
	case PYAUDIT_TAG_OBJECT:
		return write_text(w, v->type, v);
	case PYAUDIT_TAG_BIGINT:
		return write_item(w, v->type, NULL, 0);
	default:
		return write_item(w, PYAUDIT_TAG_NONE, NULL, 0);
	}
}

static bool
write_list(struct writer *w, const struct pyaudit_value *v)
{
	struct {
		pyaudit_le16 count;
		pyaudit_le32 full;
	} body = {.full = pyaudit_le32_of(v->full_len)};
	uint8_t *count_at = w->at + sizeof(struct pyaudit_item);
	uint16_t n = 0;

	static_assert(sizeof(body) == 6, "list item size");
	if (!write_item(w, PYAUDIT_TAG_LIST, &body, sizeof(body)))
		return false;
	w->secrets.word = true;
	while (n < v->n_items && write_scalar(w, &v->items[n]))
		n++;
	w->secrets.word = false;
	w->secrets.next = w->secrets.program = 0;
	if (n < v->full_len)
		w->cut = true;
	body.count = pyaudit_le16_of(n);
	memcpy(count_at, &body.count, sizeof(body.count));
	return true;
}

static void
write_frame(struct writer *w, const struct pyaudit_origin *frame)
{
	pyaudit_le32 line = pyaudit_le32_of(frame->line);

	w->secrets = (struct pyaudit_secrets){0};
	if (pyaudit_value_is_text(&frame->file) && frame->file.len > 0)
		(void)write_argument(w, PYAUDIT_TAG_FILE, &frame->file);
	else
		(void)write_text(w, PYAUDIT_TAG_FILE, &frame->file);
	if (pyaudit_value_is_text(&frame->function))
		(void)write_text(w, PYAUDIT_TAG_FUNCTION, &frame->function);
	if (pyaudit_value_is_text(&frame->module))
		(void)write_text(w, PYAUDIT_TAG_MODULE, &frame->module);
	for (unsigned i = 0; i < frame->n_packages; i++)
		(void)write_text(w, PYAUDIT_TAG_PACKAGE, &frame->packages[i]);
	(void)write_item(w, PYAUDIT_TAG_LINE, &line, sizeof(line));
}

static void
write_real(struct writer *w, const struct pyaudit_event *event)
{
	w->secrets = (struct pyaudit_secrets){0};
	if (pyaudit_value_is_text(&event->real))
		(void)write_argument(w, PYAUDIT_TAG_REAL, &event->real);
	if (pyaudit_value_is_text(&event->real_target))
		(void)write_argument(w, PYAUDIT_TAG_REAL_TARGET, &event->real_target);
}

static size_t
frame_size(const struct pyaudit_origin *frame)
{
	size_t size = 4 * sizeof(struct pyaudit_item) + 3 * sizeof(pyaudit_le32) +
		      sizeof(pyaudit_le32) + frame->file.len + frame->function.len +
		      frame->module.len;

	for (unsigned i = 0; i < frame->n_packages; i++)
		size += sizeof(struct pyaudit_item) + frame->packages[i].len;
	return size;
}

size_t
pyaudit_record_encode(uint8_t out[PYAUDIT_RECORD_MAX], const struct pyaudit_event *event,
		      const struct pyaudit_verdict *verdict, uint64_t generation, uint64_t time_ns,
		      uint32_t pid, uint32_t tid)
{
	/* Written where it stays: a copy by wide loads would wait for the stores of its fields. */
	struct pyaudit_record *head = (struct pyaudit_record *)(void *)out;
	struct writer w = {out + sizeof(*head), out + PYAUDIT_RECORD_MAX - RULES_ROOM - ORIGIN_ROOM,
			   false, pyaudit_secrets_of(event)};
	unsigned n_frames = 0, n_args = 0;

	static_assert(_Alignof(struct pyaudit_record) == 1, "of bytes alone");

	if (event->id == PYAUDIT_EV_OTHER) {
		struct pyaudit_value name = pyaudit_value_text(event->name, event->name_len);

		(void)write_text(&w, PYAUDIT_TAG_NAME, &name);
	}
	for (unsigned i = 0; i < event->n_args && i < PYAUDIT_ARGS_MAX; i++) {
		const struct pyaudit_value *v = &event->args[i];
		bool written = v->type == PYAUDIT_TAG_LIST ? write_list(&w, v) : write_scalar(&w, v);

		if (!written)
			break;
		n_args++;
	}
	w.end += ORIGIN_ROOM;
	write_real(&w, event);
	while (n_frames < event->n_frames && n_frames < PYAUDIT_STACK_MAX) {
		/* A frame is written whole or not at all; the last that fits may be cut. */
		if (n_frames > 0 && frame_size(&event->frames[n_frames]) > (size_t)(w.end - w.at)) {
			w.cut = true;
			break;
		}
		write_frame(&w, &event->frames[n_frames]);
		n_frames++;
	}
	w.end += RULES_ROOM;
	if (verdict->n_hits > 0) {
		pyaudit_le16 rules[PYAUDIT_HITS_MAX];
		unsigned n = verdict->n_hits < PYAUDIT_HITS_MAX ? verdict->n_hits : PYAUDIT_HITS_MAX;

		for (unsigned i = 0; i < n; i++)
			rules[i] = pyaudit_le16_of(verdict->hits[i]);
		(void)write_item(&w, PYAUDIT_TAG_RULES, rules, n * (uint32_t)sizeof(rules[0]));
	}
	head->size = pyaudit_le32_of((uint32_t)(w.at - out));
	head->event = pyaudit_le16_of(event->id);
	head->layer = event->layer;
	head->action = verdict->action;
	head->time_ns = pyaudit_le64_of(time_ns);
	head->generation = pyaudit_le64_of(generation);
	head->pid = pyaudit_le32_of(pid);
	head->tid = pyaudit_le32_of(tid);
	head->flags = pyaudit_le16_of((uint16_t)((verdict->observed ? PYAUDIT_REC_OBSERVED : 0) |
						 (event->announced ? PYAUDIT_REC_ANNOUNCED : 0) |
						 (w.cut ? PYAUDIT_REC_CUT : 0)));
	head->n_args = (uint8_t)n_args;
	head->n_frames = (uint8_t)n_frames;
	head->caller = event->caller < n_frames ? event->caller : 0;
	memset(head->reserved, 0, sizeof(head->reserved));
	return (size_t)(w.at - out);
}

/* Adds to the text of a context; false: it is full, and what it would have had is more than @full. */
static bool
add_text(struct pyaudit_context *ret, const char *s, uint32_t len)
{
	uint32_t room = PYAUDIT_CONTEXT_TEXT_MAX - ret->len, n = len < room ? len : room;

	if (n > 0)
		memcpy(ret->text + ret->len, s, n);
	ret->len = (uint8_t)(ret->len + n);
	ret->full_len += len;
	return n == len;
}

static bool
add_redacted(struct pyaudit_context *ret, struct pyaudit_secrets *secrets, const struct pyaudit_value *v)
{
	uint32_t room = PYAUDIT_CONTEXT_TEXT_MAX - ret->len;
	size_t whole;

	if (!pyaudit_secret_likely(secrets, v))
		return add_text(ret, v->s, v->len);
	whole = pyaudit_redact(secrets, v, ret->text + ret->len, room);
	ret->len = (uint8_t)(ret->len + (whole < room ? whole : room));
	ret->full_len += (uint32_t)whole;
	return whole <= room;
}

static bool
add_number(struct pyaudit_context *ret, int64_t number)
{
	char digits[24], *at = digits + sizeof(digits);
	uint64_t n = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

	do
		*--at = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	if (number < 0)
		*--at = '-';
	return add_text(ret, at, (uint32_t)(digits + sizeof(digits) - at));
}

/* The words of a command, an address: with blanks between. */
static void
add_list(struct pyaudit_context *ret, const struct pyaudit_value *list)
{
	struct pyaudit_secrets secrets = {.word = true};
	bool more = true;

	for (unsigned i = 0; more && i < list->n_items; i++) {
		const struct pyaudit_value *v = &list->items[i];

		if (i > 0)
			more = add_text(ret, " ", 1);
		if (more && pyaudit_value_is_text(v))
			more = add_redacted(ret, &secrets, v);
		else if (more && v->type == PYAUDIT_TAG_INT)
			more = add_number(ret, v->i);
	}
	if (!more && ret->full_len <= ret->len)
		ret->full_len = ret->len + 1u;
}

/* The argument that says what the event was about: for programs their words where they are a list, else
 * what gives its first field. */
static const struct pyaudit_value *
telling_argument(struct pyaudit_event *event)
{
	const struct pyaudit_source *sources = pyaudit_event_sources[event->id];
	unsigned arg = sources[0].how != PYAUDIT_HOW_NONE ? sources[0].arg : 0;

	if (sources[0].field == PYAUDIT_F_EXEC_PATH && sources[1].how == PYAUDIT_HOW_ARG &&
	    sources[1].arg < event->n_args) {
		pyaudit_event_need_arg(event, sources[1].arg);
		if (event->args[sources[1].arg].type == PYAUDIT_TAG_LIST)
			return &event->args[sources[1].arg];
	}
	if (arg >= event->n_args)
		return NULL;
	pyaudit_event_need_arg(event, arg);
	return &event->args[arg];
}

void
pyaudit_context_text(struct pyaudit_context *ret, struct pyaudit_event *event)
{
	struct pyaudit_value name = pyaudit_value_text(event->name, event->name_len);
	const struct pyaudit_value *v =
		event->id == PYAUDIT_EV_OTHER ? &name : telling_argument(event);
	struct pyaudit_secrets secrets;

	ret->len = 0;
	ret->full_len = 0;
	ret->is_raw = false;
	if (v == NULL)
		return;
	if (__builtin_expect(pyaudit_value_is_text(v), 1)) {
		/* A credential that was cut is not known for one any more. */
		ret->is_raw = v->len <= PYAUDIT_CONTEXT_TEXT_MAX && v->flags == 0;
		secrets = pyaudit_secrets_of(event);
		if (ret->is_raw)
			(void)add_text(ret, v->s, v->len);
		else
			(void)add_redacted(ret, &secrets, v);
	} else if (v->type == PYAUDIT_TAG_LIST) {
		add_list(ret, v);
	} else if (v->type == PYAUDIT_TAG_INT) {
		(void)add_number(ret, v->i);
	}
}

size_t
pyaudit_record_add_context(uint8_t record[PYAUDIT_RECORD_MAX], size_t size,
			   const struct pyaudit_context *context)
{
	const struct pyaudit_event event = {.id = context->event};
	struct pyaudit_context clean = {.len = 0};
	struct pyaudit_past past = {
		.time_ns = pyaudit_le64_of(context->time_ns),
		.tid = pyaudit_le32_of(context->tid),
		.event = pyaudit_le16_of(context->event),
		.layer = context->layer,
		.action = context->action,
	};
	pyaudit_le32 full;
	uint8_t *at = record + size;
	bool cut;

	if (context->is_raw) {
		struct pyaudit_value v = pyaudit_value_text(context->text, context->len);
		struct pyaudit_secrets secrets = pyaudit_secrets_of(&event);

		(void)add_redacted(&clean, &secrets, &v);
	} else {
		(void)add_text(&clean, context->text, context->len);
		clean.full_len = context->full_len;
	}
	cut = clean.full_len > clean.len;
	full = pyaudit_le32_of(clean.full_len);
	if (PYAUDIT_RECORD_MAX - size <
	    sizeof(struct pyaudit_item) + sizeof(full) + sizeof(past) + clean.len)
		return size;
	at = put_head(at, PYAUDIT_TAG_CONTEXT, cut ? PYAUDIT_ITEM_CUT : 0,
		      (uint32_t)((cut ? sizeof(full) : 0) + sizeof(past)) + clean.len);
	if (cut) {
		memcpy(at, &full, sizeof(full));
		at += sizeof(full);
	}
	memcpy(at, &past, sizeof(past));
	memcpy(at + sizeof(past), clean.text, clean.len);
	size = (size_t)(at - record) + sizeof(past) + clean.len;
	full = pyaudit_le32_of((uint32_t)size); /* the head's first word */
	memcpy(record, &full, sizeof(full));
	return size;
}

struct reader {
	const uint8_t *at, *end;
};

struct item {
	uint8_t tag;
	bool cut;
	uint32_t full_len;
	const uint8_t *bytes;
	uint16_t len;
};

static bool
read_item(struct reader *r, struct item *ret)
{
	struct pyaudit_item head;

	if ((size_t)(r->end - r->at) < sizeof(head))
		return false;
	memcpy(&head, r->at, sizeof(head));
	*ret = (struct item){.tag = head.tag,
			     .cut = (head.flags & PYAUDIT_ITEM_CUT) != 0,
			     .bytes = r->at + sizeof(head),
			     .len = pyaudit_get16(head.length)};
	if ((size_t)(r->end - ret->bytes) < ret->len)
		return false;
	r->at = ret->bytes + ret->len;
	ret->full_len = ret->len;
	if (ret->cut) {
		pyaudit_le32 full;

		if (ret->len < sizeof(full))
			return false;
		memcpy(&full, ret->bytes, sizeof(full));
		ret->full_len = pyaudit_get32(full);
		ret->bytes += sizeof(full);
		ret->len = (uint16_t)(ret->len - sizeof(full));
	}
	return true;
}

static struct pyaudit_value
text_of(const struct item *item, uint8_t type)
{
	struct pyaudit_value v = pyaudit_value_text((const char *)item->bytes, item->len);

	v.type = type;
	v.full_len = item->full_len;
	v.flags = item->cut ? PYAUDIT_VALUE_CUT : 0;
	return v;
}

static bool
read_scalar(const struct item *item, struct pyaudit_value *ret)
{
	pyaudit_le64 number;
	uint64_t bits;

	*ret = (struct pyaudit_value){.type = item->tag};
	switch (item->tag) {
	case PYAUDIT_TAG_NONE:
	case PYAUDIT_TAG_BIGINT:
		return item->len == 0;
	case PYAUDIT_TAG_BOOL:
		if (item->len != 1)
			return false;
		ret->i = item->bytes[0] != 0;
		return true;
	case PYAUDIT_TAG_INT:
	case PYAUDIT_TAG_FLOAT:
		if (item->len != sizeof(number))
			return false;
		memcpy(&number, item->bytes, sizeof(number));
		bits = pyaudit_get64(number);
		if (item->tag == PYAUDIT_TAG_INT)
			ret->i = (int64_t)bits;
		else
			memcpy(&ret->f, &bits, sizeof(bits));
		return true;
	case PYAUDIT_TAG_STR:
	case PYAUDIT_TAG_BYTES:
	case PYAUDIT_TAG_OBJECT:
	case PYAUDIT_TAG_CODE:
		*ret = text_of(item, item->tag);
		return true;
	default:
		return false;
	}
}

static bool
read_argument(struct reader *r, struct pyaudit_decoded *d, struct pyaudit_value *slot,
	      unsigned *n_values)
{
	struct {
		pyaudit_le16 count;
		pyaudit_le32 full;
	} body;
	struct item item;
	unsigned count;

	if (!read_item(r, &item))
		return false;
	if (item.tag != PYAUDIT_TAG_LIST)
		return read_scalar(&item, slot);
	if (item.len != sizeof(body))
		return false;
	memcpy(&body, item.bytes, sizeof(body));
	count = pyaudit_get16(body.count);
	if (count > PYAUDIT_LIST_MAX || count > PYAUDIT_VALUES_MAX - *n_values)
		return false;
	*slot = (struct pyaudit_value){.type = PYAUDIT_TAG_LIST,
				       .n_items = (uint16_t)count,
				       .full_len = pyaudit_get32(body.full),
				       .items = &d->values[*n_values]};
	if (slot->full_len > count)
		slot->flags = PYAUDIT_VALUE_CUT;
	for (unsigned i = 0; i < count; i++)
		if (!read_item(r, &item) || !read_scalar(&item, &d->values[(*n_values)++]))
			return false;
	return true;
}

static bool
read_context(const struct item *item, struct pyaudit_decoded *d)
{
	struct pyaudit_decoded_context *context = &d->context[d->n_context];
	struct pyaudit_past past;

	if (d->n_context == PYAUDIT_CONTEXT_MAX)
		return true; /* a newer agent's */
	if (item->len < sizeof(past) || item->len - sizeof(past) > PYAUDIT_CONTEXT_TEXT_MAX)
		return false;
	memcpy(&past, item->bytes, sizeof(past));
	if (pyaudit_get16(past.event) >= PYAUDIT_N_EVENTS || past.layer > PYAUDIT_LAYER_DAEMON ||
	    past.action > PYAUDIT_ACTION_KILL)
		return false;
	*context = (struct pyaudit_decoded_context){
		.time_ns = pyaudit_get64(past.time_ns),
		.tid = pyaudit_get32(past.tid),
		.event = pyaudit_get16(past.event),
		.layer = past.layer,
		.action = past.action,
		.text = pyaudit_value_text((const char *)item->bytes + sizeof(past),
					   item->len - sizeof(past)),
	};
	if (item->cut) {
		context->text.full_len = item->full_len;
		context->text.flags = PYAUDIT_VALUE_CUT;
	}
	d->n_context++;
	return true;
}

/* One item of the origin, the rules or the context; unknown tags are a newer agent's and are skipped. */
static bool
read_tail_item(const struct item *item, struct pyaudit_decoded *d)
{
	struct pyaudit_origin *frame =
		d->event.n_frames > 0 ? &d->frames[d->event.n_frames - 1] : NULL;
	pyaudit_le32 line;
	pyaudit_le16 rule;

	switch (item->tag) {
	case PYAUDIT_TAG_FILE:
		if (d->event.n_frames == PYAUDIT_STACK_MAX)
			return false;
		d->frames[d->event.n_frames] = (struct pyaudit_origin){0};
		d->frames[d->event.n_frames++].file = text_of(item, PYAUDIT_TAG_STR);
		return true;
	case PYAUDIT_TAG_FUNCTION:
		if (frame == NULL)
			return false;
		frame->function = text_of(item, PYAUDIT_TAG_STR);
		return true;
	case PYAUDIT_TAG_MODULE:
		if (frame == NULL)
			return false;
		frame->module = text_of(item, PYAUDIT_TAG_STR);
		return true;
	case PYAUDIT_TAG_PACKAGE:
		if (frame == NULL || d->n_packages == PYAUDIT_PACKAGES_MAX)
			return frame != NULL;
		d->packages[d->n_packages++] = text_of(item, PYAUDIT_TAG_STR);
		if (frame->n_packages++ == 0)
			frame->packages = &d->packages[d->n_packages - 1];
		return true;
	case PYAUDIT_TAG_LINE:
		if (frame == NULL || item->len != sizeof(line))
			return false;
		memcpy(&line, item->bytes, sizeof(line));
		frame->line = pyaudit_get32(line);
		return true;
	case PYAUDIT_TAG_RULES:
		if (item->len % sizeof(rule) != 0 ||
		    item->len / sizeof(rule) > PYAUDIT_HITS_MAX)
			return false;
		d->n_hits = (uint8_t)(item->len / sizeof(rule));
		for (unsigned i = 0; i < d->n_hits; i++) {
			memcpy(&rule, item->bytes + i * sizeof(rule), sizeof(rule));
			d->hits[i] = pyaudit_get16(rule);
		}
		return true;
	case PYAUDIT_TAG_CONTEXT:
		return read_context(item, d);
	case PYAUDIT_TAG_REAL:
		d->event.real = text_of(item, PYAUDIT_TAG_STR);
		return true;
	case PYAUDIT_TAG_REAL_TARGET:
		d->event.real_target = text_of(item, PYAUDIT_TAG_STR);
		return true;
	default:
		return item->tag > PYAUDIT_TAG_REAL_TARGET;
	}
}

int
pyaudit_record_decode(struct pyaudit_decoded *ret, const uint8_t *bytes, size_t size)
{
	struct reader r = {bytes, bytes + size};
	struct pyaudit_record head;
	unsigned n_values;
	struct item item;

	if (size < sizeof(head) || size > PYAUDIT_RECORD_MAX)
		return -EBADMSG;
	memcpy(&head, bytes, sizeof(head));
	if (pyaudit_get32(head.size) != size || pyaudit_get16(head.event) >= PYAUDIT_N_EVENTS ||
	    head.layer > PYAUDIT_LAYER_DAEMON || head.action > PYAUDIT_ACTION_KILL ||
	    head.n_args > PYAUDIT_ARGS_MAX)
		return -EBADMSG;
	r.at += sizeof(head);

	ret->action = head.action;
	ret->flags = pyaudit_get16(head.flags);
	ret->time_ns = pyaudit_get64(head.time_ns);
	ret->generation = pyaudit_get64(head.generation);
	ret->pid = pyaudit_get32(head.pid);
	ret->tid = pyaudit_get32(head.tid);
	ret->n_hits = 0;
	ret->n_packages = 0;
	ret->n_context = 0;
	ret->event = (struct pyaudit_event){
		.id = pyaudit_get16(head.event),
		.layer = head.layer,
		.announced = (ret->flags & PYAUDIT_REC_ANNOUNCED) != 0,
		.n_args = head.n_args,
		.args = ret->values,
		.frames = ret->frames,
		.origin_asked = PYAUDIT_STACK_MAX,
	};
	if (ret->event.id == PYAUDIT_EV_OTHER) {
		if (!read_item(&r, &item) || item.tag != PYAUDIT_TAG_NAME)
			return -EBADMSG;
		ret->event.name = (const char *)item.bytes;
		ret->event.name_len = item.len;
	} else {
		ret->event.name = pyaudit_events[ret->event.id].name;
		ret->event.name_len = (uint32_t)strlen(ret->event.name);
	}
	n_values = head.n_args; /* list elements stand behind all arguments */
	for (unsigned i = 0; i < head.n_args; i++)
		if (!read_argument(&r, ret, &ret->values[i], &n_values))
			return -EBADMSG;
	while (r.at < r.end)
		if (!read_item(&r, &item) || !read_tail_item(&item, ret))
			return -EBADMSG;
	if (ret->event.n_frames != head.n_frames)
		return -EBADMSG;
	ret->event.caller = head.caller < head.n_frames ? head.caller : 0;
	return 0;
}
