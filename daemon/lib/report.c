/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <stdio.h>
#include <string.h>

#include "json.h"
#include "pyaudit/events.h"

static const char *const kind_names[] = {
	[REPORT_EVENT] = "event",     [REPORT_ALERT] = "alert",   [REPORT_LOSS] = "loss",
	[REPORT_PROCESS] = "process", [REPORT_STATUS] = "status",
	[REPORT_SUMMARY] = "summary",
};

static const char *const cause_names[] = {
	[REPORT_CAUSE_RING_FULL] = "ring-full", [REPORT_CAUSE_TORN] = "torn",
	[REPORT_CAUSE_URGENT_FULL] = "urgent-full",
	[REPORT_CAUSE_DAEMON_DOWN] = "daemon-down",
	[REPORT_CAUSE_DAEMON_KILLED] = "daemon-killed",
	[REPORT_CAUSE_CORRUPT] = "corrupt",     [REPORT_CAUSE_SOCKET] = "socket",
	[REPORT_CAUSE_SINK] = "sink",           [REPORT_CAUSE_CLIENT] = "client",
	[REPORT_CAUSE_USER_LIMIT] = "user-limit",
};

static const char *const layer_names[] = {
	[PYAUDIT_LAYER_AUDIT] = "audit",
	[PYAUDIT_LAYER_LIBC] = "libc",
	[PYAUDIT_LAYER_DAEMON] = "daemon",
};

const char *
report_kind_name(enum report_kind kind)
{
	return kind_names[kind];
}

const char *
report_cause_name(enum report_cause cause)
{
	return cause_names[cause];
}

void
report_losses_json(const uint64_t lost_by[REPORT_N_CAUSES], struct json *json)
{
	json_key(json, "losses");
	json_object(json);
	for (unsigned i = 0; i < REPORT_N_CAUSES; i++) {
		if (lost_by[i] == 0)
			continue;
		json_key(json, cause_names[i]);
		json_uint(json, lost_by[i]);
	}
	json_object_end(json);
}

enum report_kind
report_kind_of(const struct pyaudit_decoded *decoded)
{
	return decoded->action >= PYAUDIT_ACTION_ALERT ? REPORT_ALERT : REPORT_EVENT;
}

uint64_t
report_weight(const struct report *report)
{
	if (report->kind != REPORT_LOSS)
		return 1;
	/* What a sink or a client missed has a number already. */
	if (report->cause == REPORT_CAUSE_SINK || report->cause == REPORT_CAUSE_CLIENT)
		return 0;
	return report->lost;
}

/* Rules that matched, as far as the numbers mean something: an agent may say any. */
const struct rule *
report_rule_at(const struct report *report, unsigned hit)
{
	const struct pyaudit_decoded *d = report->decoded;
	enum rule_part part;
	unsigned index;

	if (d == NULL || report->rules == NULL || hit >= d->n_hits)
		return NULL;
	return rules_at(report->rules, d->hits[hit], &part, &index);
}

const struct rule *
report_rule(const struct report *report)
{
	return report_rule_at(report, 0);
}

static bool
is_finding(const struct pyaudit_event *event)
{
	return event->id == PYAUDIT_EV_HOOK_REMOVED || event->id == PYAUDIT_EV_HOOK_REFUSED ||
	       event->id == PYAUDIT_EV_UNWATCHED;
}

enum pyaudit_severity
report_severity(const struct report *report)
{
	const struct rule *rule = report_rule(report);

	switch (report->kind) {
	case REPORT_LOSS:
		return PYAUDIT_SEV_WARNING;
	case REPORT_ALERT:
		if (rule != NULL)
			return rule->severity;
		/* Findings about the agent itself, which no rule has to ask for. */
		return is_finding(&report->decoded->event) ? PYAUDIT_SEV_ERROR : PYAUDIT_SEV_WARNING;
	case REPORT_EVENT:
		return rule != NULL ? rule->severity : PYAUDIT_SEV_INFO;
	case REPORT_SUMMARY:
		return report->summary->severity;
	case REPORT_STATUS:
		return strcmp(report->event, "daemon.pause") == 0 ? PYAUDIT_SEV_WARNING
								  : PYAUDIT_SEV_INFO;
	default:
		return PYAUDIT_SEV_INFO;
	}
}

pid_t
report_pid(const struct report *report)
{
	const struct pyaudit_decoded *d = report->decoded;

	/* A forked child without a ring of its own writes into its parent's, under its number. */
	if (d != NULL && (d->flags & PYAUDIT_REC_FORKED) != 0)
		return (pid_t)d->pid;
	return report->process != NULL ? report->process->pid : 0;
}

static void
write_value(struct json *json, const struct pyaudit_value *v)
{
	switch (v->type) {
	case PYAUDIT_TAG_BOOL:
		json_bool(json, v->i != 0);
		break;
	case PYAUDIT_TAG_INT:
		json_int(json, v->i);
		break;
	case PYAUDIT_TAG_FLOAT:
		json_double(json, v->f);
		break;
	case PYAUDIT_TAG_STR:
	case PYAUDIT_TAG_BYTES:
		if (v->flags & PYAUDIT_VALUE_CUT) {
			json_object(json);
			json_key(json, "text");
			json_text(json, v->s, v->len);
			json_key(json, "length");
			json_uint(json, v->full_len);
			json_object_end(json);
		} else {
			json_text(json, v->s, v->len);
		}
		break;
	case PYAUDIT_TAG_LIST:
		json_array(json);
		for (unsigned i = 0; i < v->n_items; i++)
			write_value(json, &v->items[i]);
		json_array_end(json);
		break;
	case PYAUDIT_TAG_OBJECT:
	case PYAUDIT_TAG_CODE:
		json_object(json);
		json_key(json, v->type == PYAUDIT_TAG_CODE ? "code" : "object");
		json_text(json, v->s, v->len);
		json_object_end(json);
		break;
	case PYAUDIT_TAG_BIGINT:
		json_object(json);
		json_key(json, "object");
		json_str(json, "int");
		json_object_end(json);
		break;
	default:
		json_null(json);
	}
}

static void
write_args(struct json *json, const struct pyaudit_event *event)
{
	json_array(json);
	for (unsigned i = 0; i < event->n_args; i++)
		write_value(json, &event->args[i]);
	json_array_end(json);
}

static void
write_optional(struct json *json, const char *key, const struct pyaudit_value *v)
{
	json_key(json, key);
	if (pyaudit_value_is_text(v))
		json_text(json, v->s, v->len);
	else
		json_null(json);
}

static void
write_frame(struct json *json, const struct pyaudit_origin *frame)
{
	json_object(json);
	write_optional(json, "file", &frame->file);
	json_key(json, "line");
	json_uint(json, frame->line);
	write_optional(json, "function", &frame->function);
	write_optional(json, "module", &frame->module);
	json_key(json, "package");
	json_array(json);
	for (unsigned i = 0; i < frame->n_packages; i++)
		json_text(json, frame->packages[i].s, frame->packages[i].len);
	json_array_end(json);
	json_object_end(json);
}

/* Only where a rule asks where paths lead. */
static void
write_real(struct json *json, const struct pyaudit_event *event)
{
	if (pyaudit_value_is_text(&event->real))
		write_optional(json, "file_real", &event->real);
	if (pyaudit_value_is_text(&event->real_target))
		write_optional(json, "file_real_target", &event->real_target);
}

static void
write_origin(struct json *json, const struct pyaudit_event *event)
{
	json_key(json, "caller");
	if (event->n_frames == 0)
		json_null(json);
	else
		write_frame(json, &event->frames[event->caller]);
	json_key(json, "stack");
	json_array(json);
	for (unsigned i = 0; event->n_frames > 1 && i < event->n_frames; i++)
		write_frame(json, &event->frames[i]);
	json_array_end(json);
}

static void
write_rules(struct json *json, const struct report *report)
{
	const struct rule *rule = report_rule(report);

	json_key(json, "rule");
	json_str(json, rule != NULL ? rule->id : NULL);
	json_key(json, "rules");
	json_array(json);
	for (unsigned i = 0; i < report->decoded->n_hits; i++)
		if (report_rule_at(report, i) != NULL)
			json_str(json, report_rule_at(report, i)->id);
	json_array_end(json);
	json_key(json, "severity");
	json_str(json, severity_name(report_severity(report)));
	json_key(json, "attack");
	json_array(json);
	for (size_t i = 0; rule != NULL && i < rule->n_attack; i++)
		json_str(json, rule->attack[i]);
	json_array_end(json);
}

static void
write_message(struct json *json, const struct report *report)
{
	struct buf message;

	buf_init(&message);
	report_message(report, &message);
	json_key(json, "message");
	json_text(json, message.data, message.len);
	json->out->failed |= message.failed;
	buf_fini(&message);
}

static const char *
action_of(const struct pyaudit_decoded *d)
{
	return action_name(d->action);
}

/* What the process had done before, oldest first. */
static void
write_context(struct json *json, const struct pyaudit_decoded *d)
{
	json_key(json, "context");
	json_array(json);
	for (unsigned i = d->n_context; i-- > 0;) {
		const struct pyaudit_decoded_context *past = &d->context[i];

		json_object(json);
		json_key(json, "time");
		json_time(json, past->time_ns);
		json_key(json, "tid");
		json_uint(json, past->tid);
		json_key(json, "event");
		if (past->event != PYAUDIT_EV_OTHER)
			json_str(json, pyaudit_events[past->event].name);
		else
			json_text(json, past->text.s, past->text.len);
		json_key(json, "layer");
		json_str(json, layer_names[past->layer]);
		json_key(json, "action");
		json_str(json, action_name(past->action));
		json_key(json, "text");
		if (past->event != PYAUDIT_EV_OTHER && past->text.len > 0)
			write_value(json, &past->text);
		else
			json_null(json);
		json_object_end(json);
	}
	json_array_end(json);
}

static void
write_event(struct json *json, const struct report *report)
{
	const struct pyaudit_decoded *d = report->decoded;
	const struct pyaudit_event *event = &d->event;

	json_key(json, "event");
	json_text(json, event->name, event->name_len);
	json_key(json, "layer");
	json_str(json, layer_names[event->layer]);
	json_key(json, "args");
	write_args(json, event);
	json_key(json, "action");
	json_str(json, action_of(d));
	write_rules(json, report);
	if (report->kind == REPORT_ALERT) {
		write_message(json, report);
	} else {
		json_key(json, "message");
		json_null(json);
	}
	json_key(json, "pid");
	json_int(json, report_pid(report));
	json_key(json, "tid");
	json_uint(json, d->tid);
	if (report->process != NULL)
		json_raw(json, report->process->json.data, report->process->json.len);
	write_real(json, event);
	write_origin(json, event);
	json_key(json, "generation");
	json_uint(json, d->generation);
	if (report->has_number) {
		json_key(json, "number");
		json_uint(json, report->number);
	}
	json_key(json, "observed");
	json_bool(json, (d->flags & PYAUDIT_REC_OBSERVED) != 0);
	if (report->memory != NULL) {
		json_key(json, "memory");
		json_str(json, rule_memory_name(report->memory->kind));
	}
	json_key(json, "cut");
	json_bool(json, (d->flags & PYAUDIT_REC_CUT) != 0);
	if (report->kind == REPORT_ALERT && d->n_context > 0)
		write_context(json, d);
}

static void
write_loss(struct json *json, const struct report *report)
{
	json_key(json, "event");
	json_str(json, "loss");
	json_key(json, "layer");
	json_str(json, "daemon");
	json_key(json, "lost");
	json_uint(json, report->lost);
	json_key(json, "cause");
	json_str(json, cause_names[report->cause]);
	if (report->total > 0) {
		json_key(json, "total");
		json_uint(json, report->total);
	}
	if (report->lane != NULL) {
		json_key(json, "lane");
		json_str(json, report->lane);
	}
	if (report->sink != NULL) {
		json_key(json, "sink");
		json_str(json, report->sink);
	}
	json_key(json, "severity");
	json_str(json, severity_name(report_severity(report)));
	write_message(json, report);
	json_key(json, "pid");
	if (report->process != NULL)
		json_int(json, report->process->pid);
	else
		json_null(json);
	if (report->process != NULL)
		json_raw(json, report->process->json.data, report->process->json.len);
}

static void
write_summary(struct json *json, const struct report *report)
{
	const struct report_summary *summary = report->summary;

	json_key(json, "event");
	json_str(json, "limit");
	json_key(json, "layer");
	json_str(json, "daemon");
	json_key(json, "rule");
	json_str(json, summary->rule);
	json_key(json, "action");
	json_str(json, action_name(summary->action));
	json_key(json, "suppressed");
	json_uint(json, summary->n_alerts);
	json_key(json, "denials");
	json_uint(json, summary->n_denials);
	json_key(json, "since");
	json_time(json, summary->since_ns);
	json_key(json, "until");
	json_time(json, summary->until_ns);
	json_key(json, "per");
	json_object(json);
	for (unsigned i = 0; i < summary->n_values; i++) {
		const char *text = summary->values[i].text;

		json_key(json, pyaudit_fields[summary->values[i].field].name);
		if (text != NULL)
			json_text(json, text, strlen(text));
		else
			json_null(json);
	}
	json_object_end(json);
	json_key(json, "severity");
	json_str(json, severity_name(report_severity(report)));
	write_message(json, report);
	json_key(json, "generation");
	json_uint(json, summary->generation);
	json_key(json, "pid");
	if (report->process == NULL) {
		json_null(json);
		return;
	}
	json_int(json, report->process->pid);
	json_raw(json, report->process->json.data, report->process->json.len);
}

static void
write_state(struct json *json, const struct report *report)
{
	json_key(json, "event");
	json_str(json, report->event);
	json_key(json, "layer");
	json_str(json, "daemon");
	json_key(json, "severity");
	json_str(json, severity_name(report_severity(report)));
	write_message(json, report);
	json_key(json, "generation");
	json_uint(json, report->generation);
	if (report->process != NULL) {
		json_key(json, "pid");
		json_int(json, report->process->pid);
		json_raw(json, report->process->json.data, report->process->json.len);
		json_key(json, "python");
		json_str(json, report->process->python);
		json_key(json, "venv");
		json_str(json, report->process->venv);
		json_key(json, "route");
		json_str(json, route_name(report->process->route));
		json_key(json, "reason");
		json_str(json, reason_name(report->process->reason));
	}
}

void
report_json(const struct report *report, struct buf *out)
{
	struct json json = json_on(out);

	json_object(&json);
	json_key(&json, "schema_version");
	json_uint(&json, REPORT_SCHEMA_VERSION);
	json_key(&json, "kind");
	json_str(&json, kind_names[report->kind]);
	json_key(&json, "time");
	json_time(&json, report->time_ns);
	json_key(&json, "seq");
	json_uint(&json, report->seq);
	if (report->kind == REPORT_EVENT || report->kind == REPORT_ALERT)
		write_event(&json, report);
	else if (report->kind == REPORT_LOSS)
		write_loss(&json, report);
	else if (report->kind == REPORT_SUMMARY)
		write_summary(&json, report);
	else
		write_state(&json, report);
	json_object_end(&json);
	buf_add_char(out, '\n');
}

void
report_json_args(const struct report *report, struct buf *out)
{
	struct json json = json_on(out);

	write_args(&json, &report->decoded->event);
}

void
report_add_value(struct buf *out, const struct pyaudit_value *v)
{
	if (pyaudit_value_is_text(v) || v->type == PYAUDIT_TAG_OBJECT)
		buf_add(out, v->s, v->len);
	else if (v->type == PYAUDIT_TAG_INT)
		buf_add_int(out, v->i);
	else if (v->type == PYAUDIT_TAG_BOOL)
		buf_add_str(out, v->i ? "true" : "false");
	else if (v->type == PYAUDIT_TAG_LIST)
		for (unsigned i = 0; i < v->n_items; i++) {
			if (i > 0)
				buf_add_char(out, ' ');
			report_add_value(out, &v->items[i]);
		}
}

/* {field} becomes its value, "?" where the event has none; {{ and }} are braces. */
static void
fill_template(const struct report *report, const char *template, struct buf *out)
{
	struct pyaudit_value values[PYAUDIT_VALUES_MAX];
	const char *at = template;

	while (*at != 0) {
		const char *end;
		unsigned field;

		if ((at[0] == '{' || at[0] == '}') && at[1] == at[0]) {
			buf_add_char(out, at[0]);
			at += 2;
			continue;
		}
		end = *at == '{' ? strchr(at, '}') : NULL;
		field = end != NULL ? pyaudit_field_by_name(at + 1, (size_t)(end - at - 1))
				    : PYAUDIT_N_FIELDS;
		if (field < PYAUDIT_N_FIELDS) {
			struct pyaudit_value v;

			if (report_field(report, field, &v, values))
				report_add_value(out, &v);
			else
				buf_add_char(out, '?');
			at = end + 1;
		} else {
			buf_add_char(out, *at++);
		}
	}
}

static void
add_caller(struct buf *out, const struct pyaudit_event *event)
{
	const struct pyaudit_origin *caller;

	if (event->n_frames == 0)
		return;
	caller = &event->frames[event->caller];
	if (!pyaudit_value_is_text(&caller->file))
		return;
	buf_add_str(out, " at ");
	buf_add(out, caller->file.s, caller->file.len);
	buf_add_char(out, ':');
	buf_add_uint(out, caller->line);
}

static void
alert_message(const struct report *report, struct buf *out)
{
	const struct pyaudit_decoded *d = report->decoded;
	const struct rule *rule = report_rule(report);
	const char *what = d->action == PYAUDIT_ACTION_KILL    ? " ended the process by rule "
			   : d->action == PYAUDIT_ACTION_BLOCK ? " denied by rule "
			   : (d->flags & PYAUDIT_REC_OBSERVED) != 0
				   ? " would have been denied by rule "
				   : " reported by rule ";

	if (rule != NULL && rule->message != NULL) {
		if ((d->flags & PYAUDIT_REC_OBSERVED) != 0)
			buf_add_str(out, "would have blocked: ");
		fill_template(report, rule->message, out);
		return;
	}
	buf_add(out, d->event.name, d->event.name_len);
	buf_add_str(out, what);
	buf_add_str(out, rule != NULL ? rule->id : "(unknown)");
	add_caller(out, &d->event);
}

static void
loss_message(const struct report *report, struct buf *out)
{
	static const char *const why[] = {
		[REPORT_CAUSE_RING_FULL] = "its ring was full",
		[REPORT_CAUSE_URGENT_FULL] = "the room for alerts in its ring was full",
		[REPORT_CAUSE_DAEMON_DOWN] = "its ring ran full while no daemon read it",
		[REPORT_CAUSE_DAEMON_KILLED] = "a daemon was killed before it had written them",
		[REPORT_CAUSE_TORN] = "a thread died while it wrote",
		[REPORT_CAUSE_CORRUPT] = "what stood in its ring was no event",
		[REPORT_CAUSE_SOCKET] = "the socket did not take them",
		[REPORT_CAUSE_SINK] = "it did not take them in time",
		[REPORT_CAUSE_CLIENT] = "this client reads too slowly",
		[REPORT_CAUSE_USER_LIMIT] = "its ring ran full while its user was over a limit of events",
	};

	buf_add_uint(out, report->lost);
	buf_add_str(out, report->lost == 1 ? " event" : " events");
	if (report->sink != NULL) {
		buf_add_str(out, " did not reach ");
		buf_add_str(out, report->sink);
	} else if (report->process != NULL) {
		buf_add_str(out, " of process ");
		buf_add_int(out, report->process->pid);
		buf_add_str(out, " lost");
	} else {
		buf_add_str(out, " lost");
	}
	buf_add_str(out, ": ");
	buf_add_str(out, why[report->cause]);
}

static void
summary_message(const struct report *report, struct buf *out)
{
	const struct report_summary *summary = report->summary;

	buf_add_uint(out, summary->n_alerts);
	buf_add_str(out, summary->n_alerts == 1 ? " more alert of rule " : " more alerts of rule ");
	buf_add_str(out, summary->rule);
	for (unsigned i = 0; i < summary->n_values; i++) {
		buf_add_str(out, i == 0 ? " for " : ", ");
		buf_add_str(out, pyaudit_fields[summary->values[i].field].name);
		buf_add_char(out, ' ');
		buf_add_str(out, summary->values[i].text != NULL ? summary->values[i].text : "?");
	}
	buf_addf(out, " in %llu s",
		 (unsigned long long)((summary->until_ns - summary->since_ns + 999999999u) /
				      1000000000u));
	if (summary->n_denials > 0)
		buf_addf(out, ", %llu of them denied", (unsigned long long)summary->n_denials);
}

static void
process_message(const struct report *report, struct buf *out)
{
	const struct process *p = report->process;

	buf_add_str(out, report->event);
	buf_addf(out, " %d", (int)p->pid);
	for (size_t i = 0; i < p->n_argv; i++) {
		buf_add_char(out, ' ');
		buf_add_str(out, p->argv[i]);
	}
}

void
report_message(const struct report *report, struct buf *out)
{
	size_t start = out->len;

	if (report->message != NULL)
		buf_add_str(out, report->message);
	else if (report->decoded != NULL)
		alert_message(report, out);
	else if (report->kind == REPORT_LOSS)
		loss_message(report, out);
	else if (report->kind == REPORT_SUMMARY)
		summary_message(report, out);
	else if (report->process != NULL)
		process_message(report, out);
	if (out->len - start > REPORT_MESSAGE_MAX) {
		out->len = start + REPORT_MESSAGE_MAX;
		buf_add_str(out, "...");
	}
}

static bool
give_text(struct pyaudit_value *ret, const char *s)
{
	if (s == NULL)
		return false;
	*ret = pyaudit_value_text(s, strlen(s));
	return true;
}

static bool
give_list(struct pyaudit_value *ret, struct pyaudit_value *values, unsigned n)
{
	*ret = (struct pyaudit_value){.type = PYAUDIT_TAG_LIST, .n_items = (uint16_t)n,
				      .full_len = n, .items = values};
	return n > 0;
}

static bool
alert_field(const struct report *report, unsigned field, struct pyaudit_value *ret,
	    struct pyaudit_value *values)
{
	const struct pyaudit_decoded *d = report->decoded;
	unsigned n = 0;

	switch (field) {
	case PYAUDIT_F_KIND:
		return give_text(ret, kind_names[report->kind]);
	case PYAUDIT_F_ACTION:
		if (report->summary != NULL)
			return give_text(ret, action_name(report->summary->action));
		return d != NULL && give_text(ret, action_of(d));
	case PYAUDIT_F_SEVERITY:
		*ret = pyaudit_value_int(report_severity(report));
		return true;
	case PYAUDIT_F_RULE:
		if (report->summary != NULL)
			(void)give_text(&values[n++], report->summary->rule);
		for (unsigned i = 0; d != NULL && i < d->n_hits; i++)
			if (report_rule_at(report, i) != NULL)
				(void)give_text(&values[n++], report_rule_at(report, i)->id);
		return give_list(ret, values, n);
	case PYAUDIT_F_CLASS:
		for (unsigned i = 0; d != NULL && i < PYAUDIT_N_CLASSES; i++)
			if (pyaudit_events[d->event.id].classes & 1u << i)
				(void)give_text(&values[n++], pyaudit_class_names[i]);
		return give_list(ret, values, n);
	default:
		return false;
	}
}

bool
report_field(const struct report *report, unsigned field, struct pyaudit_value *ret,
	     struct pyaudit_value *values)
{
	const struct pyaudit_facts *facts =
		report->process != NULL ? &report->process->facts : report->facts;

	switch (pyaudit_fields[field].scope) {
	case PYAUDIT_SCOPE_ALERT:
		return alert_field(report, field, ret, values);
	case PYAUDIT_SCOPE_PROC:
		if (facts == NULL || facts->fact[field - PYAUDIT_F_PROC_PID].type == 0)
			return false;
		*ret = facts->fact[field - PYAUDIT_F_PROC_PID];
		return true;
	default:
		if (report->decoded != NULL) {
			report->decoded->event.scratch_len = 0;
			return pyaudit_field(&report->decoded->event, field, ret);
		}
		if (field == PYAUDIT_F_EVENT)
			return give_text(ret, report->kind == REPORT_LOSS      ? "loss"
					      : report->kind == REPORT_SUMMARY ? "limit"
									       : report->event);
		if (field == PYAUDIT_F_LAYER)
			return give_text(ret, "daemon");
		return false;
	}
}
