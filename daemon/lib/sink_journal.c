/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alerts, losses and changes of state as native journal entries with typed fields. The loop
 * makes the fields into one block (a length before each), the sink's thread hands it to
 * journald. Messages of each kind have an id that packaging/pyaudit.catalog explains.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "entry.h"
#include "journal_socket.h"
#include "json.h"
#include "report.h"
#include "sink.h"

#define MESSAGE_ID_DENIED "dfda103e216941928b6511c7673fb8c4"
#define MESSAGE_ID_ALERT "aea0e9e16a42485cbef80f9966382f09"
#define MESSAGE_ID_LOSS "f540f6c6d49c47e19e5e6004b27e0f43"
#define MESSAGE_ID_SUMMARY "5a0c3f5e1ac34b5c8a3f0f3b6d1e7c94"
#define MESSAGE_ID_STATUS "edce711f57c044d5941e14126e3d29eb"

struct block {
	struct buf *out;
	size_t start;
	unsigned n_fields;
};

static bool
field_begin(struct block *block, const char *name)
{
	uint32_t size = 0;

	if (block->n_fields == ENTRY_FIELDS_MAX)
		return false;
	block->n_fields++;
	block->start = block->out->len;
	buf_add(block->out, &size, sizeof(size));
	buf_add_str(block->out, name);
	buf_add_char(block->out, '=');
	return true;
}

static void
field_end(struct block *block)
{
	size_t size;
	uint32_t head;

	if (block->out->failed)
		return;
	size = block->out->len - block->start - sizeof(head);
	if (size > ENTRY_FIELD_SIZE_MAX) {
		size = ENTRY_FIELD_SIZE_MAX;
		block->out->len = block->start + sizeof(head) + size;
	}
	head = (uint32_t)size;
	memcpy(block->out->data + block->start, &head, sizeof(head));
}

static void
field_bytes(struct block *block, const char *name, const char *s, size_t n)
{
	if (!field_begin(block, name))
		return;
	buf_add(block->out, s, n);
	field_end(block);
}

static void
field_str(struct block *block, const char *name, const char *s)
{
	if (s != NULL && s[0] != 0)
		field_bytes(block, name, s, strlen(s));
}

static void
field_value(struct block *block, const char *name, const struct pyaudit_value *v)
{
	if (pyaudit_value_is_text(v))
		field_bytes(block, name, v->s, v->len);
}

static void
field_int(struct block *block, const char *name, int64_t value)
{
	if (!field_begin(block, name))
		return;
	buf_add_int(block->out, value);
	field_end(block);
}

static void
add_message(struct block *block, const struct report *report)
{
	struct buf text;

	buf_init(&text);
	report_message(report, &text);
	if (!text.failed && field_begin(block, "MESSAGE")) {
		buf_add_escaped(block->out, text.data, text.len);
		field_end(block);
	}
	buf_fini(&text);
}

static const char *
message_id(const struct report *report)
{
	switch (report->kind) {
	case REPORT_ALERT:
		return report->decoded->action >= PYAUDIT_ACTION_BLOCK ? MESSAGE_ID_DENIED
								       : MESSAGE_ID_ALERT;
	case REPORT_LOSS:
		return MESSAGE_ID_LOSS;
	case REPORT_SUMMARY:
		return MESSAGE_ID_SUMMARY;
	default:
		return MESSAGE_ID_STATUS;
	}
}

static void
add_process(struct block *block, const struct process *p)
{
	field_int(block, "OBJECT_PID", p->pid);
	field_str(block, "OBJECT_SYSTEMD_UNIT", p->unit);
	field_int(block, "PYAUDIT_PPID", p->ppid);
	field_int(block, "PYAUDIT_UID", (int64_t)p->uid);
	field_str(block, "PYAUDIT_USER", p->user);
	field_str(block, "PYAUDIT_EXE", p->exe);
	field_str(block, "PYAUDIT_SCRIPT", p->script);
	field_str(block, "PYAUDIT_CWD", p->cwd);
	field_str(block, "PYAUDIT_UNIT", p->unit);
	field_str(block, "PYAUDIT_CGROUP", p->cgroup);
	field_str(block, "PYAUDIT_CONTAINER", p->container);
	if (p->n_argv > 0 && field_begin(block, "PYAUDIT_ARGV")) {
		for (size_t i = 0; i < p->n_argv; i++) {
			if (i > 0)
				buf_add_char(block->out, ' ');
			buf_add_str(block->out, p->argv[i]);
		}
		field_end(block);
	}
}

static void
add_summary(struct block *block, const struct report_summary *summary)
{
	field_str(block, "PYAUDIT_EVENT", "limit");
	field_str(block, "PYAUDIT_RULE", summary->rule);
	field_str(block, "PYAUDIT_ACTION", action_name(summary->action));
	field_int(block, "PYAUDIT_SUPPRESSED", (int64_t)summary->n_alerts);
	field_int(block, "PYAUDIT_DENIALS", (int64_t)summary->n_denials);
	field_int(block, "PYAUDIT_GENERATION", (int64_t)summary->generation);
}

static void
add_stack(struct block *block, const struct pyaudit_event *event)
{
	if (event->n_frames == 0 || !field_begin(block, "PYAUDIT_STACK"))
		return;
	for (unsigned i = 0; i < event->n_frames; i++) {
		const struct pyaudit_origin *frame = &event->frames[i];

		if (i > 0)
			buf_add_char(block->out, '\n');
		if (pyaudit_value_is_text(&frame->file))
			buf_add_escaped(block->out, frame->file.s, frame->file.len);
		buf_add_char(block->out, ':');
		buf_add_uint(block->out, frame->line);
		buf_add_char(block->out, ' ');
		if (pyaudit_value_is_text(&frame->function))
			buf_add_escaped(block->out, frame->function.s, frame->function.len);
	}
	field_end(block);
}

static void
add_event(struct block *block, const struct report *report)
{
	const struct pyaudit_decoded *d = report->decoded;
	const struct rule *rule = report_rule(report);

	if (rule != NULL)
		field_str(block, "PYAUDIT_RULE", rule->id);
	field_bytes(block, "PYAUDIT_EVENT", d->event.name, d->event.name_len);
	field_str(block, "PYAUDIT_ACTION", action_name(d->action));
	for (size_t i = 0; rule != NULL && i < rule->n_attack && i < 8; i++)
		field_str(block, "PYAUDIT_ATTACK", rule->attack[i]);
	field_int(block, "PYAUDIT_GENERATION", (int64_t)d->generation);
	field_int(block, "PYAUDIT_TID", (int64_t)d->tid);
	if (d->flags & PYAUDIT_REC_OBSERVED)
		field_str(block, "PYAUDIT_OBSERVED", "1");
	if (d->event.n_frames > 0) {
		const struct pyaudit_origin *caller = &d->event.frames[d->event.caller];

		field_value(block, "PYAUDIT_CALLER_FILE", &caller->file);
		field_int(block, "PYAUDIT_CALLER_LINE", caller->line);
		field_value(block, "PYAUDIT_CALLER_FUNC", &caller->function);
		field_value(block, "PYAUDIT_CALLER_MODULE", &caller->module);
		for (unsigned i = 0; i < caller->n_packages; i++)
			field_value(block, "PYAUDIT_CALLER_PACKAGE", &caller->packages[i]);
	}
	field_value(block, "PYAUDIT_FILE_REAL", &d->event.real);
	field_value(block, "PYAUDIT_FILE_REAL_TARGET", &d->event.real_target);
	add_stack(block, &d->event);
	if (field_begin(block, "PYAUDIT_ARGS")) {
		report_json_args(report, block->out);
		field_end(block);
	}
	field_str(block, "PYAUDIT_CONTEXT_FILE", report->context_file);
}

void
sink_journal_fields(const struct report *report, struct buf *out)
{
	static const int priorities[] = {6, 5, 4, 3, 2}; /* by enum pyaudit_severity */
	struct block block = {.out = out};

	add_message(&block, report);
	field_str(&block, "MESSAGE_ID", message_id(report));
	field_int(&block, "PRIORITY", priorities[report_severity(report)]);
	field_str(&block, "SYSLOG_IDENTIFIER", ENTRY_IDENTIFIER);
	field_str(&block, "PYAUDIT_KIND", report_kind_name(report->kind));
	field_str(&block, "PYAUDIT_SEVERITY", severity_name(report_severity(report)));
	field_int(&block, "PYAUDIT_SEQ", (int64_t)report->seq);
	if (report->process != NULL)
		field_int(&block, "PYAUDIT_PID", report_pid(report));
	if (report->decoded != NULL) {
		add_event(&block, report);
	} else if (report->kind == REPORT_LOSS) {
		field_int(&block, "PYAUDIT_LOST", (int64_t)report->lost);
		field_str(&block, "PYAUDIT_CAUSE", report_cause_name(report->cause));
	} else if (report->kind == REPORT_SUMMARY) {
		add_summary(&block, report->summary);
	} else {
		field_str(&block, "PYAUDIT_EVENT", report->event);
		field_int(&block, "PYAUDIT_GENERATION", (int64_t)report->generation);
	}
	if (report->process != NULL)
		add_process(&block, report->process);
	else /* about ourselves: journald finds our unit by it */
		field_int(&block, "OBJECT_PID", getpid());
	if (out->failed)
		out->len = 0; /* counted, and found unwritable by the thread */
}

void
sink_journal_push(struct sink *sink, const struct report *report, uint64_t weight)
{
	struct buf fields;

	buf_init(&fields);
	sink_journal_fields(report, &fields);
	(void)sink_push(sink, fields.data, fields.len, weight, true);
	buf_fini(&fields);
}

struct journal {
	struct journal_socket socket;
	struct buf entry;
};

/* The fields of a block, which are of our own making, as an entry. */
static int
send_block(struct journal *journal, const struct iovec *block)
{
	const char *at = block->iov_base, *end = at + block->iov_len;

	buf_reset(&journal->entry);
	while (at < end) {
		uint32_t size;

		memcpy(&size, at, sizeof(size));
		at += sizeof(size);
		if (size > (size_t)(end - at)) /* a spool's bytes come from a disk */
			return -EBADMSG;
		journal_socket_field(&journal->entry, at, size);
		at += size;
	}
	if (journal->entry.failed)
		return -ENOMEM;
	if (journal->entry.len == 0)
		return -EBADMSG;
	return journal_socket_send(&journal->socket, journal->entry.data, journal->entry.len);
}

static int
journal_write(void *data, const struct iovec *items, size_t n_items)
{
	struct journal *journal = data;
	int n = 0;

	while ((size_t)n < n_items) {
		int r = send_block(journal, &items[n]);

		if (r < 0)
			return n > 0 ? n : r;
		n++;
	}
	return n;
}

static void
journal_close(void *data)
{
	struct journal *journal = data;

	journal_socket_close(&journal->socket);
	buf_fini(&journal->entry);
	free(journal);
}

static const struct sink_ops journal_ops = {
	.name = "journal",
	.write = journal_write,
	.close = journal_close,
};

int
sink_journal_new(struct sink **ret, const struct sink_options *options)
{
	struct journal *journal;
	int r;

	if (access(JOURNAL_SOCKET_PATH, W_OK) < 0)
		return -errno;
	journal = calloc(1, sizeof(*journal));
	if (journal == NULL)
		return -ENOMEM;
	journal->socket = (struct journal_socket){.path = JOURNAL_SOCKET_PATH, .fd = -1};
	buf_init(&journal->entry);
	r = sink_new(ret, &journal_ops, journal, options);
	if (r < 0)
		free(journal);
	return r;
}
