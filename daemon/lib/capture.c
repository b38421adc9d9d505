/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing is adding blocks to a buf. Reading goes block by block through one buffer; what blocks
 * say of policies and processes is kept for the events behind them.
 */
#include "capture.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "verdict.h"

#define TABLE_BITS 8 /* log2 of the table of processes at first; it grows */

void
capture_add_head(struct buf *out, uint64_t time_ns, bool whole)
{
	struct pyaudit_capture head = {
		.magic = PYAUDIT_CAPTURE_MAGIC,
		.major = pyaudit_le16_of(PYAUDIT_CAPTURE_MAJOR),
		.minor = pyaudit_le16_of(PYAUDIT_CAPTURE_MINOR),
		.flags = pyaudit_le32_of(whole ? PYAUDIT_CAPTURE_WHOLE : 0),
		.time_ns = pyaudit_le64_of(time_ns),
	};

	buf_add(out, &head, sizeof(head));
}

/* Begins a block; its size is filled in at its end. */
static size_t
begin(struct buf *out, enum pyaudit_capture_type type)
{
	struct pyaudit_capture_block head = {.type = pyaudit_le16_of((uint16_t)type)};
	size_t at = out->len;

	buf_add(out, &head, sizeof(head));
	return at;
}

static void
end(struct buf *out, size_t at)
{
	pyaudit_le32 size = pyaudit_le32_of((uint32_t)(out->len - at));

	if (!out->failed)
		memcpy(out->data + at, &size, sizeof(size));
}

void
capture_add_policy(struct buf *out, const struct compile_options *options,
		   const struct rule_set *rules)
{
	size_t at = begin(out, PYAUDIT_CAPTURE_POLICY), n = rules_n_numbers(rules);
	struct pyaudit_capture_policy body = {
		.generation = pyaudit_le64_of(options->generation),
		.n_rules = pyaudit_le32_of((uint32_t)n),
		.record = pyaudit_le16_of(options->record),
		.flags = (uint8_t)((options->observe ? PYAUDIT_CAPTURE_OBSERVE : 0) |
				   (options->record_all ? PYAUDIT_CAPTURE_RECORD_ALL : 0)),
	};

	buf_add(out, &body, sizeof(body));
	/* Steps and exceptions have numbers too, under their rule's name. */
	for (size_t i = 0; i < n; i++) {
		const char *id = rules_id_at(rules, (unsigned)i);
		size_t len = strlen(id);

		buf_add_char(out, (char)len);
		buf_add(out, id, len);
	}
	end(out, at);
}

static void
add_string(struct buf *out, const char *s)
{
	if (s != NULL)
		buf_add_str(out, s);
	buf_add_char(out, '\0');
}

void
capture_add_process(struct buf *out, const struct process *p)
{
	size_t at = begin(out, PYAUDIT_CAPTURE_PROCESS), strings;
	struct pyaudit_capture_process body = {
		.key = pyaudit_le32_of(p->key),
		.pid = pyaudit_le32_of((uint32_t)p->pid),
		.ppid = pyaudit_le32_of((uint32_t)p->ppid),
		.uid = pyaudit_le32_of(p->uid),
		.gid = pyaudit_le32_of(p->gid),
		.hello = pyaudit_le32_of((uint32_t)p->n_hello),
		.loginuid = pyaudit_le64_of((uint64_t)p->loginuid),
		.n_argv = pyaudit_le16_of((uint16_t)p->n_argv),
	};
	pyaudit_le64 tree = pyaudit_le64_of(p->tree);

	buf_add(out, &body, sizeof(body));
	buf_add(out, p->hello, p->n_hello);
	strings = out->len;
	add_string(out, p->user);
	add_string(out, p->exe);
	add_string(out, p->cwd);
	add_string(out, p->cgroup);
	for (size_t i = 0; i < p->n_argv; i++)
		add_string(out, p->argv[i]);
	body.strings = pyaudit_le32_of((uint32_t)(out->len - strings));
	buf_add(out, &tree, sizeof(tree));
	if (!out->failed)
		memcpy(out->data + at + sizeof(struct pyaudit_capture_block), &body, sizeof(body));
	end(out, at);
}

void
capture_add_event(struct buf *out, uint32_t process, bool ahead, const uint8_t *record, size_t size)
{
	size_t at = begin(out, PYAUDIT_CAPTURE_EVENT);
	struct pyaudit_capture_event body = {
		.process = pyaudit_le32_of(process),
		.flags = pyaudit_le32_of(ahead ? PYAUDIT_CAPTURE_AHEAD : 0),
	};

	buf_add(out, &body, sizeof(body));
	buf_add(out, record, size);
	end(out, at);
}

void
capture_add_clock(struct buf *out, uint64_t time_ns)
{
	size_t at = begin(out, PYAUDIT_CAPTURE_CLOCK);
	pyaudit_le64 time = pyaudit_le64_of(time_ns);

	buf_add(out, &time, sizeof(time));
	end(out, at);
}

void
capture_add_fired(struct buf *out, uint64_t time_ns, const char *id)
{
	size_t at = begin(out, PYAUDIT_CAPTURE_FIRED);
	struct pyaudit_capture_fired body = {.time_ns = pyaudit_le64_of(time_ns)};

	buf_add(out, &body, sizeof(body));
	buf_add_str(out, id);
	end(out, at);
}

void
capture_add_loss(struct buf *out, uint32_t process, unsigned cause, uint64_t lost)
{
	size_t at = begin(out, PYAUDIT_CAPTURE_LOSS);
	struct pyaudit_capture_loss body = {
		.process = pyaudit_le32_of(process),
		.cause = pyaudit_le32_of(cause),
		.lost = pyaudit_le64_of(lost),
	};

	buf_add(out, &body, sizeof(body));
	end(out, at);
}

void
capture_add_gone(struct buf *out, uint32_t process)
{
	size_t at = begin(out, PYAUDIT_CAPTURE_GONE);
	pyaudit_le32 key = pyaudit_le32_of(process);

	buf_add(out, &key, sizeof(key));
	end(out, at);
}

void
capture_add_end(struct buf *out, uint64_t n_events, uint64_t n_lost)
{
	size_t at = begin(out, PYAUDIT_CAPTURE_END);
	struct pyaudit_capture_end body = {
		.n_events = pyaudit_le64_of(n_events),
		.n_lost = pyaudit_le64_of(n_lost),
	};

	buf_add(out, &body, sizeof(body));
	end(out, at);
}

size_t
capture_block_size(const uint8_t *bytes, size_t size)
{
	struct pyaudit_capture_block head;
	uint32_t whole;

	if (size < sizeof(head))
		return 0;
	memcpy(&head, bytes, sizeof(head));
	whole = pyaudit_get32(head.size);
	return whole >= sizeof(head) && whole <= PYAUDIT_CAPTURE_BLOCK_MAX ? whole : SIZE_MAX;
}

/* ---- reading ---- */

/* One process of the file. */
struct known {
	uint32_t key; /* 0: empty; never removed, only replaced */
	uint64_t number, tree;
	struct process *shown, *judged; /* NULL: gone */
};

struct reader {
	FILE *in;
	char *why;
	uint64_t at; /* of the block at hand, for messages */
	uint8_t *block;
	size_t block_size;
	struct capture_policy *policies;
	size_t n_policies, n_names;
	struct known *table;
	unsigned table_bits;
	size_t n_processes, n_used; /* used: also by those that have gone */
	uint64_t n_numbers;
	struct pyaudit_decoded decoded;
	_Alignas(8) char scratch[PYAUDIT_SCRATCH_SIZE];
	struct capture_summary summary;
	const struct capture_reader *to;
	void *data;
	bool has_clock, tells_fired;
};

__attribute__((format(printf, 2, 3))) static int
damaged(struct reader *r, const char *format, ...)
{
	va_list ap;
	int n = snprintf(r->why, CAPTURE_WHY_MAX, "at byte %llu: ", (unsigned long long)r->at);

	va_start(ap, format);
	(void)vsnprintf(r->why + n, CAPTURE_WHY_MAX - (size_t)n, format, ap);
	va_end(ap);
	return CAPTURE_E_INVALID;
}

static void
policy_fini(struct capture_policy *policy)
{
	for (size_t i = 0; i < policy->n_ids; i++)
		free(policy->ids[i]);
	free(policy->ids);
	*policy = (struct capture_policy){0};
}

static void
reader_freep(struct reader **reader)
{
	struct reader *r = *reader;

	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n_policies; i++)
		policy_fini(&r->policies[i]);
	free(r->policies);
	for (size_t i = 0; r->table != NULL && i < (size_t)1 << r->table_bits; i++) {
		process_unref(r->table[i].shown);
		process_unref(r->table[i].judged);
	}
	free(r->table);
	free(r->block);
	free(r);
}

static bool
is_rule_id(const char *id, size_t len)
{
	if (len == 0 || len > PYAUDIT_RULE_ID_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (strchr("abcdefghijklmnopqrstuvwxyz0123456789._-", id[i]) == NULL || id[i] == 0)
			return false;
	return true;
}

static struct capture_policy *
find_policy(struct reader *r, uint64_t generation)
{
	for (size_t i = r->n_policies; i-- > 0;)
		if (r->policies[i].options.generation == generation)
			return &r->policies[i];
	return NULL;
}

static int
read_ids(struct reader *r, struct capture_policy *policy, const uint8_t *at, const uint8_t *end_at,
	 uint32_t n_rules)
{
	if (n_rules > PYAUDIT_RULES_MAX || n_rules > (size_t)(end_at - at))
		return damaged(r, "a policy of %u rules", n_rules);
	policy->ids = calloc(n_rules + 1u, sizeof(*policy->ids));
	if (policy->ids == NULL)
		return -ENOMEM;
	for (; policy->n_ids < n_rules; policy->n_ids++) {
		size_t len = at < end_at ? *at++ : 0;

		if (len > (size_t)(end_at - at) || !is_rule_id((const char *)at, len))
			return damaged(r, "the name of rule %zu is none", policy->n_ids);
		policy->ids[policy->n_ids] = text_copy((const char *)at, len);
		if (policy->ids[policy->n_ids] == NULL)
			return -ENOMEM;
		at += len;
	}
	return 0;
}

static int
take_policy(struct reader *r, const uint8_t *body, size_t size)
{
	struct pyaudit_capture_policy head;
	struct capture_policy policy = {0}, *known;
	int outcome;

	if (size < sizeof(head))
		return damaged(r, "a policy is too short");
	memcpy(&head, body, sizeof(head));
	r->n_names += size;
	if (r->n_names > CAPTURE_NAMES_MAX)
		return damaged(r, "more than %u bytes of rule names", CAPTURE_NAMES_MAX);
	policy.options = (struct compile_options){
		.generation = pyaudit_get64(head.generation),
		.observe = (head.flags & PYAUDIT_CAPTURE_OBSERVE) != 0,
		.record_all = (head.flags & PYAUDIT_CAPTURE_RECORD_ALL) != 0,
		.record = pyaudit_get16(head.record),
	};
	outcome = read_ids(r, &policy, body + sizeof(head), body + size,
			   pyaudit_get32(head.n_rules));
	if (outcome != 0) {
		policy_fini(&policy);
		return outcome;
	}
	known = find_policy(r, policy.options.generation);
	if (known == NULL && r->n_policies == CAPTURE_POLICIES_MAX) {
		policy_fini(&policy);
		return damaged(r, "more than %d policies", CAPTURE_POLICIES_MAX);
	}
	if (known == NULL)
		known = &r->policies[r->n_policies++];
	policy_fini(known);
	*known = policy;
	return 0;
}

static struct known *
find_process(struct reader *r, uint32_t key)
{
	size_t mask = ((size_t)1 << r->table_bits) - 1;
	size_t at = (key * 0x9e3779b1u) >> (32 - r->table_bits);

	while (r->table[at].key != 0 && r->table[at].key != key)
		at = (at + 1) & mask;
	return &r->table[at];
}

/* Once half the table is used up: drops the places of processes that have gone, and makes it larger
 * where that is not enough. */
static int
sweep_table(struct reader *r)
{
	size_t size = (size_t)1 << r->table_bits;
	struct known *old = r->table, *new;
	unsigned bits = r->table_bits + (r->n_processes >= size / 4);

	if (r->n_used < size / 2)
		return 0;
	new = calloc((size_t)1 << bits, sizeof(*new));
	if (new == NULL)
		return -ENOMEM;
	r->table = new;
	r->table_bits = bits;
	r->n_used = 0;
	for (size_t i = 0; i < size; i++)
		if (old[i].shown != NULL) {
			*find_process(r, old[i].key) = old[i];
			r->n_used++;
		}
	free(old);
	return 0;
}

static void
forget_process(struct reader *r, struct known *known)
{
	if (known->shown == NULL)
		return;
	process_unref(known->shown);
	process_unref(known->judged);
	known->shown = known->judged = NULL;
	r->n_processes--;
}

static const char *
next_string(const char **at, const char *end_at)
{
	const char *s = *at, *nul = memchr(s, 0, (size_t)(end_at - s));

	if (nul == NULL)
		return NULL;
	*at = nul + 1;
	return s;
}

/* What the daemon knew of the process in the place of the agent's word. */
static bool
read_shown(struct hello *shown, const char **ret_user, const char *at, const char *end_at,
	   unsigned n_argv)
{
	*ret_user = next_string(&at, end_at);
	shown->exe = *ret_user != NULL ? next_string(&at, end_at) : NULL;
	shown->cwd = shown->exe != NULL ? next_string(&at, end_at) : NULL;
	shown->cgroup = shown->cwd != NULL ? next_string(&at, end_at) : NULL;
	if (shown->cgroup == NULL || n_argv > PYAUDIT_LIST_MAX)
		return false;
	for (shown->n_argv = 0; shown->n_argv < n_argv; shown->n_argv++) {
		shown->argv[shown->n_argv] = next_string(&at, end_at);
		if (shown->argv[shown->n_argv] == NULL)
			return false;
	}
	return true;
}

static int
take_process(struct reader *r, const uint8_t *body, size_t size)
{
	struct pyaudit_capture_process head;
	struct hello hello, shown;
	struct known *known, new;
	const char *strings, *user;
	pyaudit_le64 tree;
	uint32_t n_hello;
	size_t n;

	if (size < sizeof(head))
		return damaged(r, "a process is too short");
	memcpy(&head, body, sizeof(head));
	n_hello = pyaudit_get32(head.hello);
	if (n_hello > size - sizeof(head) ||
	    pyaudit_get32(head.strings) > size - sizeof(head) - n_hello ||
	    hello_parse(&hello, body + sizeof(head), n_hello) < 0 || pyaudit_get32(head.key) == 0)
		return damaged(r, "a process is malformed");
	shown = hello;
	shown.ppid = pyaudit_get32(head.ppid);
	strings = (const char *)body + sizeof(head) + n_hello;
	if (!read_shown(&shown, &user, strings, strings + pyaudit_get32(head.strings),
			pyaudit_get16(head.n_argv)))
		return damaged(r, "the texts of a process are malformed");
	n = sizeof(head) + n_hello + pyaudit_get32(head.strings);
	if (sweep_table(r) < 0)
		return -ENOMEM;
	known = find_process(r, pyaudit_get32(head.key));
	forget_process(r, known);
	if (r->n_processes == CAPTURE_PROCESSES_MAX)
		return damaged(r, "more than %d processes at once", CAPTURE_PROCESSES_MAX);
	new = (struct known){
		.number = ++r->n_numbers,
		.key = pyaudit_get32(head.key),
		.shown = process_known(&shown, (pid_t)pyaudit_get32(head.pid),
				       pyaudit_get32(head.uid), pyaudit_get32(head.gid),
				       (int64_t)pyaudit_get64(head.loginuid), user),
		.judged = process_known(&hello, (pid_t)hello.pid, hello.uid, hello.gid, -1, ""),
	};
	if (new.shown == NULL || new.judged == NULL) {
		process_unref(new.shown);
		process_unref(new.judged);
		return -ENOMEM;
	}
	new.tree = new.number;
	if (size - n >= sizeof(tree)) {
		memcpy(&tree, body + n, sizeof(tree));
		new.tree = pyaudit_get64(tree);
	}
	r->n_used += known->key == 0;
	r->n_processes++;
	*known = new;
	return 0;
}

static int
take_event(struct reader *r, const uint8_t *body, size_t size)
{
	static const struct pyaudit_facts nothing;
	struct pyaudit_capture_event head;
	struct capture_event event = {.decoded = &r->decoded, .facts = &nothing};
	const struct known *known;
	uint32_t key;

	if (size < sizeof(head))
		return damaged(r, "an event is too short");
	memcpy(&head, body, sizeof(head));
	event.record = body + sizeof(head);
	event.size = size - sizeof(head);
	if (pyaudit_record_decode(&r->decoded, event.record, event.size) < 0)
		return damaged(r, "an event's record is malformed");
	r->decoded.event.scratch = r->scratch;
	r->decoded.event.scratch_size = sizeof(r->scratch);
	key = pyaudit_get32(head.process);
	known = key != 0 ? find_process(r, key) : NULL;
	if (known != NULL && known->shown != NULL) {
		event.process = known->shown;
		event.process_number = known->number;
		event.tree = known->tree;
		if (known->judged->pid != known->shown->pid)
			r->decoded.flags &= (uint16_t)~PYAUDIT_REC_FORKED; /* as the daemon does */
		/* The daemon judges its own findings by what it knows itself. */
		event.facts = r->decoded.event.layer == PYAUDIT_LAYER_DAEMON
				      ? &known->shown->facts
				      : &known->judged->facts;
	}
	event.policy = find_policy(r, r->decoded.generation);
	event.number = ++r->summary.n_events;
	event.has_clock = r->has_clock;
	event.tells_fired = r->tells_fired;
	event.is_ahead = (pyaudit_get32(head.flags) & PYAUDIT_CAPTURE_AHEAD) != 0;
	return r->to->event(r->data, &event);
}

static int
take_clock(struct reader *r, const uint8_t *body, size_t size)
{
	pyaudit_le64 time;

	if (size < sizeof(time))
		return damaged(r, "a time is too short");
	memcpy(&time, body, sizeof(time));
	return r->to->clock != NULL ? r->to->clock(r->data, pyaudit_get64(time)) : 0;
}

static int
take_fired(struct reader *r, const uint8_t *body, size_t size)
{
	struct pyaudit_capture_fired fired;
	char id[PYAUDIT_RULE_ID_MAX + 1];
	size_t len = size - sizeof(fired);

	if (size < sizeof(fired) || !is_rule_id((const char *)body + sizeof(fired), len))
		return damaged(r, "an alert of a rule with memory is malformed");
	memcpy(&fired, body, sizeof(fired));
	memcpy(id, body + sizeof(fired), len);
	id[len] = '\0';
	return r->to->fired != NULL ? r->to->fired(r->data, pyaudit_get64(fired.time_ns), id) : 0;
}

static int
take_loss(struct reader *r, const uint8_t *body, size_t size)
{
	struct pyaudit_capture_loss loss;

	if (size < sizeof(loss))
		return damaged(r, "a loss is too short");
	memcpy(&loss, body, sizeof(loss));
	r->summary.n_lost += pyaudit_get64(loss.lost);
	return 0;
}

static int
take_gone(struct reader *r, const uint8_t *body, size_t size)
{
	pyaudit_le32 key;

	if (size < sizeof(key))
		return damaged(r, "the end of a process is too short");
	memcpy(&key, body, sizeof(key));
	if (pyaudit_get32(key) != 0)
		forget_process(r, find_process(r, pyaudit_get32(key)));
	return 0;
}

static int
take_end(struct reader *r, const uint8_t *body, size_t size)
{
	struct pyaudit_capture_end tail;

	if (size < sizeof(tail))
		return damaged(r, "the end is too short");
	memcpy(&tail, body, sizeof(tail));
	if (pyaudit_get64(tail.n_events) != r->summary.n_events)
		return damaged(r, "it says it has %llu events, and there are %llu",
			       (unsigned long long)pyaudit_get64(tail.n_events),
			       (unsigned long long)r->summary.n_events);
	r->summary.is_whole = true;
	return 0;
}

static int
take_block(struct reader *r, uint16_t type, const uint8_t *body, size_t size)
{
	switch (type) {
	case PYAUDIT_CAPTURE_POLICY:
		return take_policy(r, body, size);
	case PYAUDIT_CAPTURE_PROCESS:
		return take_process(r, body, size);
	case PYAUDIT_CAPTURE_EVENT:
		return take_event(r, body, size);
	case PYAUDIT_CAPTURE_LOSS:
		return take_loss(r, body, size);
	case PYAUDIT_CAPTURE_GONE:
		return take_gone(r, body, size);
	case PYAUDIT_CAPTURE_END:
		return take_end(r, body, size);
	case PYAUDIT_CAPTURE_CLOCK:
		return take_clock(r, body, size);
	case PYAUDIT_CAPTURE_FIRED:
		return take_fired(r, body, size);
	default:
		return 0;
	}
}

static int
read_head(struct reader *r)
{
	struct pyaudit_capture head;

	if (fread(&head, 1, sizeof(head), r->in) != sizeof(head) ||
	    memcmp(head.magic, PYAUDIT_CAPTURE_MAGIC, sizeof(head.magic)) != 0)
		return damaged(r, "this is no capture of pyauditctl");
	if (pyaudit_get16(head.major) != PYAUDIT_CAPTURE_MAJOR)
		return damaged(r, "version %u of the format, this program reads %d",
			       pyaudit_get16(head.major), PYAUDIT_CAPTURE_MAJOR);
	r->summary.time_ns = pyaudit_get64(head.time_ns);
	r->tells_fired = (pyaudit_get32(head.flags) & PYAUDIT_CAPTURE_WHOLE) != 0;
	r->has_clock = pyaudit_get16(head.minor) >= 1;
	r->at = sizeof(head);
	return 0;
}

/* Room for @size bytes at least. */
static int
grow_block(struct reader *r, size_t size)
{
	uint8_t *grown;

	if (size <= r->block_size)
		return 0;
	grown = realloc(r->block, size);
	if (grown == NULL)
		return -ENOMEM;
	r->block = grown;
	r->block_size = size;
	return 0;
}

/* 1: a block was read; 0: there is none. */
static int
read_block(struct reader *r, uint16_t *ret_type, size_t *ret_size)
{
	struct pyaudit_capture_block head;
	size_t n = fread(&head, 1, sizeof(head), r->in), size;

	if (n == 0)
		return ferror(r->in) ? -EIO : 0;
	size = capture_block_size((const uint8_t *)&head, n);
	if (size == 0)
		return damaged(r, "the file ends within a block");
	if (size == SIZE_MAX)
		return damaged(r, "a block of %u bytes", pyaudit_get32(head.size));
	size -= sizeof(head);
	if (grow_block(r, size) < 0)
		return -ENOMEM;
	if (fread(r->block, 1, size, r->in) != size)
		return damaged(r, "the file ends within a block");
	*ret_type = pyaudit_get16(head.type);
	*ret_size = size;
	return 1;
}

int
capture_read(FILE *in, const struct capture_reader *reader, void *data,
	     struct capture_summary *ret, char why[CAPTURE_WHY_MAX])
{
	CLEANUP(reader_freep) struct reader *r = calloc(1, sizeof(*r));
	uint16_t type = 0;
	size_t size = 0;
	int outcome;

	why[0] = '\0';
	if (r == NULL)
		return -ENOMEM;
	r->in = in;
	r->why = why;
	r->to = reader;
	r->data = data;
	r->table_bits = TABLE_BITS;
	r->table = calloc((size_t)1 << TABLE_BITS, sizeof(*r->table));
	r->policies = calloc(CAPTURE_POLICIES_MAX, sizeof(*r->policies));
	if (r->table == NULL || r->policies == NULL)
		return -ENOMEM;
	outcome = read_head(r);
	while (outcome == 0) {
		outcome = read_block(r, &type, &size);
		if (outcome != 1)
			break;
		outcome = r->summary.is_whole ? damaged(r, "something stands behind the end")
					      : take_block(r, type, r->block, size);
		r->at += sizeof(struct pyaudit_capture_block) + size;
	}
	*ret = r->summary;
	return outcome;
}
